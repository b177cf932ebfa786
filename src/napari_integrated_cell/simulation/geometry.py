"""Shape of a cell and its chromatin as implicit functions, which give the same cell on any voxel grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats, Reals
from napari_integrated_cell.simulation.grid import Grid, Waves, blend_max
from napari_integrated_cell.simulation.mitosis import Body

REACH = 1.9
"""Largest distance of a cell's corner from its centre, in mean radii."""

_COARSE = 0.7
"""Voxel size in µm of the grid on which volumes are measured."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The sides of a cell: flat facets between it and its neighbours, each with a bend, a lean and a foot.

    Each facet is n·p = distance - bend t² + lean (z - pivot) + foot exp(-z / 1.5 µm), with n at ``angles`` from the
    cell's long axis and t along the facet (up to ``spans``). All arrays are (F,), all lengths in µm. ``reach`` limits
    the corners along and across the long axis, ``bow`` curves that axis, ``crease`` rounds the corners.
    """

    angles: Doubles
    distances: Doubles
    bends: Doubles
    spans: Doubles
    leans: Doubles
    feet: Doubles
    reach: tuple[float, float]
    bow: float
    crease: float
    pivot: float

    def scaled(self, s: float) -> Outline:
        """Return the outline enlarged in the plane by the factor ``s``."""
        return replace(
            self,
            distances=self.distances * s,
            bends=self.bends / s,
            spans=self.spans * s,
            reach=(self.reach[0] * s, self.reach[1] * s),
            bow=self.bow / s,
        )

    def turned(self, angle: float) -> Outline:
        """Return the outline rotated by ``angle`` (radians)."""
        return replace(self, angles=self.angles + angle)


