"""Geometry of a simulated cell that structures depend on: distances, sides, position of the centrosome."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats, Mask
from napari_integrated_cell.simulation.geometry import CellShape, gradient, metric
from napari_integrated_cell.simulation.grid import Grid
from napari_integrated_cell.simulation.mitosis import STAGE_SHAPES, StageShape, frame_along

_WALK_VOXEL = 0.6
"""Voxel size in µm of the grid on which random walks look up distances. It does not depend on the grid of rendering."""


_FULL_HEIGHT = 6.5
"""Height in µm from which depths below the surface do not depend on the cell's height."""


class Distances:
    """Distances (Z, Y, X) in µm of one shape on one grid."""

    def __init__(self, shape: CellShape, grid: Grid) -> None:
        self.shape, self.grid = shape, grid
        self.sides, self.top, cell, self.ridge = shape.surfaces(grid)
        self.cell: Floats = metric(cell, grid)
        self.chromatin: Floats = shape.chromatin(grid, self.cell)

    @cached_property
    def inside(self) -> Floats:
        """1 inside the cell and 0 outside, with a soft edge of 0.1 µm."""
        return soft(-self.cell)

    @cached_property
    def cytoplasm(self) -> Floats:
        """1 in the cytoplasm: inside the cell and outside the chromatin or nucleus."""
        return self.inside * soft(self.chromatin)

    @cached_property
    def nucleus(self) -> Floats:
        """1 inside the chromatin or nucleus."""
        return soft(-self.chromatin)

    def shell(self, distance: Floats, width: float) -> Floats:
        """Return :func:`bell` with the same area, but not thinner than the grid's voxels can show."""
        shown = float(np.hypot(width, 0.4 * np.mean(self.grid.voxel_size)))
        return bell(distance, shown) * np.float32(width / shown)


def soft(distance: Floats, width: float = 0.12) -> Floats:
    """Return a step from 0 to 1 where ``distance`` (µm) becomes positive, over ``width`` to either side."""
    return np.clip(distance * np.float32(0.5 / width) + np.float32(0.5), 0, 1)


def bell(distance: Floats, width: float) -> Floats:
    """Return exp(-distance² / 2 width²)."""
    return np.exp(distance * distance * np.float32(-0.5 / width**2))


@dataclass(frozen=True)
class Surroundings:
    """Depth in the cell, distance from the chromatin (µm) and surface normals at points (N, 3)."""

    depth: Doubles
    chromatin: Doubles
    outward: Doubles
    away: Doubles


