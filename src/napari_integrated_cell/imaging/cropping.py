"""Find where a label lies in a volume, and read only that part. Volumes may be lazy and larger than the memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Mask
from napari_integrated_cell.processes import CancelToken, Progress, slices

Window = tuple[slice, slice, slice]
"""A part (Z, Y, X) of a volume."""


def is_in_memory(volume: Any) -> bool:
    """Return whether a volume is an array in memory, and not one that is read when it is indexed."""
    return isinstance(volume, np.ndarray) and not isinstance(volume, np.memmap)


def read_part(
    volume: Any,
    window: Window,
    *,
    what: str = "",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> NDArray[Any]:
    """Return a part of a volume (Z, Y, X), read some planes at a time if the volume is lazy.

    Parameters
    ----------
    volume : array, (Z, Y, X)
    what : str
        What is read, for the progress.
    progress, cancel : optional
        Told of the planes that are read, and asked before each.

    Raises
    ------
    Cancelled
        If ``cancel`` was set.
    """
    if is_in_memory(volume):
        return np.asarray(volume[window])
    first, stop = window[0].start, window[0].stop
    parts = [
        np.asarray(volume[(slice(first + part.start, first + part.stop), *window[1:])])
        for part in slices(stop - first, _planes_at_once(volume), what, progress, cancel)
    ]
    return np.concatenate(parts)


def extent_of(
    labels: Any, label: int, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> Window | None:
    """Return the smallest part of a segmentation that contains a label; None if the label does not occur.

    All planes are read, some at a time.

    Parameters
    ----------
    labels : array, (Z, Y, X)
    progress, cancel : optional
        As in :func:`read_part`.
    """
    found: Window | None = None
    depth, at_once = labels.shape[0], _planes_at_once(labels)
    for part in slices(depth, at_once, f"looking for label {label}", progress, cancel):
        box = extent_of_mask(np.asarray(labels[part]) == label)
        if box is not None:
            found = union(found, moved(box, (part.start, 0, 0)))
    return found


def extent_around(
    labels: Any,
    label: int,
    start: Window,
    reach: tuple[int, int, int],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Window | None:
    """Return the part of a segmentation that contains the label around ``start``; None if the label is not there.

    A window grows until the label no longer reaches its border. Pieces of the label that lie apart are found if they
    are within ``reach``.

    Parameters
    ----------
    labels : array, (Z, Y, X)
    start : tuple of slice
        A part that the label lies in.
    reach : tuple of int
        Voxels (Z, Y, X) by which the window grows.
    progress, cancel : optional
        As in :func:`read_part`.
    """
    shape = labels.shape
    window = grown(start, reach, shape)
    while True:
        part = read_part(labels, window, what="looking for the cell", progress=progress, cancel=cancel)
        box = extent_of_mask(part == label)
        if box is None:
            return None
        sides = [
            (
                0 if b.start > 0 or w.start == 0 else r,
                0 if b.stop < w.stop - w.start or w.stop == n else r,
            )
            for b, w, r, n in zip(box, window, reach, shape, strict=True)
        ]
        if not any(low or high for low, high in sides):
            return moved(box, tuple(w.start for w in window))
        z, y, x = (
            slice(max(w.start - low, 0), min(w.stop + high, n))
            for w, (low, high), n in zip(window, sides, shape, strict=True)
        )
        window = z, y, x


def grown(window: Window, by: tuple[int, int, int], shape: tuple[int, ...]) -> Window:
    """Return a window with ``by`` more voxels (Z, Y, X) on each side, inside a volume of this shape."""
    z, y, x = (
        slice(max(w.start - b, 0), min(w.stop + b, n)) for w, b, n in zip(window, by, shape, strict=True)
    )
    return z, y, x


def moved(window: Window, by: tuple[int, ...]) -> Window:
    """Return a window that is moved by a number of voxels (Z, Y, X)."""
    z, y, x = (slice(w.start + b, w.stop + b) for w, b in zip(window, by, strict=True))
    return z, y, x


def union(one: Window | None, other: Window) -> Window:
    """Return the smallest window that contains two windows."""
    if one is None:
        return other
    z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return z, y, x


def extent_of_mask(mask: Mask) -> Window | None:
    """Return the smallest part of a mask (Z, Y, X) that contains all of it; None if it is empty."""
    filled = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if len(filled[0]) == 0:
        return None
    z, y, x = (slice(int(f[0]), int(f[-1]) + 1) for f in filled)
    return z, y, x


def _planes_at_once(volume: Any) -> int:
    """Return how many planes of a volume are read together: those of one chunk."""
    chunks = getattr(volume, "chunks", None)
    depth = chunks[0] if chunks else 1
    return int(depth[0] if isinstance(depth, tuple) else depth)
