"""Microtubules (α-tubulin) and the actin family (β-actin, α-actinin, myosin IIB)."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances, bell, soft, thicken
from napari_integrated_cell.simulation.grid import Waves
from napari_integrated_cell.simulation.mitosis import frame_along


def alpha_tubulin(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw filaments from the centrosome along the cortex, the spindle, or the midbody, depending on the stage."""
    stage = anatomy.shape.stage
    if stage in ("prometaphase-1", "prometaphase-2", "metaphase", "anaphase"):
        return _spindle(anatomy, fields, rng)
    if stage == "telophase-cytokinesis":
        return _midbody(anatomy, fields, rng)
    centres = [anatomy.centrosome(rng, 0.3)]
    if stage != "interphase":  # two centrosomes move apart
        apart = {"prophase-1": 1.3, "prophase-2": np.pi}[stage]
        centres.append(anatomy.centrosome(rng, 0.2, side=anatomy.cytoplasm_side + apart))
    count = int(rng.integers(70, 100)) // len(centres)
    density = 0.10 * fields.cytoplasm * np.exp(-np.maximum(fields.chromatin, 0) / np.float32(5))
    for centre in centres:
        density = density + _aster(anatomy, fields, rng, centre, count, 14.0 if len(centres) == 1 else 8.0)
        density = density + fields.grid.splat(thicken(rng, np.repeat(centre[None], 60, axis=0), 0.35), 0.012)
    return density


def _aster(
    anatomy: Anatomy, fields: Distances, rng: np.random.Generator, centre: Doubles, count: int, length: float
) -> Floats:
    """Draw filaments from ``centre`` in all directions, of exponential length with mean ``length`` µm."""
    steps, step = 54, 0.45
    starts = centre + rng.normal(0, 0.25, (count, 3))
    heading = rng.normal(size=(count, 3)) * np.array([0.5, 1, 1])
    path, free = anatomy.walk(
        rng, starts, heading, steps, step=step, wander=0.09, flatten=0.6, min_depth=0.8, min_gap=0.35
    )
    lasts = rng.exponential(length, count) + 2.0
    free &= np.arange(steps)[:, None] * step < lasts
    points = np.repeat(path[free], 3, axis=0) + rng.uniform(-0.2, 0.2, (3 * int(free.sum()), 3))
    return fields.grid.splat(points, _crowded(points, centre, 3.0) * step * 0.4 / 3)


def _crowded(points: Doubles, pole: Doubles, radius: float) -> Doubles:
    """Return weights (N,) that keep dense filaments at a pole from being much brighter than the rest."""
    return 0.12 + 0.88 * np.minimum(np.linalg.norm(points - pole, axis=1) / radius, 1)


def _fibres(rng: np.random.Generator, start: Doubles, end: Doubles, bow: float, count: int = 24) -> Doubles:
    """Return points (N * count, 3) along arcs from ``start`` to ``end`` (N, 3), which curve away from their mean."""
    t = np.linspace(0, 1, count)[:, None, None]
    line = (1 - t) * start + t * end
    middle = (start.mean(0) + end.mean(0)) / 2
    out = (start + end) / 2 - middle
    return (line + bow * np.sin(np.pi * t) * out).reshape(-1, 3) + rng.normal(
        0, 0.08, (count * len(start), 3)
    )


