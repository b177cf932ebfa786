"""How alike two images of one cell are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Volume = NDArray[np.floating]

WINDOW = 7
"""Edge, in voxels, of the cube in which structures are compared."""
SMALLEST = 1e-7


def binary_cross_entropy(x: Volume, x_hat: Volume) -> float:
    """Mean over voxels of -x log x̂ - (1 - x) log(1 - x̂), the reconstruction loss (equations 3, 13), in nats.

    Of a perfect image it is the entropy of the voxels' own values, not 0, unless all of them are 0 or 1.
    """
    x = np.asarray(x, np.float64)
    p = np.clip(np.asarray(x_hat, np.float64), SMALLEST, 1 - SMALLEST)
    return float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).mean())


def ssim(x: Volume, x_hat: Volume) -> float:
    """The mean structural similarity in 3D (Wang et al. 2004) of two images (Z, Y, X) in [0, 1].

    Windows are cubes of :data:`WINDOW` voxels, of the box's shortest edge where that is less.
    """
    edge = min(WINDOW, *x.shape)
    window = edge if edge % 2 else edge - 1
    return float(structural_similarity(np.asarray(x), np.asarray(x_hat), data_range=1.0, win_size=window))
