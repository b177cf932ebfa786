"""Normalise intensities as in section 3.1: subtract the background, clip at zero, mask, scale to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats, Mask
from napari_integrated_cell.imaging.cropping import extent_of_mask
from napari_integrated_cell.imaging.gaussians import gaussian_reach, gaussian_weights, weighted

# Integers are counted exactly if there are fewer values than this from the lowest to the highest.
_MOST_BINS = 1 << 22
# Cumulative standard normal distribution at -1.
_ONE_SIGMA_TAIL = 0.158655
# Rows (Y) of a mask that are dilated together.
_ROWS_AT_ONCE = 48


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
        lowest, highest = int(values.min()), int(values.max())
        first = 0 if lowest >= 0 and highest < _MOST_BINS else lowest
        if highest - first < _MOST_BINS:
            places = values.astype(np.int64)
            if first:
                places -= first
            return float(first + np.bincount(places).argmax())
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
    top = float(image.max(initial=0))
    if top <= 0:
        return np.zeros_like(image, dtype=np.float32)
    if ceiling < 100:
        top = float(np.percentile(image[image > 0], ceiling))
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
    sigma = [distance / v for v in voxel_size]
    weights = [gaussian_weights(n, s, "nearest") for n, s in zip(mask.shape, sigma, strict=True)]
    room_z, room_y, room_x = (gaussian_reach(s) for s in sigma)
    wide = mask.copy()
    # A cell rarely lies along the axes of its crop: of some rows at a time, only the part around it is blurred.
    for first in range(0, mask.shape[1], _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        near_rows = slice(max(rows.start - room_y, 0), rows.stop + room_y)
        filled = extent_of_mask(mask[:, near_rows])
        if filled is None:
            continue
        planes, _, columns = filled
        source = (planes, near_rows, columns)
        target = (_wider(planes, room_z), rows, _wider(columns, room_x))
        along = [w[there, here] for w, there, here in zip(weights, target, source, strict=True)]
        wide[target] |= weighted(mask[source], *along) > _ONE_SIGMA_TAIL
    return wide


def _wider(part: slice, room: int) -> slice:
    return slice(max(part.start - room, 0), part.stop + room)


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
