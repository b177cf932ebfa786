"""Similarity of two images of the same cell."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from napari_integrated_cell.arrays import Reals

WINDOW = 7
"""Edge length in voxels of the cubes that SSIM compares."""
EPSILON = 1e-7


def binary_cross_entropy(x: Reals, x_hat: Reals) -> float:
    """Return the mean over voxels of -x log x̂ - (1 - x) log(1 - x̂), the reconstruction loss (equations 3, 13).

    The unit is nats. For a perfect reconstruction it is the entropy of the voxel values; that is 0 only if all
    values are 0 or 1.
    """
    x = np.asarray(x, np.float64)
    p = np.clip(np.asarray(x_hat, np.float64), EPSILON, 1 - EPSILON)
    return float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).mean())


def ssim(x: Reals, x_hat: Reals) -> float:
    """Return the mean structural similarity in 3D (Wang et al. 2004) of two images (Z, Y, X) in [0, 1].

    The windows are cubes with an edge of :data:`WINDOW` voxels, or less if the box is smaller.
    """
    edge = min(WINDOW, *x.shape)
    window = edge if edge % 2 else edge - 1
    return float(structural_similarity(np.asarray(x), np.asarray(x_hat), data_range=1.0, win_size=window))
