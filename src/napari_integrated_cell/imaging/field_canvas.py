"""Join crops on the grid of their image, and write the image plane by plane. It may be larger than the memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_integrated_cell.imaging.writing import channel_metadata, write_planes


class FieldCanvas:
    """Channels of an image of ``uint16`` in a temporary file. Where crops overlap, the brighter one stays.

    Use it as a context: the file is removed at the end.

    Parameters
    ----------
    shape : tuple of int
        Grid (Z, Y, X) of the image.
    folder : Path
        Where the temporary file lies. Parts of the image without a crop take no room on most disks.
    """

    def __init__(self, shape: tuple[int, int, int], folder: Path) -> None:
        self.shape = shape
        self.names: tuple[str, ...] = ()
        handle, name = tempfile.mkstemp(prefix=".canvas-", dir=folder)
        os.close(handle)
        self._path = Path(name)
        # Planes (channel, z) that hold something. The others are not read back.
        self._drawn: set[tuple[int, int]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def paste(self, volumes: Mapping[str, NDArray[np.uint16]], offset: tuple[int, int, int]) -> None:
        """Draw the channels of a crop, (Z, Y, X) each, that begins at ``offset``.

        Raises
        ------
        ValueError
            If it has other channels than the crops before it.
        """
        if not self.names:
            self.names = tuple(volumes)
            os.truncate(self._path, len(self.names) * int(np.prod(self.shape)) * 2)
        if tuple(volumes) != self.names:
            raise ValueError(f"A crop has the channels {', '.join(volumes)}, not {', '.join(self.names)}.")
        for c, volume in enumerate(volumes.values()):
            filled = np.flatnonzero(volume.any(axis=(1, 2)))
            if len(filled) == 0:
                continue
            ours = slice(int(filled[0]), int(filled[-1]) + 1)
            z, y, x = (slice(o, o + n) for o, n in zip(offset, volume.shape, strict=True))
            rows = slice(z.start + ours.start, z.start + ours.stop)
            # A map that stays open counts as memory of this process, plane after plane.
            target = np.memmap(self._path, np.uint16, "r+", shape=(len(self.names), *self.shape))[
                c, rows, y, x
            ]
            np.maximum(target, volume[ours], out=target)
            self._drawn |= {(c, i) for i in range(rows.start, rows.stop)}

    def planes(self, base: Path | None = None) -> Iterator[NDArray[np.uint16]]:
        """Yield every plane (Y, X), channel by channel, each joined with that of a file that was written before."""
        z, y, x = self.shape
        empty = np.zeros((y, x), np.uint16)
        before = tifffile.TiffFile(base) if base is not None else None
        try:
            for c in range(len(self.names)):
                for i in range(z):
                    number = c * z + i
                    plane = empty
                    if (c, i) in self._drawn:
                        plane = np.fromfile(self._path, np.uint16, y * x, offset=number * y * x * 2).reshape(
                            y, x
                        )
                    if before is not None:
                        plane = np.maximum(plane, before.pages[number].asarray())
                    yield plane
        finally:
            if before is not None:
                before.close()

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
        return write_planes(path, self.planes(base), shape, np.dtype(np.uint16), voxel_size, metadata)
