"""Measure the shape of a cell's masks: axes and skewness in the plane, nuclei, and fit in a box. Lengths in µm."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Doubles, Mask
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.cropping import extent_of_mask


class Footprint(NamedTuple):
    """A cell mask seen from above, with one entry per (y, x) that has any voxel of the mask.

    Attributes
    ----------
    points : array, (n, 2) float64
        (y, x) in µm from the crop's first voxel.
    voxels : array, (n,) int
        Number of the mask's voxels above each point.
    """

    points: Doubles
    voxels: NDArray[Any]


def footprint_of(cell: Cell) -> Footprint:
    """Return the cell mask seen from above."""
    thickness = cell.cell_mask.sum(axis=0)
    where = np.nonzero(thickness)
    return Footprint(np.stack(where, axis=1) * np.asarray(cell.voxel_size[1:]), thickness[where])


def major_axis(
    points: Doubles, weights: NDArray[Any] | None, pixel: tuple[float, float]
) -> tuple[float, float]:
    """Return the direction of the largest spread of points in the plane, and the ratio of largest to smallest spread.

    Parameters
    ----------
    points : array, (n, 2)
        (y, x) in µm.
    weights : array, (n,), optional
        Weight of each point; all equal if not given.
    pixel : tuple of float
        Edges (Y, X) of a pixel in µm. The spread within a pixel is added, so a line of pixels has a width.

    Returns
    -------
    angle : float
        Radians in (-π/2, π/2], from X towards Y.
    ratio : float
        Square root of the ratio of the principal variances, at least 1.
    """
    share = np.full(len(points), 1 / len(points)) if weights is None else weights / weights.sum()
    from_mean = points - share @ points
    spread = (from_mean * share[:, None]).T @ from_mean + np.diag(np.square(pixel) / 12)
    (minor, major), axes = np.linalg.eigh(spread)
    if major - minor <= 1e-9 * major:  # round: rounding errors would decide the direction
        return 0.0, 1.0
    y, x = axes[:, 1]
    if x < 0 or (x == 0 and y < 0):
        y, x = -y, -x
    return float(np.arctan2(y, abs(x))), float(np.sqrt(major / minor))


def rotation(angle: float) -> Doubles:
    """Return the matrix on (y, x) that rotates the direction ``angle`` (radians, from X towards Y) onto X."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def skewness(points: Doubles, weights: NDArray[Any]) -> tuple[float, float]:
    """Return the skewness along Y and along X of weighted points (n, 2) about their weighted mean."""
    share = weights / weights.sum()
    from_mean = points - share @ points
    squares = from_mean**2
    variance, third = share @ squares, share @ (squares * from_mean)
    wide = variance > 1e-12  # µm²: for a cell one pixel wide the skewness would be a rounding error
    y, x = np.where(wide, third / np.where(wide, variance, 1) ** 1.5, 0.0)
    return float(y), float(x)


def nucleus_centre(cell: Cell) -> tuple[Doubles, float]:
    """Return the centre of the nucleus, and the distance between its two largest pieces.

    Returns
    -------
    centre : array, (3,)
        Centre of mass (z, y, x) in µm from the crop's first voxel, not rounded to a voxel.
    gap : float
        Distance in µm between the centres of the two largest pieces; 0 for a single piece. Pieces smaller than a
        tenth of the nucleus are ignored as segmentation errors.
    """
    around = extent_of_mask(cell.nucleus_mask)
    assert around is not None  # a cell has no empty masks
    nucleus, first = cell.nucleus_mask[around], np.array([s.start for s in around])
    step = np.asarray(cell.voxel_size)
    centre = (_mean_index(nucleus) + first) * step
    pieces, count = ndimage.label(nucleus, np.ones((3, 3, 3)))
    if count == 1:
        return centre, 0.0
    sizes = np.bincount(pieces.ravel())[1:]
    largest = [piece for piece in np.argsort(-sizes)[:2] + 1 if sizes[piece - 1] >= 0.1 * sizes.sum()]
    if len(largest) < 2:
        return centre, 0.0
    one, other = np.array(ndimage.center_of_mass(nucleus, pieces, largest)) * step
    return centre, float(np.linalg.norm(one - other))


def _mean_index(mask: Mask) -> Doubles:
    """Return the mean index (Z, Y, X) of the voxels of a mask."""
    from_above = mask.sum(axis=0)
    counts = (mask.sum(axis=(1, 2)), from_above.sum(axis=1), from_above.sum(axis=0))
    return np.array([np.arange(len(along)) @ along for along in counts]) / counts[0].sum()


class BoxFit(NamedTuple):
    """How a posed cell fits into a box.

    Attributes
    ----------
    outside : float
        Fraction of the cell's volume outside the box.
    extent, overhang : tuple of float
        The cell's lengths (Z, Y, X) in µm, and the length beyond the box along each axis, both ends added.
    """

    outside: float
    extent: tuple[float, float, float]
    overhang: tuple[float, float, float]


def fit_in_box(
    cell: Cell, footprint: Footprint, linear: Doubles, centre: Doubles, size: tuple[float, float, float]
) -> BoxFit:
    """Measure how a cell, turned by ``linear`` (3, 3) about ``centre`` (µm in the crop), fits a box of ``size`` µm.

    The rotation is about Z, so the z of a voxel's plane and the (y, x) of its column are tested separately.
    """
    half = np.asarray(size) / 2 + 1e-9
    filled = cell.cell_mask.any(axis=(1, 2))
    z = np.arange(cell.shape[0]) * cell.voxel_size[0] - centre[0]
    plane = (footprint.points - centre[1:]) @ linear[1:, 1:].T
    within = (np.abs(plane) <= half[1:]).all(axis=1)
    planes = np.abs(z) <= half[0]
    if planes[filled].all():
        kept = footprint.voxels[within].sum()
    else:
        kept = cell.cell_mask[planes].sum(axis=0)[cell.cell_mask.any(axis=0)][within].sum()

    low = np.array([z[filled].min(), *plane.min(axis=0)])
    high = np.array([z[filled].max(), *plane.max(axis=0)])
    overhang = np.maximum(high - half, 0) + np.maximum(-half - low, 0)
    extent = high - low + np.abs(linear) @ np.asarray(cell.voxel_size)
    return BoxFit(
        1.0 - float(kept) / float(footprint.voxels.sum()), tuple(extent.tolist()), tuple(overhang.tolist())
    )
