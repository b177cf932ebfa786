"""Write volumes with their names and voxel size as an OME-TIFF."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import checked_voxel_size
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.processes import computed_ahead

FileType = Literal["uint16", "uint8"]
#: Types of the values in files of predictions. The largest value means an intensity of 1.
FILE_TYPES: tuple[FileType, ...] = ("uint16", "uint8")
_SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
# Classic TIFF counts bytes in 32 bits. BigTIFF is the safe choice from half of that on.
_BIG = 2 * 1024**3
# Largest edge of a tile in voxels. Planes of more than two tiles are written in tiles, smaller ones row by row.
_TILE = 256
_LEVEL = 4  # of zlib's compression
# Voxel sizes that differ by more than this share are two sizes.
_SAME = 1e-3


class ChannelVolumes(dict[str, NDArray[Any]]):
    """Volumes (Z, Y, X) by channel name, on one grid with a known voxel size (Z, Y, X) in µm."""

    def __init__(self, volumes: Mapping[str, NDArray[Any]], voxel_size: tuple[float, float, float]) -> None:
        super().__init__(volumes)
        self.voxel_size = checked_voxel_size(voxel_size)


def write_ome_tiff(
    path: str | os.PathLike[str],
    volumes: Mapping[str, NDArray[Any]],
    voxel_size: tuple[float, float, float],
    *,
    description: str = "",
    overwrite: bool = True,
) -> Path:
    """Write volumes as the channels of one OME-TIFF (axes C, Z, Y, X).

    The file appears when it is complete. After an error or on a full disk, an existing file is unchanged.

    Parameters
    ----------
    path : path-like
        A name that ends in ``.ome.tiff`` (or ``.ome.tif``, ``.tiff``, ``.tif``), in an existing folder.
    volumes : mapping of str to array, each (Z, Y, X)
        Channel name to volume, in the order of the file's channels. The file's type is float32 if any volume is
        floating-point, else an integer type that holds them all.
    voxel_size : tuple of float
        Voxel size of the volumes, (Z, Y, X) in µm. The volumes of an
        :class:`~napari_integrated_cell.integration.Integration` lie in the model's box and have its voxel size,
        not the image's: use :meth:`~napari_integrated_cell.integration.Integration.save`.
    description : str
        Text for the file's OME metadata.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there are no volumes, they are not 3D or differ in shape, the voxel size is invalid or is known to be
        another one, or the name does not end as a TIFF's.
    OSError
        If the folder is missing or cannot be written, the file exists and may not be replaced, or the disk is
        full.
    """
    path = Path(path)
    z, y, x = checked_voxel_size(voxel_size)
    known = volumes.voxel_size if isinstance(volumes, ChannelVolumes) else (z, y, x)
    if not np.allclose(known, (z, y, x), rtol=_SAME, atol=0):
        raise ValueError(
            f"The volumes have a voxel size of {known} µm, not {(z, y, x)} µm: give their own, or "
            "write them with Integration.save."
        )
    arrays = _checked(volumes)
    dtype = _common_type(arrays)
    check_tiff_path(path, overwrite)

    shape = (len(arrays), *next(iter(arrays.values())).shape)
    metadata = channel_metadata(arrays, description)
    return write_planes(path, _planes(arrays, dtype), shape, dtype, (z, y, x), metadata)


def channel_metadata(names: Iterable[str], description: str = "") -> dict[str, Any]:
    """Return the metadata of an OME-TIFF with these channels, for :func:`write_planes`."""
    metadata: dict[str, Any] = {"Channel": {"Name": [_printable(name).replace('"', "'") for name in names]}}
    if description:
        metadata["Description"] = _printable(description)
    return metadata


def write_planes(
    path: Path,
    planes: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    voxel_size: tuple[float, float, float],
    metadata: Mapping[str, Any],
) -> Path:
    """Write the (Y, X) planes of an image of ``shape`` ([T,] C, Z, Y, X) as an OME-TIFF, a few planes at a time."""
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", voxel_size, strict=True)}
    units = {f"{name}Unit": "µm" for name in sizes}
    rows, columns = shape[-2:]
    tile = (_edge(rows), _edge(columns)) if max(rows, columns) > 2 * _TILE else None
    # Differences of neighbours are smaller to store. Few programs read those of floating-point numbers.
    differences = dtype.kind in "iu"
    with atomic_write(path) as aside:
        tifffile.imwrite(
            aside,
            planes if tile is None else _encoded_tiles(planes, tile, dtype, differences),
            shape=shape,
            dtype=dtype,
            ome=True,
            bigtiff=int(np.prod(shape)) * dtype.itemsize > _BIG,
            photometric="minisblack",
            tile=tile,
            compression="zlib",
            compressionargs={"level": _LEVEL},
            predictor=differences,
            metadata={"axes": "TCZYX"[-len(shape) :], **metadata, **sizes, **units},
        )
    return path


def _edge(length: int) -> int:
    """Return the edge of the tiles along an axis: a multiple of 16, as TIFF wants, that covers it with little rest."""
    return 16 * math.ceil(length / math.ceil(length / _TILE) / 16)


def _encoded_tiles(
    planes: Iterator[NDArray[Any]], tile: tuple[int, int], dtype: np.dtype[Any], differences: bool
) -> Iterator[bytes]:
    """Yield the compressed tiles of each plane, row by row. All cores compress; an empty tile is compressed once."""

    def encoded(values: NDArray[Any]) -> bytes:
        whole = np.zeros(tile, dtype)
        whole[: values.shape[0], : values.shape[1]] = values
        stored = imagecodecs.delta_encode(whole) if differences else whole
        return bytes(imagecodecs.deflate_encode(np.asarray(stored).tobytes(), level=_LEVEL))

    empty = encoded(np.zeros(tile, dtype))

    def tiles_of(plane: NDArray[Any]) -> list[bytes]:
        rows, columns = (range(0, n, edge) for n, edge in zip(plane.shape, tile, strict=True))
        parts = (plane[y : y + tile[0], x : x + tile[1]] for y in rows for x in columns)
        return [encoded(part) if part.any() else empty for part in parts]

    for tiles in computed_ahead(tiles_of, planes, os.cpu_count() or 1):
        yield from tiles.result()


def _checked(volumes: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    if not volumes:
        raise ValueError("There is nothing to write: give at least one volume.")
    arrays = {str(name): np.asarray(volume) for name, volume in volumes.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or any(len(shape) != 3 for shape in shapes):
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The volumes of a file must have one (Z, Y, X) shape, but these do not: {listed}.")
    z, y, x = next(iter(shapes))
    if z < 1 or y < 2 or x < 2:
        raise ValueError(
            f"Volumes of shape {(z, y, x)} are not images: a plane needs at least two voxels along Y and X."
        )
    return arrays


def _common_type(arrays: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
    """Return the type of the file's values."""
    together = np.result_type(*arrays.values())
    if np.issubdtype(together, np.floating):
        return np.dtype(np.float32)
    if together.kind == "b":
        return np.dtype(np.uint8)
    if not np.issubdtype(together, np.integer):
        raise ValueError(f"Volumes of type {together} cannot be written: give integers or real numbers.")
    if together.itemsize <= 4:
        return together
    low, high = min(int(a.min()) for a in arrays.values()), max(int(a.max()) for a in arrays.values())
    for narrow in (np.dtype(np.uint32), np.dtype(np.int32)):
        if np.iinfo(narrow).min <= low and high <= np.iinfo(narrow).max:
            return narrow
    raise ValueError(f"Values from {low} to {high} exceed OME-TIFF's 32-bit integers: convert to float32.")


