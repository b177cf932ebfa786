"""Write OME-Zarr 0.4 and 0.5, in a folder or zipped, with the metadata that real files have."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

ZARR_2_ONLY = zarr.__version__.startswith("2.")
#: The versions that the installed zarr can write.
VERSIONS = ("0.4",) if ZARR_2_ONLY else ("0.4", "0.5")
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_ome_zarr(
    path: Path,
    data: NDArray[Any],
    axes: str = "czyx",
    *,
    version: str = "0.4",
    names: Sequence[str] = (),
    voxel_size: Mapping[str, float] | None = None,
    unit: str | None = "micrometer",
    levels: int = 1,
    chunks: tuple[int, ...] | None = None,
    labels: NDArray[Any] | None = None,
    separator: str = "/",
    **options: Any,
) -> Path:
    """Write an image with ``levels`` levels, each half as wide as the one before.

    ``separator`` is in the names of the chunks; ``options`` go to zarr.
    """
    options["separator"] = separator
    multiscales = _write_levels(path, data, axes, version, voxel_size, unit, levels, chunks, options)
    attributes: dict[str, Any] = {"multiscales": [multiscales]}
    if names:
        attributes["omero"] = {"channels": [{"label": name, "color": "FFFFFF"} for name in names]}
    write_group(path, attributes, version)
    if labels is not None:
        write_group(path / "labels", {"labels": ["cells"]}, version)
        scales = _write_levels(
            path / "labels" / "cells", labels, "zyx", version, voxel_size, unit, 1, None, {}
        )
        write_group(path / "labels" / "cells", {"multiscales": [scales], "image-label": {}}, version)
    return path


def write_group(path: Path, attributes: Mapping[str, Any], version: str = "0.4") -> Path:
    """Write a group with OME attributes."""
    path.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))
    else:
        group = {"zarr_format": 3, "node_type": "group"}
        group["attributes"] = {"ome": {"version": version, **attributes}}
        (path / "zarr.json").write_text(json.dumps(group))
    return path


def zipped(folder: Path, to: Path, top: str = "") -> Path:
    """Zip a folder; ``top`` is a folder in the zip file."""
    with zipfile.ZipFile(to, "w") as file:
        for found in sorted(folder.rglob("*")):
            if found.is_file():
                file.write(found, top + found.relative_to(folder).as_posix())
    return to


def _write_levels(
    path: Path,
    data: NDArray[Any],
    axes: str,
    version: str,
    voxel_size: Mapping[str, float] | None,
    unit: str | None,
    levels: int,
    chunks: tuple[int, ...] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    datasets = []
    for level in range(levels):
        step = 2**level
        array = data[..., ::step, ::step]
        _write_array(path / str(level), array, version, chunks, options)
        size = dict.fromkeys(axes, 1.0) | dict(voxel_size or {})
        scale = [size[axis] * (step if axis in "yx" else 1) for axis in axes]
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    described = [
        {"name": axis, "type": _TYPES[axis]} | ({"unit": unit} if unit and axis in "zyx" else {})
        for axis in axes
    ]
    return {"version": version, "name": "stack", "axes": described, "datasets": datasets}


def _write_array(
    path: Path, data: NDArray[Any], version: str, chunks: tuple[int, ...] | None, options: Mapping[str, Any]
) -> None:
    chunks = chunks or (*(1,) * (data.ndim - 2), *data.shape[-2:])
    given = {"shape": data.shape, "chunks": chunks, "dtype": data.dtype} | dict(options)
    separator = given.pop("separator", "/")
    if ZARR_2_ONLY:
        made: Any = zarr.open_array(str(path), mode="w", dimension_separator=separator, **given)
    else:
        form = 2 if version == "0.4" else 3
        keys = {"name": "v2" if form == 2 else "default", "separator": separator}
        made = zarr.create_array(str(path), zarr_format=form, chunk_key_encoding=keys, **given)
    made[...] = data
