"""Blur volumes by Gaussians. Along each axis the blur is a sparse matrix of few diagonals."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_integrated_cell.arrays import Floats

# A Gaussian ends at this many standard deviations.
_TRUNCATE = 3.0


def gaussian_reach(sigma: float) -> int:
    """Return how many voxels a Gaussian of ``sigma`` voxels reaches to either side."""
    return int(_TRUNCATE * sigma + 0.5)


def gaussian_weights(count: int, sigma: float, beyond: Literal["nearest", "constant"]) -> Any:
    """Return the blur along an axis as a sparse matrix of float32, (``count``, ``count``).

    Parameters
    ----------
    count : int
        Voxels along the axis.
    sigma : float
        Width of the Gaussian in voxels; 0 does not blur.
    beyond : {"nearest", "constant"}
        Whether the axis continues beyond its ends with the outermost voxels, or with zeros.
    """
    reach = gaussian_reach(sigma)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2) if reach else np.ones(1)
    places = np.arange(count)[:, None] + offsets
    values = np.tile(kernel / kernel.sum(), (count, 1))
    if beyond == "constant":
        values[(places < 0) | (places >= count)] = 0
    first = np.arange(count + 1) * len(offsets)
    weights = sparse.csr_array(
        (values.ravel(), np.clip(places, 0, count - 1).ravel(), first), shape=(count, count)
    )
    weights.sum_duplicates()
    return weights.astype(np.float32)


def weighted(volume: NDArray[Any], along_z: Any, along_y: Any, along_x: Any) -> Floats:
    """Multiply a volume by one sparse matrix along each axis, first Z, then Y, then X.

    Parameters
    ----------
    volume : array, (Z, Y, X)
    along_z, along_y, along_x : sparse array of float32, (new length, length)

    Returns
    -------
    array, (Z, Y, X) float32, with the new lengths
    """
    _, rows, columns = volume.shape
    planes = along_z @ volume.reshape(len(volume), -1).astype(np.float32)
    # The axis of a matrix comes first. The others make one long axis, which a weight multiplies at once.
    lines = along_y @ planes.reshape(-1, rows, columns).swapaxes(0, 1).reshape(rows, -1)
    points = along_x @ lines.reshape(-1, columns).T
    return points.reshape(along_x.shape[0], along_y.shape[0], along_z.shape[0]).transpose(2, 1, 0)
