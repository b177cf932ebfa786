"""Mean light of a structure by depth: by the distances to the surfaces of the cell and of its nucleus.

A prediction from depth alone knows the shape of the cell, and nothing else. A model that learnt where a structure is
should be better.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_integrated_cell.arrays import Doubles, Floats, Indices, Mask, Reals

BINS = 96
"""Bins of each distance: the last one holds everything that is farther away."""


def surface_distances(cell: Mask, nucleus: Mask, voxel_size: float) -> tuple[Doubles, Doubles]:
    """Return the distances in µm of all voxels to the surfaces of a cell and its nucleus, negative inside, (Z, Y, X).

    Without a nucleus all voxels are infinitely far from it.
    """
    return _signed(cell, voxel_size), _signed(nucleus, voxel_size)


class DepthProfile:
    """Mean light inside cells as a function of two distances, fitted cell by cell.

    Parameters
    ----------
    width : float
        Width of a bin in µm.

    Notes
    -----
    Each cell's light is divided by its own mean, so that bright cells do not weigh more than dark ones.
    """

    def __init__(self, width: float) -> None:
        self.width = width
        self.cells = 0
        self._light = np.zeros((BINS, BINS))
        self._voxels = np.zeros((BINS, BINS))

    def add(self, light: Reals, to_cell: Doubles, to_nucleus: Doubles) -> None:
        """Learn from one cell: its light and the two distances in µm, all (Z, Y, X). Dark cells are left out."""
        inside = to_cell <= 0
        values = np.asarray(light, np.float64)[inside]
        if values.sum() <= 0:
            return
        place = self._bins(to_cell[inside], to_nucleus[inside])
        self._light.reshape(-1)[:] += np.bincount(place, values / values.mean(), BINS * BINS)
        self._voxels.reshape(-1)[:] += np.bincount(place, minlength=BINS * BINS)
        self.cells += 1

    def predict(self, to_cell: Doubles, to_nucleus: Doubles) -> Floats:
        """Return the mean light at these distances in µm, 0 outside the cell, (Z, Y, X).

        It is 0 everywhere if no cell with light was added.
        """
        found = np.zeros(to_cell.shape, np.float32)
        if not self.cells:
            return found
        known = self._voxels > 0
        mean = np.divide(self._light, self._voxels, out=np.zeros_like(self._light), where=known)
        # A pair of distances that no fitted cell has takes the value of the nearest pair.
        nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
        filled = mean[tuple(nearest)].reshape(-1)
        inside = to_cell <= 0
        found[inside] = filled[self._bins(to_cell[inside], to_nucleus[inside])]
        return found

    def _bins(self, to_cell: Doubles, to_nucleus: Doubles) -> Indices:
        depth = np.clip(-to_cell / self.width, 0, BINS - 1).astype(np.int64)
        # A third of the bins lies inside the nucleus.
        far = np.clip(to_nucleus / self.width + BINS // 3, 0, BINS - 1).astype(np.int64)
        return depth * BINS + far


def _signed(mask: Mask, voxel_size: float) -> Doubles:
    if not mask.any():
        return np.full(mask.shape, np.inf)
    padded = np.pad(mask, 1)
    inside = ndimage.distance_transform_edt(padded)[1:-1, 1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray((outside - inside) * voxel_size, np.float64)
