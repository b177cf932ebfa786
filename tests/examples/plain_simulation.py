"""The simulator's formulas as they are written, each for a whole grid at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from napari_integrated_cell.simulation import anatomy, geometry, optics, shapes
from napari_integrated_cell.simulation.geometry import CellShape
from napari_integrated_cell.simulation.grid import Waves


def plain_waves(waves, grid):
    z, y, x = (
        axis.reshape(shape) for axis, shape in zip(grid.axes, ((-1, 1, 1), (1, -1, 1), (-1, 1)), strict=True)
    )
    zy = np.exp(1j * (z * waves._k[:, 0] + y * waves._k[:, 1]))
    xs = np.exp(1j * (x * waves._k[:, 2] + waves._phase)) * waves._scale
    left = np.concatenate([zy.real, zy.imag], axis=-1).astype(np.float32)
    right = np.concatenate([xs.real, -xs.imag], axis=-1).astype(np.float32)
    return (left.reshape(-1, left.shape[-1]) @ right.T).reshape(grid.shape)


def plain_blend_max(a, b, k):
    if k < 1e-6:
        return np.maximum(a, b)
    crease = np.maximum(k - np.abs(a - b), 0)
    return np.maximum(a, b) + crease * crease * np.float32(0.25 / k)


def plain_metric(value, grid, floor=0.4):
    slopes = np.array(np.gradient(value, *grid.voxel_size), np.float32)
    length = np.sqrt(np.maximum(np.square(slopes).sum(axis=0), np.float32(floor * floor)))
    return (value / length).astype(np.float32)


def plain_surfaces(shape, grid):
    z, y, x = grid.axes
    o = shape.outline
    c, s = np.float32(np.cos(shape.axis)), np.float32(np.sin(shape.axis))
    u, v = x * c + y * s, y * c - x * s
    v = v - np.float32(o.bow) * (u * u - np.float32(0.25 * o.reach[0] ** 2))
    first, second = None, np.full(grid.shape, -np.inf, np.float32)
    facets = zip(o.angles, o.distances, o.bends, o.spans, o.leans, o.feet, strict=True)
    for angle, distance, bend, span, lean, foot in facets:
        ca, sa = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along = np.clip(v * ca - u * sa, -span, span)
        face = u * ca + v * sa - np.float32(distance) + np.float32(bend) * along * along
        offset = np.float32(lean) * (z - np.float32(o.pivot)) + np.float32(foot) * np.exp(
            -z / np.float32(1.5)
        )
        value = (face - offset).astype(np.float32)
        if first is None:
            first = value
        else:
            second = np.maximum(second, np.minimum(first, value))
            first = plain_blend_max(first, value, o.crease)
    ridge = first - second
    outer = np.sqrt((u / o.reach[0]) ** 2 + (v / o.reach[1]) ** 2)
    sides = plain_blend_max(first, (outer - 1) * np.float32(np.sqrt(o.reach[0] * o.reach[1])), 2.0)
    amplitude, waves = shape.roughness
    sides = sides + np.float32(amplitude) * plain_waves(waves, grid)
    top = z - np.float32(shape.height) + np.float32(shape.dome) * outer * outer
    top = top - np.float32(shape.slope[0]) * u - np.float32(shape.slope[1]) * v
    drop, skirt_width = shape.skirt
    if drop > 0:
        depth_in_cell = np.clip(-first / np.float32(skirt_width), 0, 1)
        top = top + np.float32(drop) * (1 - depth_in_cell) ** np.float32(1.7)
    bottom = np.float32(shape.lift) * outer * outer - z
    depth, width = shape.furrow
    if depth > 0:
        a = np.float32(shape.spindle[0])
        cy, cx = np.float32(shape.centre[1]), np.float32(shape.centre[2])
        across = (x - cx) * np.cos(a) + (y - cy) * np.sin(a)
        pinch = np.float32(depth) * np.exp(-((across / np.float32(width)) ** 2))
        sides, top, bottom = sides + pinch, top + 0.35 * pinch, bottom + 0.25 * pinch
    cell = plain_blend_max(plain_blend_max(sides, top, shape.rim), bottom, shape.rim * 0.6)
    return sides.astype(np.float32), np.broadcast_to(top, grid.shape).astype(np.float32), cell, ridge


@contextmanager
def plain_simulation() -> Iterator[None]:
    """Simulate by these formulas."""
    with (
        patch.object(Waves, "on", plain_waves),
        patch.object(CellShape, "surfaces", plain_surfaces),
        patch.object(geometry, "blend_max", plain_blend_max),
        patch.object(geometry, "metric", plain_metric),
        patch.object(anatomy, "metric", plain_metric),
        patch.object(optics, "metric", plain_metric),
        patch.object(shapes, "metric", plain_metric),
    ):
        yield
