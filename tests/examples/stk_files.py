"""Handmade TIFF files with the metadata of MetaMorph STK. No file of the program itself is among them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def write_stk(
    path: Path,
    data: NDArray[Any],
    *,
    distances: Sequence[float] | None = None,
    waves: Sequence[float] | None = None,
    edge: float | None = 0.4,
    unit: str = "um",
    calibrated: int = 1,
    promised: int | None = None,
    waves_promised: int | None = None,
    without: Sequence[int] = (),
) -> Path:
    """Write a stack (Z, Y, X) of 16-bit integers: pixels, then the tags of the first plane.

    Parameters
    ----------
    path : Path
    data : array
    distances : sequence of float, optional
        The Z distance of each plane; by default 0.6 for all.
    waves : sequence of float, optional
        The wavelength of each plane; by default one for all.
    edge : float, optional
        The calibration in X and Y; none is stated if it is None.
    unit : str
    calibrated : int
    promised, waves_promised : int, optional
        The number of planes that the tags UIC2 and UIC3 are for, if not the right one.
    without : sequence of int
        Tags that are left out.
    """
    z, y, x = data.shape
    content = bytearray(b"II*\0\0\0\0\0" + data.astype("<u2").tobytes())

    def put(value: bytes) -> int:
        if len(content) % 2:
            content.append(0)
        at = len(content)
        content.extend(value)
        return at

    def fraction(value: float) -> bytes:
        return struct.pack("<2I", round(value * 10000), 10000)

    entries = [(3, calibrated)]
    if edge is not None:
        text = unit.encode() + b"\0"
        entries += [
            (4, put(fraction(edge))),
            (5, put(fraction(edge))),
            (6, put(struct.pack("<I", len(text)) + text)),
        ]
    uic1 = b"".join(struct.pack("<2I", *entry) for entry in entries)
    planes = [
        fraction(step) + struct.pack("<4I", 2450000, 1000 * i, 0, 0)
        for i, step in enumerate(distances or [0.6] * z)
    ]
    uic3 = b"".join(map(fraction, waves or [488.0] * z))
    tags = [
        (256, 3, 1, x),
        (257, 3, 1, y),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 3, 1, y),
        (279, 4, 1, 2 * x * y),
        (33628, 4, len(entries), put(uic1)),
        (33629, 5, promised or z, put(b"".join(planes))),
        (33630, 5, waves_promised or z, put(uic3)),
    ]
    tags = [tag for tag in tags if tag[0] not in without]
    at = put(struct.pack("<H", len(tags)) + b"".join(struct.pack("<2H2I", *tag) for tag in tags) + bytes(4))
    content[4:8] = struct.pack("<I", at)
    path.write_bytes(content)
    return path
