"""Find every cell of a field in one pass over the planes of its segmentations."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.imaging.cropping import Window, grown, union

# Voxels are counted in tiles of this many voxels (along Z; along Y and X). Voxels of one label in tiles that do not
# touch cannot touch either.
_DEEP, _TILE = 4, 64
# A group of touching tiles with fewer than this share of the label's voxels is far too small to be a piece of the cell
# (imaging.pieces keeps pieces of a tenth of the largest): its tiles are not read.
_LEAST = 0.02
# How far (µm) a nucleus may reach beyond its cell if it has another label.
_NUCLEUS_BEYOND = 10.0

MARGIN = 1.0
"""Room around a cell in µm, as :func:`~napari_integrated_cell.imaging.segmenting.cell_from_labels` leaves."""


@dataclass(frozen=True)
class CellPlace:
    """Where a cell lies in its field.

    Attributes
    ----------
    label : int
        The cell's label.
    window : tuple of slice
        A part (Z, Y, X) of the field that contains the cell and its nucleus, with room around them. Stray voxels far
        away from the cell may lie outside.
    """

    label: int
    window: Window


class FieldSurvey:
    """The labels of a field, counted plane by plane.

    Parameters
    ----------
    shape : tuple of int
        Grid (Z, Y, X) of the field.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._cells, self._nuclei = _Tiles(), _Tiles()
        # Of each cell: the voxels that it shares with each nucleus.
        self._shared: defaultdict[int, Counter[int]] = defaultdict(Counter)

    @property
    def labels(self) -> list[int]:
        """The labels of the cells, in order."""
        return sorted(self._cells.counts)

    def add(self, z: int, cells: NDArray[Any], nuclei: NDArray[Any]) -> None:
        """Count the planes (Y, X) at ``z``."""
        self._cells.add(z, cells)
        self._nuclei.add(z, nuclei)
        both = (cells != 0) & (nuclei != 0)
        if not both.any():
            return
        (ours, cell), (theirs, nucleus) = _ranked(cells[both]), _ranked(nuclei[both])
        pairs = np.bincount(cell.astype(np.int64) * len(theirs) + nucleus, minlength=len(ours) * len(theirs))
        for at in np.flatnonzero(pairs):
            self._shared[int(ours[at // len(theirs)])][int(theirs[at % len(theirs)])] += int(pairs[at])

    def place(self, label: int, voxel_size: tuple[float, float, float]) -> CellPlace:
        """Return where a cell and its nucleus lie, with :data:`MARGIN` around them.

        Raises
        ------
        ValueError
            If there is no such label.
        """
        if label not in self._cells.counts:
            raise ValueError(f"There is no cell with label {label}.")
        window = self._cells.window(label, self.shape)
        shared = self._shared[label]
        if label in shared:
            window = union(window, self._nuclei.window(label, self.shape))
        if any(nucleus != label for nucleus in shared):
            # Nuclei with numbers of their own, or one mask of all nuclei: most of such a nucleus lies in its cell.
            window = grown(window, _voxels(_NUCLEUS_BEYOND, voxel_size), self.shape)
        return CellPlace(label, grown(window, _voxels(MARGIN, voxel_size), self.shape))


class _Tiles:
    """Voxels of each label in each tile (z, y, x)."""

    def __init__(self) -> None:
        self.counts: defaultdict[int, Counter[tuple[int, int, int]]] = defaultdict(Counter)

    def add(self, z: int, plane: NDArray[Any]) -> None:
        across = -(-plane.shape[1] // _TILE)
        column = (np.arange(plane.shape[1]) // _TILE).astype(np.int64)
        for row, top in enumerate(range(0, plane.shape[0], _TILE)):
            strip = plane[top : top + _TILE]
            labels, ranks = _ranked(strip)
            if len(labels) == 1 and labels[0] == 0:
                continue
            code = ranks * np.int64(across) + column
            counts = np.bincount(code.ravel(), minlength=len(labels) * across)
            for at in np.flatnonzero(counts):
                label = int(labels[at // across])
                if label != 0:
                    self.counts[label][z // _DEEP, row, int(at % across)] += int(counts[at])

    def window(self, label: int, shape: tuple[int, int, int]) -> Window:
        """Return the part of the field with all tiles of a label, but for groups of few voxels apart from it."""
        tiles = self.counts[label]
        at = np.array(list(tiles))
        group = _touching(at)
        voxels = np.bincount(group, weights=np.array(list(tiles.values()), float))
        kept = at[(voxels >= _LEAST * voxels.sum())[group]]
        z, y, x = (
            slice(int(first) * size, min((int(last) + 1) * size, n))
            for first, last, size, n in zip(
                kept.min(0), kept.max(0), (_DEEP, _TILE, _TILE), shape, strict=True
            )
        )
        return z, y, x


def _touching(tiles: Indices) -> Indices:
    """Return the group of each tile (N, 3); tiles that touch, also at a corner, are in one group."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(tiles).query_pairs(1, p=np.inf, output_type="ndarray")
    graph = csr_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(tiles),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1])


def _ranked(labels: NDArray[Any]) -> tuple[NDArray[Any], Indices]:
    """Return the values that occur, in order, and the index of each voxel's value among them."""
    top = int(labels.max(initial=0))
    if top >= 1 << 20 or labels.dtype.kind not in "ui":
        values, ranks = np.unique(labels, return_inverse=True)
        return values, ranks.reshape(labels.shape)
    there = np.zeros(top + 1, bool)
    there[labels.ravel()] = True
    values = np.flatnonzero(there)
    rank = np.zeros(top + 1, np.int64)
    rank[values] = np.arange(len(values))
    return values, rank[labels]


def _voxels(length: float, voxel_size: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return a length in µm as whole voxels (Z, Y, X), rounded up."""
    z, y, x = (int(np.ceil(length / step)) for step in voxel_size)
    return z, y, x
