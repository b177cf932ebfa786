"""Normalise intensities as in section 3.1: subtract the background, clip at zero, mask, scale to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from napari_integrated_cell.arrays import Floats, Mask

# Cumulative standard normal distribution at -1.
_ONE_SIGMA_TAIL = 0.158655


def most_populous(image: NDArray[Any]) -> float:
    """Return the most populous intensity of an image of any shape (section 3.1).

    Integers are counted exactly; of equally frequent values the lowest is returned. Floats are counted in 1024 bins
    up to the 99.9th percentile, so that a hot pixel does not widen the bins, and the median of the fullest bin is
    returned: if most voxels share one exact value, that value.
    """
    values = np.asarray(image).ravel()
    if values.size == 0:
        raise ValueError("The image is empty: give an image with at least one voxel.")
    if values.dtype == bool:
        return float(values.mean() > 0.5)
    if np.issubdtype(values.dtype, np.integer):
        lowest = int(values.min())
        if int(values.max()) - lowest < 1 << 22:
            return float(lowest + np.bincount(values.astype(np.int64) - lowest).argmax())
    values = values.astype(np.float64, copy=False)
    low, high = float(values.min()), float(np.percentile(values, 99.9))
    if high <= low:
        return low
    counts, edges = np.histogram(values, bins=1024, range=(low, high))
    fullest = int(counts.argmax())
    inside = (values >= edges[fullest]) & (values <= edges[fullest + 1])
    return float(np.median(values[inside]))


def above_background(image: NDArray[Any], around: tuple[slice, ...] = ()) -> Floats:
    """Subtract the most populous intensity from ``image`` and set negative voxels to zero; float32.

    With ``around``, only that part is returned. The most populous intensity is still that of the whole image.
    """
    above = np.asarray(image)[around].astype(np.float32)
    above -= np.float32(most_populous(image))
    return np.maximum(above, 0, out=above)


def scaled_to_one(image: Floats, ceiling: float = 100.0) -> Floats:
    """Scale ``image`` so that the ``ceiling`` percentile of its positive voxels is 1, and clip there.

    The paper rescales to between 0 and 1 and does not say how. The default 100 is the brightest voxel; a lower value
    (99.9) is robust to hot pixels.
    """
    bright = image[image > 0]
    if bright.size == 0:
        return np.zeros_like(image, dtype=np.float32)
    top = float(bright.max() if ceiling >= 100 else np.percentile(bright, ceiling))
    return np.minimum(image / np.float32(top), np.float32(1))


def normalise(image: NDArray[Any], mask: Mask | None = None) -> Floats:
    """Normalise one channel as in section 3.1.

    Subtract the most populous intensity of the whole image, set negative voxels to zero, and scale the maximum to 1.

    Parameters
    ----------
    image : array, (Z, Y, X)
    mask : array of bool, (Z, Y, X), optional
        Voxels outside are set to zero before scaling.

    Returns
    -------
    array, (Z, Y, X) float32 in [0, 1]
    """
    above = above_background(image)
    if mask is not None:
        if np.shape(mask) != above.shape:
            raise ValueError(
                f"The mask has shape {np.shape(mask)} but the image {above.shape}: give both on one grid."
            )
        above *= mask
    return scaled_to_one(above)


def dilated(mask: Mask, distance: float, voxel_size: tuple[float, float, float]) -> Mask:
    """Dilate ``mask`` by ``distance`` µm in every direction, for any voxel size.

    A Gaussian of that width falls to its one-sigma tail at ``distance`` outside a flat surface. The separable blur is
    much faster than a distance transform, and smoother than the voxel grid.
    """
    sigma = tuple(distance / v for v in voxel_size)
    near = [int(3 * s + 0.5) for s in sigma]
    around = tuple(
        slice(max(int(filled[0]) - n, 0), int(filled[-1]) + n + 1)
        for n, filled in zip(near, _filled(mask), strict=True)
    )
    wide = mask.copy()
    wide[around] |= _blurred(mask[around].astype(np.float32), sigma) > _ONE_SIGMA_TAIL
    return wide


def _filled(mask: Mask) -> list[NDArray[Any]]:
    """Return the indices along each axis at which a mask has any voxel."""
    return [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]


def _blurred(image: Floats, sigma: tuple[float, ...]) -> Floats:
    """Blur a volume by a Gaussian with widths in voxels. Several times faster than ``ndimage.gaussian_filter``.

    Along each axis the blur is a matrix of few diagonals. It takes whole rows of voxels at once.
    """
    along_z, along_y, along_x = (
        sparse.csr_array(
            ndimage.gaussian_filter1d(np.eye(n, dtype=np.float32), s, axis=0, mode="nearest", truncate=3.0)
        )
        for n, s in zip(image.shape, sigma, strict=True)
    )
    blurred = (along_z @ image.reshape(len(image), -1)).reshape(image.shape)
    for plane in blurred:
        plane[:] = (along_x @ np.ascontiguousarray((along_y @ plane).T)).T
    return blurred


def within(mask: Mask, distance: float, voxel_size: tuple[float, float, float]) -> Mask:
    """Return which voxels lie at most ``distance`` µm from a voxel of ``mask``, centre to centre.

    For short distances this is much faster than a distance transform, and exact: the ball around a voxel consists of
    runs along X, and runs of one length are made for all voxels at once.
    """
    z_step, y_step, x_step = voxel_size
    room = [int(distance / v) for v in voxel_size]
    out = np.pad(mask, [(r, r) for r in room])
    runs = [out[..., room[2] : room[2] + mask.shape[2]].copy()]
    for reach in range(1, room[2] + 1):
        left = out[..., room[2] - reach : room[2] - reach + mask.shape[2]]
        right = out[..., room[2] + reach : room[2] + reach + mask.shape[2]]
        runs.append(runs[-1] | left | right)
    near = mask.copy()
    for dz in range(-room[0], room[0] + 1):
        for dy in range(-room[1], room[1] + 1):
            apart = np.hypot(dz * z_step, dy * y_step)
            reaches = np.flatnonzero(np.hypot(apart, np.arange(room[2] + 1) * x_step) <= distance)
            if len(reaches):
                near |= runs[reaches[-1]][
                    room[0] + dz : room[0] + dz + mask.shape[0], room[1] + dy : room[1] + dy + mask.shape[1]
                ]
    return near
