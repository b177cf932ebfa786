"""Resample an image onto another grid that is rotated, shifted or flipped, with one interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Doubles, Floats


def grid_affine(voxel_size: tuple[float, float, float], offset: tuple[float, float, float]) -> Doubles:
    """Return the (4, 4) affine from voxel indices (z, y, x) of a crop to µm in the image.

    Parameters
    ----------
    voxel_size : tuple of float
        Edge lengths (Z, Y, X) in µm.
    offset : tuple
        Index (Z, Y, X) of the crop's first voxel in the image.
    """
    scale = np.asarray(voxel_size, dtype=np.float64)
    affine = np.diag([*scale, 1.0])
    affine[:3, 3] = scale * np.asarray(offset, dtype=np.float64)
    return affine


def resample(
    image: NDArray[Any],
    source_grid: Doubles,
    source_to_target: Doubles,
    target_grid: Doubles,
    target_shape: tuple[int, int, int],
    order: int = 1,
) -> Floats:
    """Resample ``image`` onto another grid, with one interpolation.

    If the target's voxels are larger than the source's by a factor f along an axis, the image is first blurred along
    this axis by a Gaussian of (f - 1) / 2 source voxels, against aliasing. Otherwise it is not blurred.

    Parameters
    ----------
    image : array, (Z, Y, X)
    source_grid, target_grid : array, (4, 4)
        Affines from voxel indices to µm, each in its own frame (:func:`grid_affine`).
    source_to_target : array, (4, 4)
        Rigid affine between the frames, in µm.
    target_shape : tuple of int
        The new grid (Z, Y, X).
    order : int
        1 for intensities; 0, which does not blur, for labels and masks.

    Returns
    -------
    array, ``target_shape`` float32
        Zero outside the image.
    """
    to_source = np.linalg.inv(source_grid) @ np.linalg.inv(source_to_target) @ target_grid
    source = np.asarray(image, dtype=np.float32)
    if order > 0:
        # Width of one target voxel along each source axis, in source voxels.
        shrink = np.sqrt((to_source[:3, :3] ** 2).sum(axis=1))
        sigma = np.maximum(shrink - 1, 0) / 2
        sigma[sigma < 0.15] = 0.0  # such a kernel keeps 99.9 % of a voxel in its place
        if sigma.any():
            source = ndimage.gaussian_filter(source, sigma, mode="nearest", truncate=3.0)
    return ndimage.affine_transform(
        source, to_source, output_shape=target_shape, output=np.float32, order=order, mode="grid-constant"
    )
