"""Intensities as section 3.1 prepares them: background off, negatives to zero, scaled to 1, masked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Floats, Mask

# The standard normal distribution one standard deviation below its mean.
_ONE_SIGMA_TAIL = 0.158655


def most_populous(image: NDArray[Any]) -> float:
    """The most populous intensity of an image of any shape (section 3.1).

    Integers are counted exactly; of equally frequent ones the lowest counts. Floats are counted in 1024 bins
    up to their 99.9th percentile, so that a hot pixel cannot make the bins coarse, and the median of the
    fullest bin is taken: where most voxels share one value exactly, that is the value.
    """
    values = np.asarray(image).ravel()
    if values.size == 0:
        raise ValueError("The image is empty: there is no intensity to subtract.")
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
    """``image`` less its most populous intensity, negative voxels set to zero, float32.

    With ``around`` only that part of it is returned; the intensity is still counted over the whole.
    """
    above = np.asarray(image)[around].astype(np.float32)
    above -= np.float32(most_populous(image))
    return np.maximum(above, 0, out=above)


def scaled_to_one(image: Floats, ceiling: float = 100.0) -> Floats:
    """``image`` scaled so that its ``ceiling`` percentile of voxels above zero is 1, clipped there.

    The paper rescales to between 0 and 1 and says no more: 100, the hottest voxel, is the default. A lower
    value (99.9) tolerates hot pixels.
    """
    bright = image[image > 0]
    if bright.size == 0:
        return np.zeros_like(image, dtype=np.float32)
    top = float(bright.max() if ceiling >= 100 else np.percentile(bright, ceiling))
    return np.minimum(image / np.float32(top), np.float32(1))


def normalise(image: NDArray[Any], mask: Mask | None = None) -> Floats:
    """One channel as section 3.1 normalises it.

    The most populous intensity of the whole image is subtracted, negative voxels are set to zero, and the
    rest is scaled to a maximum of 1.

    Parameters
    ----------
    image : array, (Z, Y, X)
    mask : array of bool, (Z, Y, X), optional
        Everything outside is set to zero before scaling.

    Returns
    -------
    array, (Z, Y, X) float32 in [0, 1]
    """
    above = above_background(image)
    if mask is not None:
        if np.shape(mask) != above.shape:
            raise ValueError(
                f"The mask has shape {np.shape(mask)} but the image {above.shape}: give them one grid."
            )
        above *= mask
    return scaled_to_one(above)


def dilated(mask: Mask, distance: float, voxel_size: tuple[float, float, float]) -> Mask:
    """``mask`` dilated by ``distance`` µm, the same in every direction whatever the voxels.

    A Gaussian of that width has fallen to its one-sigma tail just ``distance`` outside a flat surface: one
    separable blur, many times faster than a distance transform, and smoother than the voxels' steps.
    """
    sigma = [distance / v for v in voxel_size]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest", truncate=3.0)
    return (blurred > _ONE_SIGMA_TAIL) | mask
