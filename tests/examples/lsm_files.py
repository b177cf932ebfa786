"""Handmade TIFF files with the metadata of Zeiss LSM. No file of a microscope is among them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

_TAG = 34412


def write_lsm(
    path: Path,
    data: NDArray[Any],
    names: Sequence[str] = ("CellMask", "Hoechst"),
    *,
    thumbnails: bool = True,
    compression: str | None = None,
    left_out: Sequence[int] = (),
    **facts: Any,
) -> Path:
    """Write a stack (P, T, Z, C, Y, X), leading axes may be missing: one page for all channels of a plane.

    Parameters
    ----------
    path : Path
    data : array
    names : sequence of str
        Of the channels.
    thumbnails : bool
        Whether a small copy follows each plane.
    compression : str, optional
    left_out : sequence of int
        Planes that are not written.
    **facts
        Values of the metadata instead of those that are right, by their names in tifffile.
    """
    data = data.reshape((1,) * (6 - data.ndim) + data.shape)
    p, t, z, c, y, x = data.shape
    info = np.zeros((), np.dtype(tifffile.TIFF.CZ_LSMINFO))
    said = {
        "MagicNumber": 67127628,
        "StructureSize": info.dtype.itemsize,
        "DimensionX": x,
        "DimensionY": y,
        "DimensionZ": z,
        "DimensionChannels": c,
        "DimensionTime": t,
        "DimensionP": p if p > 1 else 0,
        "VoxelSizeX": 0.4e-6,
        "VoxelSizeY": 0.4e-6,
        "VoxelSizeZ": 0.6e-6,
        "ScanType": 6 if t > 1 else 0,
        "TimeIntervall": 2.5,
    }
    for key, value in (said | facts).items():
        info[key] = value
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for i, plane in enumerate(data.reshape(-1, c, y, x)):
            if i in left_out:
                continue
            options: dict[str, Any] = {
                "photometric": "minisblack",
                "metadata": None,
                "software": False,
                "align": 1,
            }
            if c > 1:
                options["planarconfig"] = "separate"
            tags = [(_TAG, 1, info.nbytes, info.tobytes(), True)] if i == 0 else []
            writer.write(
                plane if c > 1 else plane[0],
                extratags=tags,
                contiguous=False,
                compression=compression,
                rowsperstrip=y,
                **options,
            )
            if thumbnails:
                small = np.zeros((4, 5, 3), np.uint8) + np.uint8(i)
                options |= {"photometric": "rgb", "planarconfig": "contig"}
                writer.write(small, subfiletype=1, contiguous=False, compression=compression, **options)
    if c == 2:
        _move_bits(path, data.dtype.itemsize * 8)
    if "OffsetChannelColors" not in facts and not compression:
        _add_names(path, names)
    return path


def _move_bits(path: Path, bits: int) -> None:
    """Write the bits of two channels behind the pages, as an LSM has them although they fit into the tag."""
    content = bytearray(path.read_bytes())
    (page,) = struct.unpack("<I", content[4:8])
    while page:
        (count,) = struct.unpack("<H", content[page : page + 2])
        for at in range(page + 2, page + 2 + 12 * count, 12):
            code, _, number = struct.unpack("<HHI", content[at : at + 8])
            if code == 258 and number == 2:
                content[at + 8 : at + 12] = struct.pack("<I", len(content))
                content += struct.pack("<2H", bits, bits)
        (page,) = struct.unpack("<I", content[page + 2 + 12 * count : page + 6 + 12 * count])
    path.write_bytes(content)


def _add_names(path: Path, names: Sequence[str]) -> None:
    texts = b"".join(struct.pack("<I", len(name) + 1) + name.encode() + b"\0" for name in names)
    colours = bytes(4 * len(names))
    size = 24 + len(colours) + len(texts)
    block = struct.pack("<6I", size, len(names), len(names), 24, 24 + len(colours), 0) + colours + texts
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags[_TAG].valueoffset
    info = np.dtype(tifffile.TIFF.CZ_LSMINFO)
    assert info.fields is not None
    place = at + info.fields["OffsetChannelColors"][1]
    content = bytearray(path.read_bytes())
    content[place : place + 4] = struct.pack("<I", len(content))
    path.write_bytes(content + block)
