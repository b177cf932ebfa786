"""Write time series of volumes (T, C, Z, Y, X) as OME-TIFF or OME-Zarr, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.imaging.writing import write_planes

Frame = NDArray[np.uint16]

#: Arguments of zarr that choose zarr format 2, which every version of zarr reads, and which NGFF 0.4 is. Version 2 of
#: the library writes only that format and has no such argument.
ZARR_2: dict[str, Any] = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}


@dataclass(frozen=True)
class Series:
    """Metadata of a time series.

    Attributes
    ----------
    shape : tuple of int
        (T, C, Z, Y, X).
    channels : tuple of str
        One name per channel.
    colours : tuple of str
        One colour per channel, ``#rrggbb``.
    brightest : tuple of int
        Value of each channel that is shown at full brightness.
    voxel_size : tuple of float
        (Z, Y, X) in µm.
    name, description : str
        Texts for the file's metadata.
    """

    shape: tuple[int, int, int, int, int]
    channels: tuple[str, ...]
    colours: tuple[str, ...]
    brightest: tuple[int, ...]
    voxel_size: tuple[float, float, float]
    name: str
    description: str


def write_tiff_series(path: Path, series: Series, frames: Iterable[Frame]) -> Path:
    """Write frames (C, Z, Y, X) of ``uint16`` as an OME-TIFF with a time axis.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    metadata = {
        "Name": series.name,
        "Description": series.description,
        "Channel": {
            "Name": list(series.channels),
            "Color": [_signed_rgba(colour) for colour in series.colours],
        },
    }
    planes = (plane for frame in frames for plane in frame.reshape(-1, *series.shape[-2:]))
    return write_planes(path, planes, series.shape, np.dtype(np.uint16), series.voxel_size, metadata)


def write_zarr_series(path: Path, series: Series, frames: Iterable[Frame]) -> Path:
    """Write frames (C, Z, Y, X) of ``uint16`` as an OME-Zarr (NGFF 0.4) with one level and one chunk per volume.

    Raises
    ------
    FileExistsError
        If a folder with this name exists and is not a zarr. It is not changed.
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    if path.is_dir() and not (path / ".zgroup").is_file():
        raise FileExistsError(f"{path} is a folder but not a zarr, and is not replaced: choose another name.")
    with atomic_write(path) as part:
        group: Any = zarr.open_group(str(part), mode="w", **ZARR_2)
        group.attrs.update({"multiscales": [_multiscale(series)], "omero": _omero(series)})
        array: Any = zarr.open_array(
            str(part / "0"),
            mode="w",
            shape=series.shape,
            chunks=(1, 1, *series.shape[2:]),
            dtype=np.uint16,
            fill_value=0,
            dimension_separator="/",
            **ZARR_2,
        )
        for t, frame in enumerate(frames):
            array[t] = frame
    return path


def _multiscale(series: Series) -> dict[str, Any]:
    return {
        "version": "0.4",
        "name": series.name,
        "metadata": {"description": series.description},
        "axes": [
            {"name": "t", "type": "time"},
            {"name": "c", "type": "channel"},
            *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"),
        ],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, *series.voxel_size]}],
            }
        ],
    }


def _omero(series: Series) -> dict[str, Any]:
    channels = zip(series.channels, series.colours, series.brightest, strict=True)
    return {
        "version": "0.4",
        "name": series.name,
        "channels": [
            {
                "label": name,
                "color": colour.lstrip("#"),
                "active": True,
                "window": {"min": 0, "max": 65535, "start": 0, "end": brightest},
            }
            for name, colour, brightest in channels
        ],
        "rdefs": {"model": "color"},
    }


def _signed_rgba(colour: str) -> int:
    """Return ``#rrggbb`` as OME-XML writes it: red, green, blue and an alpha of 255 in one signed 32-bit number."""
    return int.from_bytes(bytes.fromhex(colour.lstrip("#") + "ff"), "big", signed=True)