def _spindle(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw two poles, fibres from each to the chromosomes, and short asters, along the spindle's axis."""
    shape = anatomy.shape
    poles = anatomy.poles(rng)
    normal, across, up = frame_along(*shape.spindle)
    width = {"prometaphase-1": 3.4, "prometaphase-2": 3.6, "metaphase": 3.6, "anaphase": 2.8}[shape.stage]
    density = 0.05 * fields.cytoplasm
    for pole, sign in zip(poles, (-1.0, 1.0), strict=True):
        n = 70
        angle, radius = rng.uniform(0, 2 * np.pi, n), width * np.sqrt(rng.uniform(0, 1, n))
        plate = shape.centre + sign * max(shape.half_distance - 0.3, 0.2) * normal
        ends = plate + radius[:, None] * (np.cos(angle)[:, None] * across + 0.9 * np.sin(angle)[:, None] * up)
        starts = pole + rng.normal(0, 0.15, (n, 3))
        fibres = _fibres(rng, starts, ends, 0.35)
        density = density + fields.grid.splat(fibres, _crowded(fibres, pole, 3.5) * 6.0 / 24 * 0.5)
        density = density + _aster(anatomy, fields, rng, pole, 22, 1.5)
    if shape.half_distance:  # the midzone between separating chromosomes
        n = 50
        angle, radius = rng.uniform(0, 2 * np.pi, n), 2.4 * np.sqrt(rng.uniform(0, 1, n))
        ring = radius[:, None] * (np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * up)
        half = shape.half_distance * 0.9 * normal
        density = density + fields.grid.splat(
            _fibres(rng, shape.centre - half + ring, shape.centre + half + ring, 0.1), 0.12
        )
    return density * fields.inside


def _midbody(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw a dense bundle through the furrow, and loose asters of the daughters."""
    shape = anatomy.shape
    normal, across, up = frame_along(*shape.spindle)
    n = 60
    angle, radius = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.3, 1.0, n)
    ring = radius[:, None] * (np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * up)
    half = rng.uniform(0.55, 0.75) * shape.half_distance * normal
    # Centre of the furrow: the deepest point of the neck.
    z = np.linspace(0.5, shape.height, 24)
    neck = np.stack([z, np.full(24, shape.centre[1]), np.full(24, shape.centre[2])], axis=1)
    centre = neck[np.argmax(anatomy.surroundings(neck).depth)]
    bundle = _fibres(rng, centre - half + 2.2 * ring, centre + half + 2.2 * ring, -0.75, 32)
    density = 0.08 * fields.cytoplasm + fields.grid.splat(bundle, 0.2)
    for pole in anatomy.poles(rng):
        density = density + _aster(anatomy, fields, rng, pole, 45, 4.5)
    return density * fields.inside


def _furrow(anatomy: Anatomy, fields: Distances, width: float) -> Floats:
    """Return 1 in the plane of the cleavage furrow, decreasing over ``width`` µm."""
    z, y, x = fields.grid.axes
    normal = frame_along(*anatomy.shape.spindle)[0]
    c = anatomy.shape.centre
    across = normal[0] * (z - c[0]) + normal[1] * (y - c[1]) + normal[2] * (x - c[2])
    return bell(across.astype(np.float32), width)


def _contractile(anatomy: Anatomy, fields: Distances, depth: float = 0.35) -> Floats:
    """Draw the contractile ring in cytokinesis, nothing in other stages."""
    if anatomy.shape.stage != "telophase-cytokinesis":
        return np.zeros(fields.grid.shape, np.float32)
    return _furrow(anatomy, fields, 0.8) * fields.shell(fields.cell + depth, 0.35)


def _bundles(
    anatomy: Anatomy, rng: np.random.Generator, count: int, level: float, spread: float
) -> tuple[Doubles, Doubles]:
    """Draw basal bundles, roughly along the long axis: starts (N, 3) and unit directions (N, 3)."""
    f = anatomy.fields
    z = anatomy.grid.axes[0]
    near_base = bell(z - np.float32(level), 0.4) * soft(-f.cell - 0.25)
    starts = anatomy.scatter(rng, near_base, count)
    starts[:, 0] = level + rng.normal(0, 0.12, len(starts))
    angle = anatomy.shape.axis + rng.normal(0, spread, len(starts))
    heading = np.stack([np.zeros(len(starts)), np.sin(angle), np.cos(angle)], axis=1)
    return starts, heading


def _lines(
    anatomy: Anatomy, rng: np.random.Generator, starts: Doubles, heading: Doubles, length: float
) -> Doubles:
    """Return points (S, N, 3) along straight bundles in both directions from their starts, NaN outside the cell."""
    reach = rng.uniform(0.5, 1.3, len(starts)) * length / 2
    t = np.arange(-length * 0.65, length * 0.65, 0.2)[:, None]
    points = starts + t[..., None] * heading
    inside = anatomy.surroundings(points.reshape(-1, 3)).depth.reshape(points.shape[:2]) > 0.15
    return np.where((inside & (np.abs(t) < reach))[..., None], points, np.nan)


def beta_actin(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw the cortex, brightest at cell-cell contacts, basal stress fibres, and the contractile ring."""
    r = anatomy.stage.roundness
    texture = np.maximum(1 + 0.22 * Waves(rng, 2.5).on(fields.grid), 0.1)
    cortex = fields.shell(fields.cell + 0.18, 0.22) * texture
    contact = 0.55 + 0.45 * bell(np.minimum(np.abs(fields.sides), 3), 0.6)
    density = cortex * contact * np.float32(0.75 + 0.3 * r) + 0.05 * fields.cytoplasm
    density = density + 1.2 * _contractile(anatomy, fields)
    if r < 0.6:
        starts, heading = _bundles(anatomy, rng, int(rng.integers(14, 26)), 0.45, 0.22)
        lines = _lines(anatomy, rng, starts, heading, 13.0)
        density = density + fields.grid.splat(lines[np.isfinite(lines[..., 0])], 0.2 * 0.36 * (1 - r))
    return density


def alpha_actinin(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw periodic puncta along basal bundles, and a line of spots at cell-cell contacts."""
    r = anatomy.stage.roundness
    beads = np.clip(Waves(rng, 1.6, 40).on(fields.grid), 0, 2)
    contact = fields.shell(fields.cell + 0.15, 0.25) * bell(np.minimum(np.abs(fields.sides), 3), 0.5)
    density = contact * beads * np.float32(0.25 + 0.35 * r) + 0.07 * fields.cytoplasm
    density = density + 0.6 * _contractile(anatomy, fields)
    if r < 0.6:
        starts, heading = _bundles(anatomy, rng, int(rng.integers(22, 36)), 0.55, 0.12)
        lines = _lines(anatomy, rng, starts, heading, 12.0)
        phase = rng.uniform(0, 5, lines.shape[1])
        steps = np.arange(lines.shape[0])[:, None]
        on = np.isfinite(lines[..., 0]) & (((steps + phase) % 5) < 2)  # a spot every micrometre
        density = density + fields.grid.splat(thicken(rng, lines[on], 0.12), 0.2 * 1.8 * (1 - r))
    return density


def myosin_iib(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw an apical ring and cap, and basal arcs along the cell's edges."""
    r = anatomy.stage.roundness
    z = fields.grid.axes[0]
    grain = np.clip(0.8 + 0.7 * Waves(rng, 1.5, 40).on(fields.grid), 0, None)
    apical = fields.shell(fields.cell + 0.25, 0.3) * bell(np.maximum(-fields.top - 0.3, 0), 0.8)
    edge = bell(fields.sides + 0.8, 1.1)
    density = apical * (0.25 + 0.75 * edge) * grain * np.float32(0.8) + 0.10 * fields.cytoplasm
    if r < 0.6:
        arcs = fields.shell(fields.sides + np.float32(rng.uniform(1.6, 2.2)), 0.4) * bell(
            z - np.float32(0.45), 0.35
        )
        density = density + 0.75 * (1 - r) * arcs * grain * fields.inside
    else:
        density = density + 0.45 * fields.shell(fields.cell + 0.25, 0.3) * grain
    return density + 1.8 * _contractile(anatomy, fields, 0.4) * grain
