"""Draw random shapes of cells of a population."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_integrated_cell.simulation.geometry import REACH, CellShape, Outline, metric
from napari_integrated_cell.simulation.grid import Waves
from napari_integrated_cell.simulation.mitosis import STAGE_SHAPES, StageShape, chromatin_bodies
from napari_integrated_cell.simulation.population import FIELD, ShapeDistributions

# A daughter has dense chromatin and a small, thick nucleus, and is not yet spread. In the real field two neighbours
# have nuclei of 224 and 239 µm³, half of the others', in cells of 1665 and 1841 µm³.
_DAUGHTER = StageShape(0.60, 0.79, 1.00, 0.145, 0.25, 1.0)

_FLATNESS_HEIGHT = 8.7
"""Height in µm of the cell for which a nucleus's flatness is stated; the median of real hiPS cells."""


def _truncated(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    while not low <= (value := rng.normal(mean, sd)) <= high:
        pass
    return float(value)


def _outline(
    rng: np.random.Generator, elongation: float, roundness: float, pivot: float, free: float
) -> Outline:
    """Draw an outline of mean radius 1 whose sides lean about the height ``pivot`` (µm).

    ``free`` is a factor on all that makes it irregular.
    """
    count = int(rng.choice((4, 5, 6), p=(0.25, 0.45, 0.30))) + int(roundness > 0.6)
    spacing = 2 * np.pi / count
    angles = rng.uniform(0, 2 * np.pi) + spacing * (np.arange(count) + rng.uniform(-0.3, 0.3, count) * free)
    a, b = np.sqrt(elongation), 1 / np.sqrt(elongation)
    support = np.hypot(a * np.cos(angles), b * np.sin(angles))
    spans = 1.3 * np.hypot(a * np.sin(angles), b * np.cos(angles))
    roundest = support**3 / 2  # bend of the ellipse at this angle (a b = 1)
    bend = np.clip(free * rng.normal(-0.40, 0.5, count) + roundness * 0.15, -1.1, 0.9)
    return Outline(
        angles=angles,
        distances=support * np.exp(rng.normal(0, 0.13 * free + 0.03, count)),
        bends=bend * roundest,
        spans=spans,
        leans=rng.normal(0, 0.40, count) * free,
        feet=rng.normal(0.3, 1.7, count) * free,
        reach=(REACH * a, REACH * b),
        bow=rng.normal(0, 0.08) * free,
        crease=0.5 + 1.0 * roundness,
        pivot=pivot,
    )


def draw_shape(
    rng: np.random.Generator,
    stage: str,
    outline: Outline | None = None,
    population: ShapeDistributions = FIELD,
) -> CellShape:
    """Draw a random cell of ``stage``, with a random orientation in the plane.

    Interphase follows the distributions of the population. A share of the cells are smaller, rounder daughters whose
    nucleus is 0.12 to 0.2 of the cell. Mitotic cells are round and have condensed chromatin. An ``outline`` (angles
    from X) fixes the sides and so the volume, as in a packed field, which has no daughters.
    """
    # What only some populations vary comes from a generator of its own, so that cells of the others stay as they are.
    aside = np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0])  # type: ignore[attr-defined]
    given = outline is not None
    daughter = aside.random() < population.just_divided and stage == "interphase" and not given
    of_stage = _DAUGHTER if daughter else STAGE_SHAPES[stage]
    roundness = of_stage.roundness
    free = 1 - roundness
    volume = _truncated(rng, *population.volume) * of_stage.volume
    height = _truncated(rng, *population.height)
    share, lowest, highest = population.tall
    crowding = 1.0
    if aside.random() < share * free:
        height, crowding = float(aside.uniform(lowest, highest)), population.crowding
    height = (height + roundness * max(population.mitotic_height - height, 0)) * of_stage.height
    late = stage in ("anaphase", "telophase-cytokinesis")
    axis = rng.uniform(0, 2 * np.pi)
    if outline is None:
        elongation = _elongation(rng, stage, roundness, population)
        free_sides = (1 - 0.55 * roundness) * population.irregularity * crowding
        outline = _outline(rng, elongation, roundness, height / 2, free_sides).scaled(9.0)
        outline = _sheared(aside, outline, population.shear * free * crowding)
        spindle = (axis + rng.normal(0, 0.06 if late else 0.25), rng.normal(0, 0.1))
    else:
        axis, spindle = 0.0, (_longest(outline), rng.normal(0, 0.1))
    median, varies = population.roughness
    amplitude = median * crowding * float(np.exp(aside.normal(0, varies))) - 0.12 * roundness
    shape = CellShape(
        stage=stage,
        axis=axis,
        outline=outline,
        height=height,
        dome=rng.uniform(*population.dome) + roundness * 5.0,
        slope=(rng.normal(0, 0.05) * free, rng.normal(0, 0.07) * free),
        lift=0.2 + free * float(aside.exponential(population.lift)) + roundness * rng.uniform(0.3, 1.5),
        rim=rng.uniform(*population.rim) + 1.6 * roundness,
        roughness=(0.05 if given else max(amplitude, 0.05), Waves(rng, 6.0, 24)),
        furrow=(rng.uniform(2.0, 5.5), rng.uniform(2.2, 3.2))
        if stage == "telophase-cytokinesis"
        else (0.0, 1.0),
        spindle=spindle,
        chromatin_roughness=(
            0.05 + 0.025 * of_stage.condensation,
            Waves(rng, 7.0 - 3.5 * of_stage.condensation, 24),
        ),
        clearance=rng.uniform(*population.clearance) + 0.6 * of_stage.condensation,
        skirt=_skirt(aside, volume, height, free, population),
        apical_belt=population.apical_belt,
    )
    if given:
        volume, shape = shape.volume, replace(shape, axis=spindle[0], outline=outline.turned(-spindle[0]))
    else:
        shape = _with_volume(shape, volume)
    # A cell with a large nucleus has much chromatin before mitosis; condensed, it is as dense as in other cells.
    relative = (_truncated(aside, *population.nucleus) / STAGE_SHAPES["interphase"].chromatin) ** free
    spread = 0.12 if daughter else 0.045
    low, high = (0.58, 0.72) if daughter else population.flatness
    flatness = (low * np.sqrt(crowding), high * np.sqrt(crowding))
    chromatin = volume * of_stage.chromatin * relative * np.exp(rng.normal(0, spread))
    return _with_chromatin(shape, rng, chromatin, flatness, population)


