"""A field that is larger than the memory, with one cell in it. What is read of it is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np


@dataclass
class LazyField:
    """Lazy volumes (Z, Y, X) that are empty but for one cell.

    Parameters
    ----------
    cell : Cell
    shape, chunks : tuple of int
        (Z, Y, X), of the volumes.
    at : tuple of int
        Index of the first voxel of the cell's crop.
    """

    cell: Any
    shape: tuple[int, int, int]
    chunks: tuple[int, int, int]
    at: tuple[int, int, int]
    read: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    """Name of the volume and index of the chunk, for each chunk that was read."""

    def volume(self, name: str) -> Any:
        """A channel of the cell, or ``"cells"`` or ``"nuclei"``."""
        data = {"cells": self.cell.cell_mask, "nuclei": self.cell.nucleus_mask}.get(name)
        background = 0 if data is not None else 100
        data = self.cell.channels[name] if data is None else data.astype(np.uint16) * 7

        def make(block_info: Any = None) -> Any:
            where = block_info[None]["array-location"]
            self.read.append((name, tuple(block_info[None]["chunk-location"])))
            block = np.full([stop - start for start, stop in where], background, data.dtype)
            here, there = [], []
            for (start, stop), first, n in zip(where, self.at, data.shape, strict=True):
                low, high = max(start, first), min(stop, first + n)
                if low >= high:
                    return block
                here.append(slice(low - start, high - start))
                there.append(slice(low - first, high - first))
            block[tuple(here)] = data[tuple(there)]
            return block

        chunks = da.core.normalize_chunks(self.chunks, self.shape)
        return da.map_blocks(make, chunks=chunks, dtype=data.dtype, meta=np.empty((0, 0, 0), data.dtype))

    @property
    def nucleus(self) -> tuple[int, int, int]:
        """Index of a voxel in the nucleus."""
        inside = np.argwhere(self.cell.nucleus_mask)
        z, y, x = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()] + self.at
        return int(z), int(y), int(x)

    def chunks_around(self, margin: tuple[int, int, int]) -> set[tuple[int, ...]]:
        """Indices of the chunks within a margin (voxels) around the cell's crop."""
        spans = [
            range(max(first - m, 0) // c, min(first + n + m, size) // c + 1)
            for first, n, m, c, size in zip(
                self.at, self.cell.shape, margin, self.chunks, self.shape, strict=True
            )
        ]
        return {(z, y, x) for z in spans[0] for y in spans[1] for x in spans[2]}
