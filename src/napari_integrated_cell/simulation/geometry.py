"""The shape of a cell and its chromatin as implicit functions: the same cell on any voxel grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.simulation.grid import Floats, Grid, Waves, blend_max
from napari_integrated_cell.simulation.mitosis import STAGE_SHAPES, Body, chromatin_bodies

_COARSE = 0.7
"""Voxel in µm on which volumes are set and walkers feel their way."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The sides of a cell: facets pressed by its neighbours, each bent, leaning and with a foot.

    All arrays are (F,); lengths in µm in the plane, along (u) and across (v) the cell's long axis.
    """

    angles: NDArray[np.float64]
    distances: NDArray[np.float64]
    bends: NDArray[np.float64]
    spans: NDArray[np.float64]
    leans: NDArray[np.float64]
    feet: NDArray[np.float64]
    reach: tuple[float, float]
    bow: float
    crease: float

    def scaled(self, s: float) -> Outline:
        """The outline enlarged in the plane by the factor ``s``."""
        return replace(
            self,
            distances=self.distances * s,
            bends=self.bends / s,
            spans=self.spans * s,
            reach=(self.reach[0] * s, self.reach[1] * s),
            bow=self.bow / s,
        )


@dataclass(frozen=True, eq=False)
class CellShape:
    """One simulated cell's shape, position-independent of any grid: Z from the substrate up, Y and X in the plane.

    Attributes
    ----------
    stage : str
        One of the eight stages.
    axis : float
        Direction of the long axis in the plane, radians from X to Y.
    outline : Outline
        The sides.
    height, dome, slope : float, float, (float, float)
        The apical surface: height in µm at the centre, its fall towards the edges, its slope along (u, v).
    lift, rim : float
        How far the basal edge rounds up, and the width over which sides and apex merge, in µm.
    roughness : tuple of (amplitude µm, Waves)
        Unevenness of the surface.
    furrow : (depth, width)
        Cleavage furrow across the spindle axis, µm.
    bodies, level, clearance, chromatin_roughness
        The chromatin: bodies, their size, cytoplasm kept around them (µm), and their unevenness.
    spindle : (angle, tilt)
        Axis of the spindle, radians.
    half_distance : float
        Half the distance between the two sets of chromosomes in µm, 0 before anaphase.
    centre : array (3,)
        Centre of the nucleus or spindle.
    """

    stage: str
    axis: float
    outline: Outline
    height: float
    dome: float
    slope: tuple[float, float]
    lift: float
    rim: float
    roughness: tuple[float, Waves]
    furrow: tuple[float, float]
    spindle: tuple[float, float]
    chromatin_roughness: tuple[float, Waves]
    clearance: float
    bodies: tuple[Body, ...] = ()
    level: float = 1.0
    half_distance: float = 0.0
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def surfaces(self, grid: Grid) -> tuple[Floats, Floats, Floats, Floats]:
        """Signed, roughly metric values (Z, Y, X), negative inside: sides, apex, whole cell; and the facets' ridges.

        The last is the gap between the two nearest facets: it vanishes where two neighbours of the cell meet.
        """
        z, y, x = grid.axes
        c, s = np.float32(np.cos(self.axis)), np.float32(np.sin(self.axis))
        u, v = x * c + y * s, y * c - x * s
        o = self.outline
        v = v - np.float32(o.bow) * (u * u - np.float32(0.25 * o.reach[0] ** 2))
        middle = np.float32(self.height / 2)
        first: Floats | None = None
        second = np.full(grid.shape, -np.inf, np.float32)
        for angle, distance, bend, span, lean, foot in zip(
            o.angles, o.distances, o.bends, o.spans, o.leans, o.feet, strict=True
        ):
            ca, sa = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            along = np.clip(v * ca - u * sa, -span, span)
            face = u * ca + v * sa - np.float32(distance) + np.float32(bend) * along * along
            offset = np.float32(lean) * (z - middle) + np.float32(foot) * np.exp(-z / np.float32(1.5))
            value = (face - offset).astype(np.float32)
            if first is None:
                first = value
            else:
                second = np.maximum(second, np.minimum(first, value))
                first = blend_max(first, value, o.crease).astype(np.float32)
        assert first is not None
        ridge = first - second
        outer = np.sqrt((u / o.reach[0]) ** 2 + (v / o.reach[1]) ** 2)
        sides = blend_max(first, (outer - 1) * np.float32(np.sqrt(o.reach[0] * o.reach[1])), 2.0)
        amplitude, waves = self.roughness
        sides = sides + np.float32(amplitude) * waves.on(grid)
        fall = np.float32(self.dome) * outer * outer
        top = z - np.float32(self.height) + fall - np.float32(self.slope[0]) * u - np.float32(self.slope[1]) * v
        bottom = np.float32(self.lift) * outer * outer - z
        depth, width = self.furrow
        if depth > 0:
            a = np.float32(self.spindle[0])
            cy, cx = np.float32(self.centre[1]), np.float32(self.centre[2])
            across = (x - cx) * np.cos(a) + (y - cy) * np.sin(a)
            pinch = np.float32(depth) * np.exp(-((across / np.float32(width)) ** 2))
            sides, top, bottom = sides + pinch, top + 0.35 * pinch, bottom + 0.25 * pinch
        cell = blend_max(blend_max(sides, top, self.rim), bottom, self.rim * 0.6)
        return sides.astype(np.float32), np.broadcast_to(top, grid.shape).astype(np.float32), cell, ridge

    def chromatin(self, grid: Grid, cell: Floats) -> Floats:
        """Signed value (Z, Y, X) of the chromatin, negative inside, given the cell's distance on the same grid."""
        radius = self._radius(grid)
        value = metric(radius - np.float32(self.level), grid, 0.02)
        return blend_max(value, cell + np.float32(self.clearance), 0.8).astype(np.float32)

    def _radius(self, grid: Grid) -> Floats:
        z, y, x = grid.axes
        radius = self.bodies[0].radius(z, y, x)
        for body in self.bodies[1:]:
            radius = np.minimum(radius, body.radius(z, y, x))
        amplitude, waves = self.chromatin_roughness
        return (radius * (1 + np.float32(amplitude) * waves.on(grid))).astype(np.float32)

    @cached_property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest Z, Y, X of the cell in µm, to within a coarse voxel."""
        grid = self._generous_grid()
        points = np.argwhere(self.surfaces(grid)[2] < 0)
        v, o = np.asarray(grid.voxel_size), np.asarray(grid.origin)
        return points.min(0) * v + o - v / 2, points.max(0) * v + o + v / 2

    def grid(self, voxel_size: tuple[float, float, float], margin: float | tuple[float, float, float] = 1.5) -> Grid:
        """The grid of ``voxel_size`` (µm) that holds the cell with ``margin`` (µm) around it."""
        low, high = self.bounds
        m = np.broadcast_to(np.asarray(margin, float), (3,))
        return Grid.covering(low - m, high + m, voxel_size)

    def _generous_grid(self) -> Grid:
        r = 1.1 * max(self.outline.reach) + 1
        return Grid.covering((-0.7, -r, -r), (self.height + 3.5, r, r), (_COARSE,) * 3)


def metric(value: Floats, grid: Grid, floor: float = 0.4) -> Floats:
    """``value`` divided by the length of its gradient: a distance in µm near the zero level."""
    squares = np.zeros(grid.shape, np.float32)
    for part in np.gradient(value, *grid.voxel_size):
        squares += part * part
    return (value / np.sqrt(np.maximum(squares, np.float32(floor * floor)))).astype(np.float32)


def _truncated(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    while not low <= (value := rng.normal(mean, sd)) <= high:
        pass
    return float(value)


def _outline(rng: np.random.Generator, elongation: float, roundness: float) -> Outline:
    """An outline of unit mean radius."""
    count = int(rng.integers(5, 8)) + (2 if roundness > 0.6 else 0)
    free = 1 - roundness
    spacing = 2 * np.pi / count
    angles = rng.uniform(0, 2 * np.pi) + spacing * (np.arange(count) + rng.uniform(-0.33, 0.33, count) * free)
    a, b = np.sqrt(elongation), 1 / np.sqrt(elongation)
    support = np.hypot(a * np.cos(angles), b * np.sin(angles))
    spans = 1.25 * np.hypot(a * np.sin(angles), b * np.cos(angles))
    roundest = support**3 / 2  # the bend of the ellipse itself there (a b = 1)
    bend = np.clip(free * rng.normal(-0.1, 0.45, count) + roundness * 0.75, -0.7, 0.9)
    return Outline(
        angles=angles,
        distances=support * np.exp(rng.normal(0, 0.13 * free + 0.03, count)),
        bends=bend * roundest,
        spans=spans,
        leans=rng.normal(0, 0.26, count) * (free + 0.15),
        feet=np.abs(rng.normal(0, 0.9, count)) * free,
        reach=(1.55 * a, 1.55 * b),
        bow=rng.normal(0, 0.05) * free,
        crease=0.8 + 4.5 * roundness,
    )


def draw_shape(rng: np.random.Generator, stage: str) -> CellShape:
    """A random cell of ``stage``, turned at random in the plane.

    The interphase population follows thirteen real hiPS cells: volume 1600-3050 µm³ (mean about 2150), height
    7-11 µm, long axis 25-43 µm, nucleus 0.28 of the cell; mitotic cells round up and hold condensed chromatin.
    """
    of_stage = STAGE_SHAPES[stage]
    roundness = of_stage.roundness
    volume = _truncated(rng, 2200, 420, 1500, 3200) * of_stage.volume
    height = _truncated(rng, 8.9, 1.2, 7.0, 11.4) * of_stage.height
    spread = min(1 + rng.exponential(0.42), 2.6)
    elongation = 1 + (spread - 1) * (1 - 0.8 * roundness)
    if stage == "anaphase":
        elongation = rng.uniform(1.2, 1.45)
    elif stage == "telophase-cytokinesis":
        elongation = rng.uniform(1.6, 2.0)
    axis = rng.uniform(0, 2 * np.pi)
    late = stage in ("anaphase", "telophase-cytokinesis")
    spindle = (axis + rng.normal(0, 0.06 if late else 0.25), rng.normal(0, 0.1))
    free = 1 - roundness
    shape = CellShape(
        stage=stage,
        axis=axis,
        outline=_outline(rng, elongation, roundness).scaled(9.0),
        height=height,
        dome=rng.uniform(0.8, 3.5) * (0.5 + 0.5 * free) + roundness * 2.5,
        slope=(rng.normal(0, 0.06) * free, rng.normal(0, 0.09) * free),
        lift=0.2 * free + roundness * rng.uniform(2.0, 3.5),
        rim=rng.uniform(1.0, 2.2) + 3.0 * roundness,
        roughness=(0.22 * free + 0.08, Waves(rng, 6.0, 24)),
        furrow=(rng.uniform(2.0, 5.5), rng.uniform(2.2, 3.2)) if stage == "telophase-cytokinesis" else (0.0, 1.0),
        spindle=spindle,
        chromatin_roughness=(0.05 + 0.05 * of_stage.condensation, Waves(rng, 7.0 - 3.5 * of_stage.condensation, 24)),
        clearance=rng.uniform(0.3, 0.6),
    )
    shape = _with_volume(shape, volume)
    return _with_chromatin(shape, rng, volume * of_stage.chromatin * np.exp(rng.normal(0, 0.045)))


def _with_volume(shape: CellShape, volume: float) -> CellShape:
    """``shape`` enlarged in the plane until its volume (µm³) is right."""
    for _ in range(3):
        grid = shape._generous_grid()
        now = (shape.surfaces(grid)[2] < 0).sum() * grid.voxel_volume
        shape = replace(shape, outline=shape.outline.scaled(float(np.sqrt(volume / now))))
    return shape


def _with_chromatin(shape: CellShape, rng: np.random.Generator, volume: float) -> CellShape:
    """``shape`` with its chromatin placed where there is room for it, of ``volume`` µm³."""
    grid = shape._generous_grid()
    sides, _, cell, _ = shape.surfaces(grid)
    inside = cell < 0
    points = grid.points(inside)
    centroid = points.mean(0)
    spread = np.linalg.eigvalsh(np.cov(points[:, 1:].T))
    elongation = float(np.sqrt(spread[1] / spread[0]))
    interphase_like = STAGE_SHAPES[shape.stage].envelope > 0.8 and shape.stage != "telophase-cytokinesis"
    # The roomiest place: depth below the sides, and not too far from the centroid.
    depth = -sides[int(0.45 * shape.height / grid.voxel_size[0]) + 1]
    z, y, x = grid.axes
    away = ((y[0] - centroid[1]) ** 2 + (x[0] - centroid[2]) ** 2) / max(spread[1], 1.0)
    best = np.unravel_index(np.argmax(np.minimum(depth, 6.5) - 0.8 * away), depth.shape)
    room = np.array([float(y[0, best[0], 0]), float(x[0, 0, best[1]])])
    pull = 0.6 if interphase_like else 0.1
    plane = pull * room + (1 - pull) * centroid[1:] + rng.normal(0, 0.5 if interphase_like else 0.3, 2)
    level = 0.40 * shape.height if interphase_like else 0.45 * shape.height
    centre = np.array([level + rng.normal(0, 0.2), *plane])
    loose = 1.1 / (1 + 3.0 * max(elongation - 1.1, 0))
    nucleus = (
        shape.axis + rng.normal(0, loose),
        float(np.exp(abs(rng.normal(0.05, 0.14)))) * (1 + 0.3 * max(elongation - 1.5, 0)),
        rng.uniform(0.40, 0.52) * shape.height / 8.7,
    )
    if shape.furrow[0] > 0:
        centre = np.array([level, *centroid[1:]])
    bodies, half = chromatin_bodies(shape.stage, rng, centre, shape.spindle, nucleus)
    shape = replace(shape, bodies=tuple(bodies), half_distance=half, centre=centre)
    # The level of the bodies' radius that encloses the volume wanted, of what is far enough from the surface.
    radius = shape._radius(grid)[metric(cell, grid) < -(shape.clearance + 0.15)]
    wanted = min(max(int(round(volume / grid.voxel_volume)), 1), len(radius) - 1)
    return replace(shape, level=float(np.partition(radius, wanted)[wanted]))