def _sheared(rng: np.random.Generator, outline: Outline, strength: float) -> Outline:
    """Let the whole cell lean to one side, as neighbours overlap, besides the leans of its single sides."""
    overlap = strength * abs(float(rng.standard_t(4)))
    lean = overlap * np.cos(outline.angles - rng.uniform(0, 2 * np.pi))
    return replace(outline, leans=np.clip(outline.leans + lean, -1.5, 1.5) if strength else outline.leans)


def _skirt(
    rng: np.random.Generator, volume: float, height: float, free: float, population: ShapeDistributions
) -> tuple[float, float]:
    """Draw how far the apex drops towards the sides, and the width over which it does, in µm."""
    drop, width = population.skirt
    radius = np.sqrt(volume / (np.pi * height * (1 - 0.5 * drop * free)))
    factors = rng.uniform((0.85, 0.8), (1.15, 1.2))
    return float(drop * free * height * factors[0]), float(width * radius * factors[1])


def _elongation(
    rng: np.random.Generator, stage: str, roundness: float, population: ShapeDistributions
) -> float:
    """Draw the ratio of long to short axis of a cell's outline."""
    if stage == "anaphase":
        return float(rng.uniform(1.2, 1.45))
    if stage == "telophase-cytokinesis":
        return float(rng.uniform(1.6, 2.0))
    spread = min(rng.exponential(population.elongation), 2.3)
    return float(1 + (0.05 + spread) * (1 - 0.7 * roundness))


def _longest(outline: Outline) -> float:
    """Return the direction in which the facets are farthest apart, roughly the outline's long axis."""
    stretch = (outline.distances * np.exp(2j * outline.angles)).sum()
    return float(np.angle(stretch) / 2)


def _with_volume(shape: CellShape, volume: float) -> CellShape:
    """Enlarge ``shape`` in the plane until it has the volume (µm³)."""
    for _ in range(3):
        shape = replace(shape, outline=shape.outline.scaled(float(np.sqrt(volume / shape.volume))))
    return shape


def _with_chromatin(
    shape: CellShape,
    rng: np.random.Generator,
    volume: float,
    flatness: tuple[float, float],
    population: ShapeDistributions,
) -> CellShape:
    """Add chromatin of ``volume`` µm³ to ``shape``, where there is enough room.

    ``flatness`` is the range of the ratio of a nucleus's height to its mean axis in the plane, for a cell 8.7 µm high.
    """
    grid = shape.coarse_grid()
    sides, _, cell, _ = shape.surfaces(grid)
    inside = cell < 0
    points = grid.points(inside)
    centroid = points.mean(0)
    spread = np.linalg.eigvalsh(np.cov(points[:, 1:].T))
    elongation = float(np.sqrt(spread[1] / spread[0]))
    interphase_like = STAGE_SHAPES[shape.stage].envelope > 0.8 and shape.stage != "telophase-cytokinesis"
    # Choose a place deep below the sides, and not too far from the centroid.
    depth = -sides[int(0.45 * shape.height / grid.voxel_size[0]) + 1]
    _, y, x = grid.axes
    away = ((y[0] - centroid[1]) ** 2 + (x[0] - centroid[2]) ** 2) / max(spread[1], 1.0)
    best = np.unravel_index(np.argmax(np.minimum(depth, 6.5) - 0.8 * away), depth.shape)
    room = np.array([float(y[0, best[0], 0]), float(x[0, 0, best[1]])])
    pull = 0.7 if interphase_like else 0.2
    plane = (
        pull * room
        + (1 - pull) * centroid[1:]
        + rng.normal(0, population.off_centre if interphase_like else 0.6, 2)
    )
    relative, sd = population.level if interphase_like else (0.47, 0.2)
    level = relative * shape.height
    centre = np.array([level + rng.normal(0, sd), *plane])
    loose = 1.1 / (1 + 3.0 * max(elongation - 1.1, 0))
    nucleus = (
        shape.axis + rng.normal(0, loose),
        float(np.exp(abs(rng.normal(0.28, 0.14)))) * (1 + 0.3 * max(elongation - 1.5, 0)),
        rng.uniform(*flatness) * shape.height / _FLATNESS_HEIGHT,
    )
    if shape.furrow[0] > 0:
        centre = np.array([level, *centroid[1:]])
    bodies, half = chromatin_bodies(shape.stage, rng, centre, shape.spindle, nucleus)
    shape = replace(shape, bodies=tuple(bodies), half_distance=half, centre=centre)
    # Choose the level of the bodies' radius that encloses the volume, among voxels far enough from the surface.
    radius = shape.chromatin_radius(grid)[metric(cell, grid) < -(shape.clearance + 0.15)]
    wanted = min(max(round(volume / grid.voxel_volume), 1), len(radius) - 1)
    return replace(shape, level=float(np.partition(radius, wanted)[wanted]))