def check_tiff_path(path: Path, overwrite: bool = True) -> None:
    """Check that a TIFF may be written to a path.

    Raises
    ------
    ValueError
        If the name does not end as a TIFF's.
    OSError
        If it is a folder, its folder is missing, or it exists and may not be replaced.
    """
    if not path.name.lower().endswith(_SUFFIXES):
        raise ValueError(f"{path.name!r} is not the name of a TIFF: end it in .ome.tiff.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist: make it first or choose another.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: choose another name or allow it to be replaced.")


def _printable(text: str) -> str:
    """Return ``text`` with blanks for the control characters that XML forbids."""
    return "".join(c if c.isprintable() or c in "\t\n" else " " for c in text)


def _planes(arrays: Mapping[str, NDArray[Any]], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield every (Y, X) plane. A field's volumes are too large to copy."""
    for array in arrays.values():
        for plane in array:
            yield np.ascontiguousarray(plane, dtype=dtype)


def quantised_volumes(volumes: Mapping[str, Floats], dtype: FileType) -> dict[str, NDArray[Any]]:
    """Return volumes with intensities in [0, 1] as they are written to a file.

    Raises
    ------
    ValueError
        If a file cannot have values of this type.
    """
    if dtype not in FILE_TYPES:
        raise ValueError(f"Volumes cannot be written as {dtype!r}: choose {' or '.join(FILE_TYPES)}.")
    return {name: quantised(volume, np.dtype(dtype).type) for name, volume in volumes.items()}


def quantised(volume: Floats, dtype: type[np.generic]) -> NDArray[Any]:
    """Return intensities in [0, 1] as ``dtype``. An integer type is used over its whole positive range."""
    if issubclass(dtype, np.integer):
        return np.round(np.clip(volume, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)
    return volume.astype(dtype)