@dataclass(frozen=True, eq=False)
class CellShape:
    """Shape of one simulated cell, independent of any grid: Z upwards from the substrate, Y and X in the plane, in µm.

    Attributes
    ----------
    stage : str
        One of the eight stages.
    axis : float
        Direction of the long axis in the plane, radians from X to Y.
    outline : Outline
        The sides.
    height, dome, slope : float, float, (float, float)
        The apical surface: height in µm at the centre, drop towards the edges, slope along (u, v).
    lift, rim : float
        Height to which the basal edge is rounded, and width over which sides and apex merge, in µm.
    skirt : (drop, width)
        Further drop of the apex towards the sides, and the distance from the sides over which it drops, in µm. (0, 1)
        for a cell with upright sides.
    roughness : tuple of (amplitude µm, Waves)
        Roughness of the surface.
    furrow : (depth, width)
        Cleavage furrow across the spindle axis, in µm.
    bodies, level, clearance, chromatin_roughness
        The chromatin: bodies, their size, smallest distance from the surface (µm), and their roughness.
    spindle : (angle, tilt)
        Axis of the spindle, radians.
    half_distance : float
        Half the distance between the two sets of chromosomes in µm, 0 before anaphase.
    centre : array (3,)
        Centre of the nucleus or spindle.
    apical_belt : bool
        Whether the cell has a belt of junctions where its sides meet the apex.
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
    centre: Doubles = field(default_factory=lambda: np.zeros(3))
    skirt: tuple[float, float] = (0.0, 1.0)
    apical_belt: bool = True

    def surfaces(self, grid: Grid) -> tuple[Floats, Floats, Reals, Floats]:
        """Return sides, apex and whole cell in about µm, negative inside, and the ridges; each (Z, Y, X).

        The ridge is the gap between the two nearest facets. It is 0 where two neighbours of the cell meet.
        """
        z, y, x = grid.axes
        c, s = np.float32(np.cos(self.axis)), np.float32(np.sin(self.axis))
        u, v = x * c + y * s, y * c - x * s
        o = self.outline
        v = v - np.float32(o.bow) * (u * u - np.float32(0.25 * o.reach[0] ** 2))
        faces: list[tuple[Reals, Reals]] = []
        for angle, distance, bend, span, lean, foot in zip(
            o.angles, o.distances, o.bends, o.spans, o.leans, o.feet, strict=True
        ):
            ca, sa = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            along = np.clip(v * ca - u * sa, -span, span)
            face = u * ca + v * sa - np.float32(distance) + np.float32(bend) * along * along
            offset = np.float32(lean) * (z - np.float32(o.pivot)) + np.float32(foot) * np.exp(
                -z / np.float32(1.5)
            )
            faces.append((face, offset))
        outer = np.sqrt((u / o.reach[0]) ** 2 + (v / o.reach[1]) ** 2)
        beyond = (outer - 1) * np.float32(np.sqrt(o.reach[0] * o.reach[1]))
        fall = np.float32(self.dome) * outer * outer
        rise = np.float32(self.lift) * outer * outer
        amplitude, waves = self.roughness
        rough = waves.on(grid)
        rough *= np.float32(amplitude)
        drop, skirt_width = self.skirt
        depth, width = self.furrow
        if depth > 0:
            a = np.float32(self.spindle[0])
            cy, cx = np.float32(self.centre[1]), np.float32(self.centre[2])
            across = (x - cx) * np.cos(a) + (y - cy) * np.sin(a)
            pinch = np.float32(depth) * np.exp(-((across / np.float32(width)) ** 2))
        all_sides, all_top, ridge = (np.empty(grid.shape, np.float32) for _ in range(3))
        cell = np.empty(grid.shape)
        for planes in grid.slabs():
            value = (faces[0][0] - faces[0][1][planes]).astype(np.float32)
            first, second = value, np.full(value.shape, -np.inf, np.float32)
            for face, offset in faces[1:]:
                value = (face - offset[planes]).astype(np.float32)
                np.maximum(second, np.minimum(first, value), out=second)
                first = blend_max(first, value, o.crease)
            np.subtract(first, second, out=ridge[planes])
            sides = blend_max(first, beyond, 2.0)
            sides += rough[planes]
            top = (
                z[planes]
                - np.float32(self.height)
                + fall
                - np.float32(self.slope[0]) * u
                - np.float32(self.slope[1]) * v
            )
            if drop > 0:
                depth_in_cell = np.clip(-first / np.float32(skirt_width), 0, 1)
                top += np.float32(drop) * (1 - depth_in_cell) ** np.float32(1.7)
            bottom = rise - z[planes]
            if depth > 0:
                sides, top, bottom = sides + pinch, top + 0.35 * pinch, bottom + 0.25 * pinch
            cell[planes] = blend_max(blend_max(sides, top, self.rim), bottom, self.rim * 0.6)
            all_sides[planes], all_top[planes] = sides, top
        return all_sides, all_top, cell, ridge

    def chromatin(self, grid: Grid, cell: Floats) -> Floats:
        """Return the signed distance (Z, Y, X) to the chromatin, negative inside, from the cell's on the same grid."""
        radius = self.chromatin_radius(grid)
        value = metric(radius - np.float32(self.level), grid, 0.02)
        return blend_max(value, cell + np.float32(self.clearance), 0.8).astype(np.float32)

    def parameters(self) -> dict[str, float]:
        """Return the shape's parameters as numbers: lengths in µm, angles in degrees."""
        return {
            "axis": float(np.degrees(self.axis) % 180),
            "reach_along": self.outline.reach[0] / REACH,
            "reach_across": self.outline.reach[1] / REACH,
            "facets": float(len(self.outline.angles)),
            "height": self.height,
            "dome": self.dome,
            "skirt": self.skirt[0],
            "spindle_angle": float(np.degrees(self.spindle[0]) % 180),
            "spindle_tilt": float(np.degrees(self.spindle[1])),
            "half_distance": self.half_distance,
            "furrow_depth": self.furrow[0],
            "clearance": self.clearance,
            "nucleus_size": self.level,
            "nucleus_z": float(self.centre[0]),
            "nucleus_y": float(self.centre[1]),
            "nucleus_x": float(self.centre[2]),
        }

    def chromatin_radius(self, grid: Grid) -> Floats:
        """Return the distance (Z, Y, X) from the chromatin's bodies in their own unit: below :attr:`level` inside."""
        z, y, x = grid.axes
        radius = self.bodies[0].radius(z, y, x)
        for body in self.bodies[1:]:
            radius = np.minimum(radius, body.radius(z, y, x))
        amplitude, waves = self.chromatin_roughness
        return (radius * (1 + np.float32(amplitude) * waves.on(grid))).astype(np.float32)

    @cached_property
    def bounds(self) -> tuple[Doubles, Doubles]:
        """Lowest and highest Z, Y, X of the cell in µm, to the precision of a coarse voxel."""
        grid = self.coarse_grid()
        points = np.argwhere(self.surfaces(grid)[2] < 0)
        v, o = np.asarray(grid.voxel_size), np.asarray(grid.origin)
        return points.min(0) * v + o - v / 2, points.max(0) * v + o + v / 2

    def grid(
        self, voxel_size: tuple[float, float, float], margin: float | tuple[float, float, float] = 1.5
    ) -> Grid:
        """Return the grid of ``voxel_size`` (µm) that contains the cell with ``margin`` (µm) around it."""
        low, high = self.bounds
        m = np.broadcast_to(np.asarray(margin, float), (3,))
        return Grid.covering(low - m, high + m, voxel_size)

    @cached_property
    def volume(self) -> float:
        """Volume in µm³, measured on a coarse grid."""
        grid = self.coarse_grid()
        return float((self.surfaces(grid)[2] < 0).sum() * grid.voxel_volume)

    def coarse_grid(self) -> Grid:
        """Return a coarse grid that is certain to contain the cell, to measure it."""
        r = max(self.outline.reach) + 1.5
        return Grid.covering(
            (-0.7, -r, -r), (self.height + 3.5, r, r), (min(_COARSE, self.height / 8), _COARSE, _COARSE)
        )


def gradient(value: Reals, grid: Grid) -> Floats:
    """Return the gradient (3, Z, Y, X) per µm of a value on a grid."""
    return np.array(np.gradient(value, *grid.voxel_size), np.float32)


def metric(value: Reals, grid: Grid, floor: float = 0.4) -> Floats:
    """Divide ``value`` by the length of its gradient, which gives a distance in µm near the zero level."""
    distance = np.empty(grid.shape, np.float32)
    for planes in grid.slabs():
        near = slice(max(planes.start - 1, 0), planes.stop + 1)
        slopes = gradient(value[near], grid)
        squares = np.square(slopes, out=slopes).sum(axis=0)
        length = np.sqrt(np.maximum(squares, np.float32(floor * floor)))
        distance[planes] = value[planes] / length[planes.start - near.start :][: planes.stop - planes.start]
    return distance
