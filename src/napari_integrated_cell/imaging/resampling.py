"""Resample an image onto another grid that is rotated about Z, shifted or flipped, with one interpolation.

Such a map mixes Y and X, and leaves Z by itself. So linear interpolation, with the blur against aliasing, is a matrix
along Z, times a sparse matrix with a few weights for each pixel of a plane. The two matrices serve all channels. Pixels
of a plane near which the image is 0 have no weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_integrated_cell.arrays import Doubles, Floats, Mask

# Kernels of the blur against aliasing end at this many standard deviations.
_TRUNCATE = 3.0


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
    image : array, (..., Z, Y, X)
        One volume, or several on the same grid.
    source_grid, target_grid : array, (4, 4)
        Affines from voxel indices to µm, each in its own frame (:func:`grid_affine`).
    source_to_target : array, (4, 4)
        Rigid affine between the frames, in µm. It may rotate about Z and mirror, as a pose does.
    target_shape : tuple of int
        The new grid (Z, Y, X).
    order : int
        1 for intensities; 0, which does not blur, for labels and masks.

    Returns
    -------
    array, (..., ``*target_shape``) float32
        Zero outside the image.

    Raises
    ------
    ValueError
        If the affine tilts the Z axis.
    """
    to_source = np.linalg.inv(source_grid) @ np.linalg.inv(source_to_target) @ target_grid
    if to_source[0, 1:3].any() or to_source[1:3, 0].any():
        raise ValueError("The affine tilts the Z axis: give one that rotates about Z only.")
    image = np.asarray(image)
    volumes = image.reshape(-1, *image.shape[-3:])
    resampled = _nearest if order == 0 else _linear
    return resampled(volumes, to_source, target_shape).reshape(*image.shape[:-3], *target_shape)


def _linear(volumes: NDArray[Any], to_source: Doubles, shape: tuple[int, int, int]) -> Floats:
    """Interpolate volumes (C, Z, Y, X) linearly, after the blur against aliasing."""
    depth, rows, columns = volumes.shape[1:]
    # Width of one target voxel along each source axis, in source voxels.
    shrink = np.sqrt((to_source[:3, :3] ** 2).sum(axis=1))
    sigma = np.maximum(shrink - 1, 0) / 2
    sigma[sigma < 0.15] = 0.0  # such a kernel keeps 99.9 % of a voxel in its place
    along_z = _weights_along_z(to_source, shape[0], depth, sigma[0])
    shown: Mask = np.asarray(volumes.any(axis=(0, 1)))
    pixels = np.flatnonzero(shown)
    in_plane = _weights_in_plane(to_source, shape[1:], shown, sigma[1:])
    # The step that shrinks the image more comes first.
    z_first = shape[0] * rows * columns < depth * shape[1] * shape[2]
    out = np.empty((len(volumes), *shape), np.float32)
    for target, volume in zip(out, volumes, strict=True):
        planes = volume.reshape(depth, -1)
        if len(pixels) < planes.shape[1]:
            planes = planes.take(pixels, axis=1)
        planes = np.ascontiguousarray(planes, np.float32)
        # The planes are the last axis here: all of them take the weights of a pixel at once.
        if z_first:
            target[:] = (in_plane @ np.ascontiguousarray((along_z @ planes).T)).T.reshape(shape)
        else:
            np.matmul(along_z, (in_plane @ planes.T).T, out=target.reshape(shape[0], -1))
    return out


def _weights_along_z(to_source: Doubles, count: int, source_count: int, sigma: float) -> Floats:
    """Return the weights of the source's planes in each plane of the target, (``count``, ``source_count``)."""
    planes, plane_weights = _taps(to_source[0, 0] * np.arange(count) + to_source[0, 3], source_count, sigma)
    weights = np.zeros((count, source_count))
    np.add.at(weights, (np.arange(count), planes), plane_weights)
    return weights.astype(np.float32)