class Anatomy:
    """Lookup of a shape's distances and normals at any point, independent of the grid of rendering."""

    def __init__(self, shape: CellShape) -> None:
        self.shape = shape
        self.grid = shape.grid((min(_WALK_VOXEL, shape.height / 10), _WALK_VOXEL, _WALK_VOXEL), 1.2)
        self.fields = Distances(shape, self.grid)
        cell_slope = gradient(self.fields.cell, self.grid)
        chromatin_slope = gradient(self.fields.chromatin, self.grid)
        self._table = np.concatenate(
            [self.fields.cell[None], self.fields.chromatin[None], cell_slope, chromatin_slope]
        )

    @property
    def stage(self) -> StageShape:
        """Effects of the stage on the cell."""
        return STAGE_SHAPES[self.shape.stage]

    @property
    def thinness(self) -> float:
        """Factor on distances along Z and on depths in a cell flatter than hiPS cells; 1 in others."""
        return min(self.shape.height / _FULL_HEIGHT, 1.0)

    def upward(self, low: float, high: float) -> Floats:
        """Return weights (Z, 1, 1) along :attr:`grid`: ``low`` at the base, ``high`` from 0.7 of the height."""
        rise = np.clip(self.grid.axes[0] / np.float32(0.7 * self.shape.height), 0, 1)
        return (np.float32(low) + np.float32(high - low) * rise).astype(np.float32)

    @property
    def intact(self) -> bool:
        """Whether the cell has a single nucleus with an intact envelope."""
        return self.shape.stage in ("interphase", "prophase-1", "prophase-2")

    @property
    def has_nucleoli(self) -> bool:
        """Whether the cell has nucleoli or prenucleolar bodies."""
        return self.intact or self.shape.stage == "telophase-cytokinesis"

    def surroundings(self, points: Doubles) -> Surroundings:
        """Return depth, distance and normals at ``points`` (N, 3) in µm."""
        o, v = np.asarray(self.grid.origin), np.asarray(self.grid.voxel_size)
        index = np.clip(np.rint((points - o) / v).astype(int), 0, np.asarray(self.grid.shape) - 1)
        here = self._table[:, index[:, 0], index[:, 1], index[:, 2]].T.astype(float)
        rest = points - (index * v + o)
        cell_slope, chromatin_slope = here[:, 2:5], here[:, 5:8]
        return Surroundings(
            depth=-(here[:, 0] + (cell_slope * rest).sum(1)),
            chromatin=here[:, 1] + (chromatin_slope * rest).sum(1),
            outward=_unit(cell_slope),
            away=_unit(chromatin_slope),
        )

    def scatter(self, rng: np.random.Generator, weights: Floats, count: int) -> Doubles:
        """Draw ``count`` points (N, 3) with density proportional to ``weights`` (Z, Y, X) on :attr:`grid`."""
        total = np.cumsum(np.maximum(weights, 0).ravel().astype(float))
        if not total[-1] > 0:
            return np.zeros((0, 3))
        drawn = np.searchsorted(total, rng.uniform(0, total[-1], count), side="right")
        index = np.stack(np.unravel_index(np.minimum(drawn, len(total) - 1), self.grid.shape), axis=1)
        inside = index + rng.uniform(-0.5, 0.5, index.shape)
        return inside * np.asarray(self.grid.voxel_size) + np.asarray(self.grid.origin)

    @cached_property
    def cytoplasm_side(self) -> float:
        """Direction in the plane (radians) from the nucleus to most of the cytoplasm."""
        grid, f = self.grid, self.fields
        cytoplasm = grid.points((f.cell < -0.5) & (f.chromatin > 0.3))
        away = cytoplasm.mean(0) - grid.points(f.chromatin < 0).mean(0)
        return float(np.arctan2(away[1], away[2]))

    @cached_property
    def _juxtanuclear(self) -> tuple[Doubles, Doubles]:
        """Possible places of a centrosome, and the score of each."""
        f = self.fields
        where = (f.chromatin > 0.6 * self.thinness) & (f.chromatin < 2.4) & (f.cell < -0.9 * self.thinness)
        if not where.any():
            where = (f.chromatin > 0.2) & (f.cell < -0.3)
        points = self.grid.points(where)
        height = np.abs(points[:, 0] - 0.55 * self.shape.height) / (2.0 * self.thinness)
        return points, np.minimum(-f.cell[where], 2.5) - height - np.abs(f.chromatin[where] - 1.2)

    def centrosome(self, rng: np.random.Generator, spread: float = 0.3, side: float | None = None) -> Doubles:
        """Draw a centrosome's place (3,) beside the nucleus, on the cytoplasm's side or on ``side`` (radians)."""
        toward = (self.cytoplasm_side if side is None else side) + rng.normal(0, spread)
        points, suits = self._juxtanuclear
        relative = points - self.shape.centre
        angle = np.arctan2(relative[:, 1], relative[:, 2])
        score = 6.0 * np.cos(angle - toward) + suits
        return points[np.argmax(score)] + rng.uniform(-0.3, 0.3, 3)

    def poles(self, rng: np.random.Generator) -> Doubles:
        """Draw the two poles (2, 3) of the spindle, inside the cell."""
        axis = frame_along(*self.shape.spindle)[0]
        wanted = 5.4 + 0.85 * self.shape.half_distance if self.shape.half_distance else 5.4
        if self.shape.stage == "telophase-cytokinesis":
            wanted = self.shape.half_distance + 2.6
        poles = []
        for sign in (-1.0, 1.0):
            reach = np.arange(1.5, wanted + 0.01, 0.25)
            along = self.shape.centre + sign * reach[:, None] * axis
            fits = np.flatnonzero(self.surroundings(along).depth > 1.0)
            poles.append(along[fits[-1] if len(fits) else 0] + rng.normal(0, 0.2, 3))
        return np.array(poles)

    def walk(
        self,
        rng: np.random.Generator,
        starts: Doubles,
        directions: Doubles,
        steps: int,
        *,
        step: float = 0.35,
        wander: float = 0.2,
        flatten: float = 1.0,
        min_depth: float = 0.4,
        min_gap: float = 0.3,
    ) -> tuple[Doubles, Mask]:
        """Draw random walks that turn along the cell's surface and around the nucleus.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the random turns.
        starts, directions : array (N, 3)
            First points in µm, and first directions.
        steps, step : int, float
            Number of steps, and their length in µm.
        wander : float
            Standard deviation of the change of the direction's entries at each step.
        flatten : float
            Factor on the change in Z.
        min_depth, min_gap : float
            Depth below the surface and distance from the chromatin (µm) at which a walk turns along it; less in flat
            cells.

        Returns
        -------
        path : array (steps, N, 3)
            Points in µm.
        free : array of bool (steps, N)
            Whether each point lies in the cytoplasm.
        """
        position, heading = starts.copy(), _unit(directions)
        path, free = [], []
        for _ in range(steps):
            around = self.surroundings(position)
            heading = heading + wander * rng.normal(size=heading.shape) * np.array([flatten, 1, 1])
            for distance, keep, normal in (
                (around.depth, min_depth * self.thinness, -around.outward),
                (around.chromatin, min_gap * self.thinness, around.away),
            ):
                inward = (heading * normal).sum(1)
                turn = (distance < keep) & (inward < 0)
                heading = np.where(turn[:, None], heading + (0.08 - inward)[:, None] * normal, heading)
            heading = _unit(heading)
            path.append(position)
            free.append((around.depth > 0.1) & (around.chromatin > 0.05))
            position = position + step * heading
        return np.array(path), np.array(free)


def _unit(vectors: Doubles) -> Doubles:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def thicken(rng: np.random.Generator, points: Doubles, radius: float) -> Doubles:
    """Return points (N, 3) with noise of ``radius`` µm: a line of points becomes a rod."""
    return points + rng.normal(0, radius, points.shape)
