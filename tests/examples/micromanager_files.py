"""Handmade TIFF files with the metadata that Micro-Manager writes. No file of the program itself is among them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

_ROOM = 4096
_TAG = 51123

SUMMARY: dict[str, Any] = {
    "MicroManagerVersion": "2.0.1",
    "ChNames": ["CellMask", "Hoechst"],
    "z-step_um": 0.6,
    "PixelSize_um": 0.4,
    "Interval_ms": 1500.0,
    "SlicesFirst": False,
    "TimeFirst": False,
    "Prefix": "cells_1",
}


def write_micromanager(
    path: Path,
    data: NDArray[Any],
    summary: dict[str, Any] | None = None,
    *,
    order: Sequence[int] | None = None,
    description: Callable[[int], str | None] = lambda index: None,
    index: bool = True,
    tags: bool = True,
    stage: int = 0,
    label: Callable[[int], str] = lambda stage: f"Pos{stage}",
    raw_summary: bytes | None = None,
) -> Path:
    """Write a stack (P, T, C, Z, Y, X), leading axes may be missing, with a summary, an index and tags of planes.

    Parameters
    ----------
    path : Path
    data : array
    summary : dict, optional
        Replaces single values of the summary; None leaves one out.
    order : sequence of int, optional
        Which planes are written, in this order. By default all.
    description : callable
        The text in the first page's description, from the number of pages.
    index, tags : bool
        Whether the file has an index, and whether the tags say which plane a page is.
    stage : int
        Number of the first position on the stage.
    label : callable
        The name of a position.
    raw_summary : bytes, optional
        Instead of the summary.
    """
    data = data.reshape((1,) * (6 - data.ndim) + data.shape)
    where = list(np.ndindex(*data.shape[:4]))
    chosen = list(range(len(where))) if order is None else list(order)
    counts = dict(zip(("Positions", "Frames", "Channels", "Slices"), data.shape, strict=False))
    said = SUMMARY | counts | {"Width": data.shape[-1], "Height": data.shape[-2]} | (summary or {})
    text = (
        raw_summary or json.dumps({key: value for key, value in said.items() if value is not None}).encode()
    )
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for number, i in enumerate(chosen):
            p, t, c, z = where[i]
            tag: dict[str, Any] = {"PixelSizeUm": said.get("PixelSize_um"), "PositionName": label(p + stage)}
            if tags:
                tag |= {"PositionIndex": p + stage, "FrameIndex": t, "ChannelIndex": c, "SliceIndex": z}
            writer.write(
                data[p, t, c, z],
                photometric="minisblack",
                metadata=None,
                description=description(len(chosen)) if number == 0 else None,
                extratags=[(_TAG, 2, None, json.dumps(tag), True)],
                contiguous=False,
                align=1,
            )
    _make_room(path, text)
    with tifffile.TiffFile(path) as tif:
        offsets = [page.offset for page in tif.pages]
    content = bytearray(path.read_bytes())
    rows = [(where[i], offset) for i, offset in zip(chosen, offsets, strict=True)]
    at = len(content)
    content += struct.pack("<II", 3453623, len(rows))
    for (p, t, c, z), offset in rows:
        content += struct.pack("<5I", c, z, t, p + stage, offset)
    header = (54773648, at) if index else (0, 0)
    content[8 : 40 + len(text)] = struct.pack("<8I", *header, 0, 0, 0, 0, 2355492, len(text)) + text
    path.write_bytes(content)
    return path


def _make_room(path: Path, text: bytes) -> None:
    """Move everything behind the header of a file, where Micro-Manager has its summary."""
    assert len(text) + 32 < _ROOM, "the summary is too long"
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        places = [(tag.offset, tag) for page in tif.pages for tag in page.tags.values()]
        nexts = [page.offset + 2 + 12 * len(page.tags) for page in tif.pages]

    def move(at: int) -> None:
        (value,) = struct.unpack("<I", content[at : at + 4])
        content[at : at + 4] = struct.pack("<I", value + _ROOM if value else 0)

    for offset, tag in places:
        outside = not offset <= tag.valueoffset < offset + 12
        if outside or tag.code == 273:
            move(offset + 8)
    for at in nexts:
        move(at)
    move(4)
    path.write_bytes(content[:8] + bytes(_ROOM) + content[8:])