def _weights_in_plane(to_source: Doubles, shape: tuple[int, int], shown: Mask, sigma: Doubles) -> Any:
    """Return the weights of the source's pixels in each pixel of the target, a sparse matrix of float32.

    ``shown``, (Y, X) of the source, says which pixels are not 0 in all planes. Only these have columns.
    """
    y, x = _points_in_plane(to_source, shape)
    rows, row_weights = _taps(y, shown.shape[0], sigma[0])
    columns, column_weights = _taps(x, shown.shape[1], sigma[1])
    # Only pixels of the target whose taps reach what the source shows have weights.
    near = row_weights.any(axis=0) & column_weights.any(axis=0)
    near &= _any_between(shown, rows[0], rows[-1], columns[0], columns[-1])
    inside = np.flatnonzero(near)
    rows, row_weights = rows.T[inside, :, None], row_weights.T[inside, :, None]
    columns, column_weights = columns.T[inside, None], column_weights.T[inside, None]
    pixels, values = (rows * shown.shape[1] + columns).ravel(), (row_weights * column_weights).ravel()
    values *= shown.ravel()[pixels]
    numbers = np.cumsum(shown, dtype=np.int32) - 1
    pixels = np.maximum(numbers[pixels], 0)  # those without a column have no weight
    counts = np.zeros(y.size + 1, np.int64)
    counts[inside + 1] = rows.shape[1] * columns.shape[2]
    weights = sparse.csr_array(
        (values, pixels, np.cumsum(counts)),
        shape=(y.size, int(shown.sum())),
    )
    weights.eliminate_zeros()
    return weights


def _any_between(
    shown: Mask, top: NDArray[Any], bottom: NDArray[Any], left: NDArray[Any], right: NDArray[Any]
) -> Mask:
    """Return for each rectangle, its last row and column included, whether ``shown`` (Y, X) is true anywhere in it."""
    before = np.pad(shown.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32), ((1, 0), (1, 0)))
    below, after = bottom + 1, right + 1
    return before[below, after] - before[top, after] - before[below, left] + before[top, left] > 0


def _points_in_plane(to_source: Doubles, shape: tuple[int, int]) -> Doubles:
    """Return where each pixel of the target lies in the source, (2, pixels)."""
    pixels = np.indices(shape).reshape(2, -1)
    return to_source[1:3, 1:3] @ pixels + to_source[1:3, 3:]


def _taps(places: Doubles, count: int, sigma: float) -> tuple[NDArray[np.int32], Floats]:
    """Return which of the ``count`` voxels of an axis make the value at each place, and their weights.

    A place between two voxels takes both of them linearly. A voxel outside the axis has no weight. With ``sigma``, each
    of the two is the mean of its neighbours by a Gaussian of this width in voxels, and the axis continues beyond its
    ends with the outermost voxels.

    Returns
    -------
    voxels, weights : array, (taps, places)
    """
    lower = np.floor(places)
    neighbours = np.stack([lower, lower + 1])
    pair = np.stack([lower + 1 - places, places - lower])
    pair[(neighbours < 0) | (neighbours >= count)] = 0
    radius = int(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma else np.ones(1)
    kernel /= kernel.sum()
    weights = np.zeros((2 * radius + 2, places.size))
    weights[:-1] += kernel[:, None] * pair[0]
    weights[1:] += kernel[:, None] * pair[1]
    voxels = lower + np.arange(-radius, radius + 2)[:, None]
    return np.clip(voxels, 0, count - 1).astype(np.int32), weights.astype(np.float32)


def _nearest(volumes: NDArray[Any], to_source: Doubles, shape: tuple[int, int, int]) -> Floats:
    """Take the nearest voxel of volumes (C, Z, Y, X)."""
    depth, rows, columns = volumes.shape[1:]
    z = np.floor(to_source[0, 0] * np.arange(shape[0]) + to_source[0, 3] + 0.5).astype(np.int64)
    y, x = np.floor(_points_in_plane(to_source, shape[1:]) + 0.5).astype(np.int64)
    planes = np.flatnonzero((z >= 0) & (z < depth))
    pixels = np.flatnonzero((y >= 0) & (y < rows) & (x >= 0) & (x < columns))
    out = np.zeros((len(volumes), shape[0], y.size), np.float32)
    flat = volumes.reshape(len(volumes), depth, -1)
    taken = flat[:, z[planes, None], (y * columns + x)[pixels]]
    out[:, planes[:, None], pixels] = taken
    return out.reshape(len(volumes), *shape)
