"""Voxel grids, random textures that do not depend on the grid, and rendering of points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats, Mask, Reals

_VOXELS_AT_ONCE = 40_000


@dataclass(frozen=True)
class Grid:
    """A voxel grid in the simulated cell's coordinates.

    Attributes
    ----------
    shape : tuple of int
        Voxels (Z, Y, X).
    origin : tuple of float
        Position (Z, Y, X) in µm of the first voxel's centre.
    voxel_size : tuple of float
        Edge lengths (Z, Y, X) in µm.
    """

    shape: tuple[int, int, int]
    origin: tuple[float, float, float]
    voxel_size: tuple[float, float, float]

    @classmethod
    def covering(
        cls, low: Sequence[float], high: Sequence[float], voxel_size: Sequence[float], margin: float = 0.0
    ) -> Grid:
        """Return the smallest grid whose voxels cover the box from ``low`` to ``high`` (µm) plus ``margin``."""
        v = np.asarray(voxel_size, float)
        first = np.floor((np.asarray(low, float) - margin) / v).astype(int)
        last = np.ceil((np.asarray(high, float) + margin) / v).astype(int)
        shape, origin = last - first + 1, first * v
        return cls(
            (int(shape[0]), int(shape[1]), int(shape[2])),
            (float(origin[0]), float(origin[1]), float(origin[2])),
            (float(v[0]), float(v[1]), float(v[2])),
        )

    def cut(self, axis: int, side: int, place: float) -> Grid:
        """Return the part of the grid below (``side`` 1) or above (-1) a ``place`` in µm along an axis."""
        shape, origin = list(self.shape), list(self.origin)
        index = round((place - origin[axis]) / self.voxel_size[axis])
        index = min(max(index, 1), shape[axis] - 1)
        if side < 0:
            origin[axis] += index * self.voxel_size[axis]
            shape[axis] -= index
        else:
            shape[axis] = index
        return replace(self, shape=(shape[0], shape[1], shape[2]), origin=(origin[0], origin[1], origin[2]))

    @cached_property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Coordinates in µm as broadcastable arrays (Z, 1, 1), (1, Y, 1), (1, 1, X)."""
        z, y, x = (
            (o + v * np.arange(n)).astype(np.float32)
            for o, v, n in zip(self.origin, self.voxel_size, self.shape, strict=True)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in µm³."""
        return float(np.prod(self.voxel_size))

    def slabs(self) -> Iterator[slice]:
        """Yield planes, some at a time. What is computed for them stays in the processor's cache."""
        depth, rows, columns = self.shape
        at_once = max(1, _VOXELS_AT_ONCE // (rows * columns))
        for first in range(0, depth, at_once):
            yield slice(first, first + at_once)

    def points(self, where: Mask) -> Doubles:
        """Return the centres (N, 3) in µm of the voxels that ``where`` (Z, Y, X) selects."""
        return np.argwhere(where) * np.asarray(self.voxel_size) + np.asarray(self.origin)

    def around(self, centre: Sequence[float] | Reals, radius: float) -> tuple[slice, slice, slice]:
        """Return the part of the grid within ``radius`` µm of ``centre`` along every axis."""
        z, y, x = (
            slice(max(int(np.ceil((c - radius - o) / v)), 0), max(int(np.floor((c + radius - o) / v)) + 1, 0))
            for c, o, v in zip(centre, self.origin, self.voxel_size, strict=True)
        )
        return z, y, x

    def splat(self, points: Reals, weights: Reals | float = 1.0) -> Floats:
        """Return the density (Z, Y, X) per µm³ of weighted points (N, 3) in µm, each spread over eight voxels."""
        points = np.reshape(points, (-1, 3))
        w = np.broadcast_to(np.asarray(weights, float).reshape(-1), (len(points),))
        where = (points - np.asarray(self.origin)) / np.asarray(self.voxel_size)
        low = np.floor(where).astype(np.int64)
        inside = ((low >= 0) & (low < np.asarray(self.shape) - 1)).all(axis=1)
        low, fraction, w = low[inside], where[inside] - low[inside], w[inside]
        size_z, size_y, size_x = self.shape
        first = (low[:, 0] * size_y + low[:, 1]) * size_x + low[:, 2]
        index, value = [], []
        for dz in (0, 1):
            wz = w * (fraction[:, 0] if dz else 1 - fraction[:, 0])
            for dy in (0, 1):
                wy = wz * (fraction[:, 1] if dy else 1 - fraction[:, 1])
                for dx in (0, 1):
                    index.append(first + (dz * size_y + dy) * size_x + dx)
                    value.append(wy * (fraction[:, 2] if dx else 1 - fraction[:, 2]))
        density = np.bincount(
            np.concatenate(index), np.concatenate(value), minlength=size_z * size_y * size_x
        )
        return (density / self.voxel_volume).astype(np.float32).reshape(self.shape)


class Waves:
    """A smooth random field with mean 0 and variance 1: a sum of plane waves.

    It is a function of position, so it is the same field on any grid.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of directions, lengths and phases.
    wavelength : float
        Typical wavelength in µm.
    count : int
        Number of waves.
    """

    def __init__(self, rng: np.random.Generator, wavelength: float, count: int = 32) -> None:
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        number = 2 * np.pi / (wavelength * np.exp(0.25 * rng.normal(size=(count, 1))))
        self._k = direction * number
        self._phase = rng.uniform(0, 2 * np.pi, count)
        self._scale = np.sqrt(2 / count)

    def on(self, grid: Grid) -> Floats:
        """Return the field (Z, Y, X) on a grid, as one matrix product of one-dimensional waves."""
        z, y, x = grid.axes
        zs, ys = (np.exp(1j * (a.reshape(-1, 1) * self._k[:, i])) for i, a in enumerate((z, y)))
        zy = zs[:, None] * ys  # exponentials of single axes are few
        xs = np.exp(1j * (x.reshape(-1, 1) * self._k[:, 2] + self._phase)) * self._scale
        left = np.concatenate([zy.real, zy.imag], axis=-1, dtype=np.float32)
        right = np.concatenate([xs.real, -xs.imag], axis=-1, dtype=np.float32)
        return (left.reshape(-1, left.shape[-1]) @ right.T).reshape(grid.shape)

    def at(self, points: Reals) -> Doubles:
        """Return the field (N,) at points (N, 3) in µm."""
        return np.cos(points @ self._k.T + self._phase).sum(axis=1) * self._scale


def blend_max(a: Reals, b: Reals, k: float) -> Reals:
    """Return the maximum of two distances, with the crease rounded upwards over a width ``k`` (µm)."""
    if k < 1e-6:
        return np.maximum(a, b)
    crease = np.asarray(a - b)
    np.abs(crease, out=crease)
    np.subtract(k, crease, out=crease)
    np.maximum(crease, 0, out=crease)
    crease *= crease
    crease *= np.float32(0.25 / k)
    crease += np.maximum(a, b)
    return crease
