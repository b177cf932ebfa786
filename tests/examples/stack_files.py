"""Small TIFF files as people have them: a field of two blobs with labels, written in the ways of several programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

SHAPE = (12, 40, 50)
VOXEL = (0.6, 0.4, 0.4)
SIZES = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", VOXEL, strict=True)} | {
    f"PhysicalSize{axis}Unit": "µm" for axis in "ZYX"
}


def intensities(channels: int = 2, dtype: Any = np.uint16) -> NDArray[Any]:
    """Return smooth blobs with noise, (C, Z, Y, X)."""
    z, y, x = np.indices(SHAPE)
    blobs = [
        np.exp(-(((z - 6) / 4) ** 2 + ((y - 20) / 9) ** 2 + ((x - 12 - 9 * i) / 7) ** 2))
        for i in range(channels)
    ]
    noise = np.random.default_rng(0).normal(0, 6, (channels, *SHAPE))
    return np.clip(100 + 900 * np.stack(blobs) + noise, 0, 4095).astype(dtype)


def labels(dtype: Any = np.uint16, ids: tuple[int, int] = (1, 2)) -> NDArray[Any]:
    """Return two ellipsoids, (Z, Y, X)."""
    z, y, x = np.indices(SHAPE)
    volume = np.zeros(SHAPE, dtype)
    for i, label in enumerate(ids):
        volume[((z - 6) / 5) ** 2 + ((y - 20) / 15) ** 2 + ((x - 12 - 25 * i) / 11) ** 2 <= 1] = label
    return volume


def write_ome(
    path: Path, data: NDArray[Any], axes: str, names: tuple[str, ...] = (), **metadata: Any
) -> Path:
    """Write an OME-TIFF with sizes."""
    channel = {"Channel": {"Name": list(names)}} if names else {}
    tifffile.imwrite(
        path,
        data,
        ome=True,
        photometric="minisblack",
        metadata={"axes": axes, **SIZES, **channel, **metadata},
    )
    return path


def write_imagej(path: Path, data: NDArray[Any], axes: str, edge: float, spacing: float, unit: str) -> Path:
    """Write a stack as Fiji does, with pixels of ``edge`` and planes ``spacing`` apart, in ``unit``."""
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        resolution=(1 / edge, 1 / edge),
        metadata={"axes": axes, "spacing": spacing, "unit": unit},
    )
    return path


def write_rgb(path: Path, shape: tuple[int, ...] = (40, 50)) -> Path:
    """Write a colour picture."""
    tifffile.imwrite(path, np.full((*shape, 3), 90, np.uint8), photometric="rgb")
    return path


def write_two_scenes(path: Path) -> Path:
    """Write an OME-TIFF whose first scene is a colour overview and whose second is a stack."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(
            np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata={"axes": "YXS", "Name": "overview"}
        )
        writer.write(
            intensities(),
            photometric="minisblack",
            metadata={"axes": "CZYX", "Name": "field", "Channel": {"Name": ["CellMask", "Hoechst"]}, **SIZES},
        )
    return path
