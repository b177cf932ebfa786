"""Join crops on the grid of their image, and write the image plane by plane. It may be larger than the memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import tifffile
from numpy.typing import DTypeLike, NDArray

from napari_integrated_cell.imaging.writing import channel_metadata, write_planes


class _Crop(NamedTuple):
    """Where a crop of several channels lies in the image, and from which byte on in the file."""

    offset: tuple[int, int, int]
    shape: tuple[int, int, int]
    start: int


class FieldCanvas:
    """Channels of an image of unsigned integers, kept as crops in a temporary file.

    Where crops overlap, the brighter voxel stays. Use it as a context: the file is removed at the end.

    Parameters
    ----------
    shape : tuple of int
        Grid (Z, Y, X) of the image.
    folder : Path
        Where the temporary file lies.
    dtype : numpy type
        Of the values.
    """

    def __init__(self, shape: tuple[int, int, int], folder: Path, dtype: DTypeLike = np.uint16) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.names: tuple[str, ...] = ()
        self._crops: list[_Crop] = []
        handle, name = tempfile.mkstemp(prefix=".canvas-", dir=folder)
        self._path, self._file = Path(name), os.fdopen(handle, "w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def paste(self, volumes: Mapping[str, NDArray[Any]], offset: tuple[int, int, int]) -> None:
        """Draw the channels of a crop, (Z, Y, X) each, that begins at ``offset``.

        Raises
        ------
        ValueError
            If it has other channels than the crops before it, or does not lie in the image.
        """
        self.names = self.names or tuple(volumes)
        if tuple(volumes) != self.names:
            raise ValueError(f"A crop has the channels {', '.join(volumes)}, not {', '.join(self.names)}.")
        z, y, x = next(iter(volumes.values())).shape
        if any(o < 0 or o + n > whole for o, n, whole in zip(offset, (z, y, x), self.shape, strict=True)):
            raise ValueError(f"A crop of {(z, y, x)} at {offset} does not lie in an image of {self.shape}.")
        self._crops.append(_Crop(offset, (z, y, x), self._file.seek(0, os.SEEK_END)))
        for volume in volumes.values():
            self._file.write(np.ascontiguousarray(volume, self.dtype).data)

    def planes(self, base: Path | None = None) -> Iterator[NDArray[Any]]:
        """Yield every plane (Y, X), channel by channel, each joined with that of a file that was written before."""
        depth = self.shape[0]
        before = tifffile.TiffFile(base) if base is not None else None
        try:
            for c in range(len(self.names)):
                for z in range(depth):
                    plane = self._plane(c, z)
                    if before is not None:
                        np.maximum(plane, before.pages[c * depth + z].asarray(), out=plane)
                    yield plane
        finally:
            if before is not None:
                before.close()

    def _plane(self, channel: int, z: int) -> NDArray[Any]:
        """Return one plane of one channel."""
        plane = np.zeros(self.shape[1:], self.dtype)
        for (first, y, x), (depth, rows, columns), start in self._crops:
            if not first <= z < first + depth:
                continue
            number = channel * depth + z - first
            self._file.seek(start + number * rows * columns * self.dtype.itemsize)
            part = np.fromfile(self._file, self.dtype, rows * columns).reshape(rows, columns)
            target = plane[y : y + rows, x : x + columns]
            np.maximum(target, part, out=target)
        return plane

    def write(
        self,
        path: Path,
        voxel_size: tuple[float, float, float],
        description: str = "",
        *,
        base: Path | None = None,
    ) -> Path:
        """Write the image as an OME-TIFF, joined with ``base``, a file of the same channels and grid.

        Raises
        ------
        OSError
            If the file cannot be written. An existing one is then unchanged.
        """
        metadata: dict[str, Any] = channel_metadata(self.names, description)
        shape = (len(self.names), *self.shape)
        return write_planes(path, self.planes(base), shape, self.dtype, voxel_size, metadata)
