"""Find the part of an image that holds one cell, and read no more of lazy volumes than that."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_integrated_cell.imaging.cropping import (
    Window,
    extent_around,
    extent_of,
    grown,
    is_in_memory,
    read_part,
    union,
)
from napari_integrated_cell.processes import CancelToken, Progress

_MARGIN = 1.0  # µm, that of the library's cells
# By how much (µm) the window around a label grows along Z and in the plane: pieces of a cell that are nearer are found.
_DEEP, _WIDE = 8.0, 25.0


def window_at_point(
    point: tuple[int, int, int], shape: tuple[int, ...], voxel_size: tuple[float, float, float]
) -> Window:
    """Return the part of an image in which a cell without a segmentation is looked for, with a margin."""
    from napari_integrated_cell.imaging.segmenting import window_around

    return grown(window_around(point, shape, voxel_size), _margin(voxel_size), shape)


def window_of_label(
    cells: Any,
    nuclei: Any,
    label: int,
    point: tuple[int, int, int] | None,
    voxel_size: tuple[float, float, float],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Window | None:
    """Return the part of an image that holds a cell and its nucleus, with a margin; None without such a label.

    Segmentations in memory are searched whole. In a lazy one the window grows from the point; without a point all its
    planes are read.

    Parameters
    ----------
    cells : array, (Z, Y, X)
    nuclei : array, (Z, Y, X), or None
    label : int
        Of the cell.
    point : tuple of int or None
        Index (Z, Y, X) of a voxel in the cell.
    voxel_size : tuple of float
        (Z, Y, X) in µm.
    progress, cancel : optional
        Told what is read, and asked before each part.
    """
    dz, dy, dx = (max(int(r / v), 1) for r, v in zip((_DEEP, _WIDE, _WIDE), voxel_size, strict=True))

    def extent(labels: Any, value: int, start: Window | None) -> Window | None:
        if start is None or is_in_memory(labels):
            return extent_of(labels, value, progress=progress, cancel=cancel)
        return extent_around(labels, value, start, (dz, dy, dx), progress=progress, cancel=cancel)

    start: Window | None = None
    if point is not None:
        z, y, x = point
        start = slice(z, z + 1), slice(y, y + 1), slice(x, x + 1)
    window = extent(cells, label, start)
    if window is None:
        return None
    around = window
    if nuclei is not None:
        for value in _nuclei_in(cells, nuclei, label, window):
            nucleus = extent(nuclei, value, window)
            around = union(nucleus, around)
    return grown(around, _margin(voxel_size), cells.shape)


def _nuclei_in(cells: Any, nuclei: Any, label: int, window: Window) -> set[int]:
    """Return the labels that the nucleus of a cell may have: the cell's own, and the most frequent in it."""
    inside = read_part(nuclei, window)[read_part(cells, window) == label]
    labels, counts = np.unique(inside[inside != 0], return_counts=True)
    if len(labels) == 0:
        return set()
    return {int(labels[counts.argmax()])} | ({label} & {int(value) for value in labels})


def _margin(voxel_size: tuple[float, float, float]) -> tuple[int, int, int]:
    # One voxel more, so that only cells at the image's edge reach the edge of the part that is read.
    z, y, x = (int(np.ceil(_MARGIN / v)) + 1 for v in voxel_size)
    return z, y, x
