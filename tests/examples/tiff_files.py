"""Small TIFF files with stains, as programs write them, and ways to damage them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

SIZES = {"PhysicalSizeZ": 0.6, "PhysicalSizeY": 0.4, "PhysicalSizeX": 0.4}
UNITS = {f"{name}Unit": "µm" for name in SIZES}
NAMES = {"Channel": {"Name": ["CellMask", "Hoechst"]}}
VOXEL = (0.6, 0.4, 0.4)


def stains(z: int = 7) -> np.ndarray:
    """Two channels of ``z`` planes, no two alike: (C, Z, Y, X)."""
    return np.random.default_rng(0).integers(0, 4000, (2, z, 9, 11)).astype(np.uint16)


def write_ome_stains(path: Path, axes: str = "CZYX", **more: Any) -> Path:
    """An OME-TIFF with names and sizes. Its metadata only count the planes."""
    data = stains() if axes == "CZYX" else stains().transpose(1, 0, 2, 3)
    metadata = {"axes": axes, **NAMES, **SIZES, **UNITS}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata, **more)
    return path


def edit_xml(path: Path, *changes: tuple[str, str]) -> Path:
    """Replace text in an OME-TIFF's metadata."""
    with tifffile.TiffFile(path) as tif:
        xml = tif.pages[0].description
    for old, new in changes:
        assert re.search(old, xml), old
        xml = re.sub(old, lambda match, new=new: match.expand(new), xml)
    tifffile.tiffcomment(path, xml.encode())
    return path


def write_ome_plane_by_plane(path: Path, named: str = "", uuid: str = "urn:uuid:abc") -> Path:
    """An OME-TIFF whose metadata name a page for every plane, as Bio-Formats writes it."""
    write_ome_stains(path)
    blocks = "".join(
        f'<TiffData FirstC="{i // 7}" FirstT="0" FirstZ="{i % 7}" IFD="{i}" PlaneCount="1">'
        f'<UUID FileName="{named or path.name}">{uuid}</UUID></TiffData>'
        for i in range(14)
    )
    return edit_xml(path, ("<TiffData[^>]*/>", blocks))


def write_imagej(path: Path, data: np.ndarray | None = None, axes: str = "ZCYX", **more: Any) -> Path:
    """A stack as Fiji writes it."""
    data = stains().transpose(1, 0, 2, 3) if data is None else data
    options: dict[str, Any] = {"resolution": (2.5, 2.5), "byteorder": ">"}
    metadata = {"axes": axes, "spacing": 0.6, "unit": "micron", **more.pop("metadata", {})}
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        metadata={key: value for key, value in metadata.items() if value is not None},
        **{**options, **more},
    )
    return path


def write_imagej_in_one_piece(path: Path, data: np.ndarray | None = None) -> Path:
    """A stack of ImageJ with tags for the first plane only; the others lie behind it."""
    write_imagej(path, data)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].offset
    (count,) = struct.unpack(">H", content[at : at + 2])
    content[at + 2 + 12 * count : at + 6 + 12 * count] = bytes(4)  # no next page
    path.write_bytes(content)
    return path


#: Writers of files that hold the stains with their names and sizes, as far as their kind has any.
KINDS: dict[str, Callable[[Path], Path]] = {
    "stack.ome.tif": write_ome_stains,
    "zlib.ome.tif": lambda path: write_ome_stains(path, compression="zlib"),
    "z first.ome.tif": lambda path: write_ome_stains(path, "ZCYX"),
    "big.ome.tif": lambda path: write_ome_stains(path, byteorder=">", bigtiff=True),
    "plane by plane.ome.tif": write_ome_plane_by_plane,
    "imagej.tif": write_imagej,
    "one piece.tif": write_imagej_in_one_piece,
    "shaped.tif": lambda path: (
        tifffile.imwrite(path, stains(), photometric="minisblack", metadata={"axes": "CZYX"}) or path
    ),
}
