"""Density image of points that are too many to be drawn one by one. Uses numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_integrated_cell.arrays import Floats

_LEAST_ALPHA = 90  # of a pixel with one point: one cell must stay visible


def density_image(
    points: Floats, rgb: NDArray[np.uint8], corner: ArrayLike, pixel: ArrayLike, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Draw a 2D histogram of points, in the mean colour of the points of each pixel.

    Parameters
    ----------
    points : array of float32, (N, 2)
        x and y.
    rgb : array of uint8, (N, 3)
        Colours of the points.
    corner : array_like, (2,)
        x and y of the outer corner of pixel (0, 0), where both are smallest.
    pixel : array_like, (2,)
        Width and height of a pixel, in the units of the points.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    array of uint8, (rows, columns, 4)
        RGBA. The opacity grows with the logarithm of the number of points; a pixel without points is clear.
    """
    rows, columns = shape
    column, row = np.floor((points - np.asarray(corner)) / np.asarray(pixel)).astype(np.intp).T
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    flat = (row * columns + column)[inside]
    counts = np.bincount(flat, minlength=rows * columns)
    filled = np.flatnonzero(counts)
    image = np.zeros((rows * columns, 4), np.uint8)
    if len(filled):
        n = counts[filled]
        for channel in range(3):
            sums = np.bincount(flat, rgb[inside, channel], rows * columns)
            image[filled, channel] = np.rint(sums[filled] / n)
        share = np.log1p(n) / np.log1p(n.max())
        image[filled, 3] = _LEAST_ALPHA + share * (255 - _LEAST_ALPHA)
    return image.reshape(rows, columns, 4)
