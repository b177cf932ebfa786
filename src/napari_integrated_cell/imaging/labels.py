"""Tell label images from intensities by what they hold, and check that labels can be used."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["checked_labels", "looks_like_intensities", "looks_like_labels"]

# Planes, and voxels per plane, that are looked at. Rows are left out of larger planes.
_PLANES = 7
_VOXELS = 250_000
# A value is solid if at least half of its voxels have it on both sides too, along X.
_SOLID = 0.5
# Fewer voxels of one value are no region.
_REGION = 20
# Share of the foreground that has solid values.
_MOSTLY, _NEARLY_ALL = 0.8, 0.9
# Grey levels lie around one another like contour lines: a step from one voxel to the next leaves out no level.
_LEAST_LEAPS = 0.12
# Intensities have more values than this, and of neighbouring voxels in the foreground at most this share is equal. In
# label images it is above 0.9. Fewer pairs of such voxels say nothing; neither do fewer levels of a nest of contours.
_VALUES, _EQUAL, _PAIRS, _LEVELS = 8, 0.6, 200, 4


def looks_like_labels(volume: Any) -> bool:
    """Return whether an image holds labels or a mask, and not intensities. Its name and type say nothing.

    Labels are few whole numbers in large constant regions. Grey levels change from voxel to voxel; few and smooth
    ones lie around one another like contour lines.

    Parameters
    ----------
    volume : array, (..., Y, X)
        A numpy or dask array. At most seven planes are read.

    Returns
    -------
    bool
        True for any array of bool, and for an image of 0 and one other value above 1. False for fractions, NaN and
        an image of one value.
    """
    kind = np.dtype(volume.dtype).kind
    if kind == "b":
        return True
    if kind not in "iuf" or volume.ndim < 2 or 0 in volume.shape:
        return False
    rows: list[NDArray[Any]] = []
    for plane in _some_planes(volume):
        if kind == "f" and not (np.isfinite(plane).all() and (plane == np.rint(plane)).all()):
            return False
        rows.append(plane)
    values, ranks = np.unique(np.stack(rows), return_inverse=True)
    if len(values) < 2:
        return False
    if len(values) == 2 and values[0] == 0 and values[1] > 1:
        return True  # a mask, also of dots; values 0 and 1 may be photons
    return _are_labels(_regions(values, ranks.reshape(len(rows), *rows[0].shape)))


def looks_like_intensities(volume: Any) -> bool:
    """Return whether an image of whole numbers is clearly a stain, and no segmentation.

    The two are not opposites: an image of few small regions, or an empty one, is neither by this function nor by
    :func:`looks_like_labels`.

    Parameters
    ----------
    volume : array of int, (..., Y, X)
        A numpy or dask array. At most seven planes are read.

    Returns
    -------
    bool
        True if nearly every voxel of the foreground differs from its neighbour, or if levels lie around one another
        like contour lines.
    """
    if np.dtype(volume.dtype).kind not in "iuf" or volume.ndim < 2 or 0 in volume.shape:
        return False
    rows = np.stack(list(_some_planes(volume)))
    values, ranks, counts = np.unique(rows, return_inverse=True, return_counts=True)
    ranks = ranks.reshape(rows.shape)
    if len(values) >= _LEVELS and values[0] == 0:
        found = _regions(values, ranks)
        if found.leaps < _LEAST_LEAPS:
            return True
    if len(values) <= _VALUES:
        return False
    shown = (rows != 0) & (ranks != counts.argmax())
    pairs = shown[..., :-1] & shown[..., 1:]
    if pairs.sum() < _PAIRS:
        return False
    return bool((ranks[..., :-1] == ranks[..., 1:])[pairs].mean() < _EQUAL) and not looks_like_labels(volume)


def checked_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a segmentation of any shape as integers, with 0 as background.

    Parameters
    ----------
    labels : array of int, bool or whole-number float
    name : str
        What the labels are; a message begins with it.

    Returns
    -------
    array of int
        Integers keep their type, in the byte order of this computer. Bool becomes uint8. Floats become int32, or
        int64 if a label is above 2,147,483,647.

    Raises
    ------
    ValueError
        If it holds complex, broken, fractional or negative numbers.
    """
    kind = labels.dtype.kind
    if kind == "b":
        return labels.astype(np.uint8)
    if kind not in "iuf":
        raise ValueError(
            f"{name} holds {labels.dtype} values, not labels: give a segmentation, with one integer per cell."
        )
    if kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError(
                f"{name} holds NaN or infinite values: use 0 for the background of a segmentation."
            )
        if (labels != np.rint(labels)).any():
            raise ValueError(
                f"{name} holds intensities, not labels: give a segmentation, with one integer per cell."
            )
    if labels.min(initial=0) < 0:
        raise ValueError(f"{name} holds negative labels: use positive labels, and 0 for the background.")
    if kind == "f":
        highest = labels.max(initial=0)
        if highest > 2**53:
            raise ValueError(
                f"{name} holds the label {highest:g}, which {labels.dtype} cannot count to: number the cells from 1."
            )
        return labels.astype(np.int32 if highest <= np.iinfo(np.int32).max else np.int64)
    return labels.astype(labels.dtype.newbyteorder("="), copy=False)


class _Regions(NamedTuple):
    """What is measured of the foreground: ``solid`` for each value except 0, in order; the other two are shares."""

    solid: NDArray[np.bool_]
    in_solid: float
    leaps: float
    filled: bool


def _some_planes(volume: Any) -> Any:
    """Yield a few planes (Y, X), or rows of them, evenly spread. The first and the last are often empty."""
    stack, (height, width) = volume.shape[:-2], volume.shape[-2:]
    total = int(np.prod(stack, dtype=np.int64))
    chosen = np.unique(((np.arange(_PLANES) + 0.5) * total / _PLANES).astype(np.int64))
    step = -(-height * width // _VOXELS)
    for index in chosen:
        at = np.unravel_index(index, stack) if stack else ()
        yield np.asarray(volume[(*(int(i) for i in at), slice(None, None, step))])


def _regions(values: NDArray[Any], ranks: NDArray[Any]) -> _Regions:
    """Measure the regions of equal ``values``; ``ranks`` (planes, Y, X) are indices into them."""
    filled = 0 not in values
    one, other = ranks[..., :-1], ranks[..., 1:]
    equal = one == other
    inside = equal[..., :-1] & equal[..., 1:]
    counts = np.bincount(ranks.ravel(), minlength=len(values))
    within = np.bincount(ranks[..., 1:-1][inside], minlength=len(values))
    keep = values != 0
    counts, within = counts[keep], within[keep]
    solid = (within >= _SOLID * counts) & (counts >= _REGION)
    low, high = np.minimum(one, other)[~equal], np.maximum(one, other)[~equal]
    steps = (high - low)[high >= 2]
    leaps = float((steps > 1).mean()) if len(steps) else 1.0
    return _Regions(solid, float(counts[solid].sum() / counts.sum()), leaps, filled)


def _are_labels(found: _Regions) -> bool:
    if found.leaps < _LEAST_LEAPS:
        return False
    if found.solid.mean() > 0.5:
        return found.in_solid >= (_NEARLY_ALL if found.filled else _MOSTLY)
    # Interpolated edges hold many other values, which fill the gaps between the labels. One solid value alone, the
    # highest, is a saturated stain; solid values side by side are the grey levels of a haze.
    where = np.flatnonzero(found.solid)
    gaps = np.diff(where)
    return len(gaps) > 0 and bool(found.solid[-1]) and gaps.min() > 1 and found.in_solid >= _NEARLY_ALL
