"""Deformed copies of few cells: a model that is adapted to fifty cells sees more shapes than these."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_ic_train.data.training_cells import Cells
from napari_integrated_cell.arrays import Indices

STRETCH = (0.1, 0.15, 0.15)
"""Standard deviation of the logarithm of the factor along Z, Y and X."""
SHEAR_IN_PLANE, TILT = 0.1, 0.03
"""Standard deviation of the shears within the plane of X and Y, and of those between this plane and Z."""
SHIFT = (0.25, 0.5, 0.5)
"""Standard deviation of the shift along Z, Y and X, in voxels."""


class DeformedCells:
    """Copies of cells, each stretched, sheared and shifted at random; the first copy of a cell is the cell itself.

    All channels of a cell are deformed together, so a structure keeps its place relative to membrane and nucleus. A
    copy depends on ``seed`` and its index only: it is the same whenever it is read.

    Parameters
    ----------
    cells : Cells
        The cells.
    copies : int
        Number of copies of each, 1 or more.
    seed : int
        Random seed of the deformations.

    Attributes
    ----------
    labels : array of int, (copies * len(cells),)
        Index of each copy's structure.
    """

    def __init__(self, cells: Cells, copies: int, seed: int) -> None:
        if copies < 1:
            raise ValueError(f"The number of copies is {copies}: give 1 or more.")
        self._cells, self._copies, self._seed = cells, copies, seed
        self.labels: Indices = np.tile(np.asarray(cells.labels), copies)

    def __len__(self) -> int:
        return len(self._cells) * self._copies

    def images(self, indices: Indices) -> Tensor:
        """Return references and structure of copies, (n, R + 1, Z, Y, X)."""
        indices = np.asarray(indices)
        x = self._cells.images(indices % len(self._cells))
        maps = [deformation(self._seed, int(i)) for i in indices]
        for place in np.flatnonzero(indices < len(self._cells)):
            maps[place] = np.eye(3, 4)
        return deformed(x, np.stack(maps)) if len(maps) else x

    def references(self, indices: Indices) -> Tensor:
        """Return the reference channels of copies, (n, R, Z, Y, X)."""
        return self.images(indices)[:, :-1]


def deformation(seed: int, index: int) -> np.ndarray:
    """Draw an affine map (3, 4) around the centre, in voxels and in the order Z, Y, X."""
    random = np.random.default_rng([seed, index])
    shears = np.full((3, 3), TILT)
    shears[1, 2] = shears[2, 1] = SHEAR_IN_PLANE
    np.fill_diagonal(shears, 0)
    linear = np.diag(np.exp(random.normal(0, STRETCH))) + random.normal(0, 1, (3, 3)) * shears
    return np.concatenate([linear, random.normal(0, SHIFT)[:, None]], axis=1)


def deformed(x: Tensor, maps: np.ndarray) -> Tensor:
    """Resample images (N, C, Z, Y, X) by affine maps (N, 3, 4) from the new to the old voxels; outside is zero.

    A map that is the identity leaves its image as it is, bit for bit.
    """
    half = np.array(x.shape[2:]) / 2
    # PyTorch's grid runs from -1 to 1 along each axis and lists X first.
    scaled = np.concatenate([maps[:, :, :3] * (half / half[:, None]), maps[:, :, 3:] / half[:, None]], axis=2)
    backwards = np.concatenate([scaled[:, ::-1, 2::-1], scaled[:, ::-1, 3:]], axis=2)
    theta = torch.from_numpy(np.ascontiguousarray(backwards)).to(x.dtype)
    grid = F.affine_grid(theta, [len(x), 1, *x.shape[2:]], align_corners=False)
    resampled = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    same = torch.from_numpy((maps == np.eye(3, 4)).all(axis=(1, 2)))
    return torch.where(same[:, None, None, None, None], x, resampled)
