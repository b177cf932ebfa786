"""Membranous organelles: Golgi (ST6GAL1), endoplasmic reticulum (Sec61β), mitochondria (TOM20)."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances, bell, soft, thicken
from napari_integrated_cell.simulation.grid import Waves
from napari_integrated_cell.simulation.mitosis import SPINDLE_STAGES


def st6gal1(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw one ribbon beside the nucleus, around the centrosome; scattered puncta in mitosis."""
    stage = anatomy.shape.stage
    haze = 0.02 * fields.cytoplasm
    if stage in SPINDLE_STAGES:
        free = np.clip(-anatomy.fields.cell - 0.5, 0, 1) * np.clip(anatomy.fields.chromatin - 0.6, 0, 1)
        puncta = anatomy.scatter(rng, free, int(rng.integers(50, 110)))
        return haze + fields.grid.splat(*_puncta(rng, puncta, 0.14)) * 0.35
    if stage == "telophase-cytokinesis":
        centres = anatomy.poles(rng)
        return haze + sum(
            (_ribbon(anatomy, fields, rng, c, 6, 8) * 0.4 for c in centres),
            np.zeros(fields.grid.shape, np.float32),
        )
    ribbon = _ribbon(anatomy, fields, rng, anatomy.centrosome(rng, 0.35), 16, 14)
    if stage == "prophase-2":  # already breaking up
        near = bell(np.maximum(anatomy.fields.chromatin - 0.8, 0), 1.5) * soft(anatomy.fields.chromatin - 0.4)
        puncta = anatomy.scatter(rng, near * soft(-anatomy.fields.cell - 0.4), 40)
        return haze + 0.35 * ribbon + fields.grid.splat(*_puncta(rng, puncta, 0.16)) * 0.3
    return haze + 0.5 * ribbon


def _puncta(rng: np.random.Generator, places: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights of spots of random brightness, eight points per spot."""
    weight = np.repeat(rng.lognormal(0, 0.4, len(places)), 8) / 8
    return thicken(rng, np.repeat(places, 8, axis=0), radius), weight


def _ribbon(
    anatomy: Anatomy,
    fields: Distances,
    rng: np.random.Generator,
    centre: np.ndarray,
    strands: int,
    steps: int,
) -> Floats:
    """Draw stacks that wind around ``centre``, close to the nucleus."""
    starts = centre + rng.normal(0, 0.55, (strands, 3))
    around = anatomy.surroundings(starts)
    tangent = np.cross(around.away, rng.normal(size=(strands, 3)))
    path, free = anatomy.walk(
        rng, starts, tangent, steps, step=0.28, wander=0.4, flatten=0.6, min_depth=0.7, min_gap=0.6
    )
    points = np.repeat(path[free], 4, axis=0)
    return fields.grid.splat(thicken(rng, points, 0.2), 0.28 / 4)


def sec61_beta(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw a network that is densest at the nuclear envelope, and the envelope itself."""
    net = np.zeros(fields.grid.shape, np.float32)
    for wavelength in (2.2, 3.0):
        net += bell(Waves(rng, wavelength, 40).on(fields.grid), 0.35)
    outside = np.maximum(fields.chromatin, 0)
    if anatomy.shape.stage in SPINDLE_STAGES:
        # The spindle excludes it: cisternae lie around the spindle and along the cortex.
        wraps = np.clip((outside - 0.6) / 1.2, 0, 1)
        return (
            fields.cytoplasm * wraps * (0.30 + 0.45 * net) * soft(-fields.cell - 0.2, 0.3)
            + 0.02 * fields.inside
        )
    thinning = np.exp(-outside / np.float32(rng.uniform(2.6, 3.6)))
    rim = fields.shell(fields.chromatin - 0.12, 0.18) * np.float32(0.9 * anatomy.stage.envelope)
    sheet = fields.cytoplasm * soft(-fields.cell - 0.15, 0.3)
    return sheet * (0.10 + (0.12 + 0.45 * net) * (0.12 + thinning)) + rim * fields.inside


def tom20(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw short tubules in the cytoplasm, denser around the nucleus; fragments in mitosis."""
    f = anatomy.fields
    thin = anatomy.thinness
    room = np.clip(-f.cell - 0.3 * thin, 0, 1.8) * soft(f.chromatin - 0.35 * thin, 0.3)
    mitotic = anatomy.shape.stage in SPINDLE_STAGES
    if mitotic:
        weights, count, steps = room * np.clip(f.chromatin - 0.5, 0, 2), int(rng.integers(170, 250)), 5
    else:
        # Near the nucleus, and where the cytoplasm is widest (the centrosome's side); rather above than below it. In
        # flat cells they lie farther out, and hardly at the base.
        flat = 1 - thin
        near = np.exp(-np.maximum(f.chromatin, 0) / np.float32(rng.uniform(2.8, 4.0) + 8 * flat))
        weights = room * (0.06 + near) * np.maximum(anatomy.upward(0.7 - 2.5 * flat, 1.3 + flat), 0)
        count, steps = int(rng.integers(190, 270)), 12
        if anatomy.shape.stage == "telophase-cytokinesis":
            count, steps = 260, 7
    starts = anatomy.scatter(rng, weights, count)
    patchy = 1 + (0.6 if mitotic else 0.25) * Waves(rng, 11.0).at(starts)
    starts = starts[rng.uniform(0, 1.6, len(starts)) < patchy]
    heading = rng.normal(size=starts.shape) * np.array([0.35, 1, 1])
    path, free = anatomy.walk(
        rng, starts, heading, steps, wander=0.3, flatten=0.4 * thin, min_depth=0.7, min_gap=0.35
    )
    bright = np.broadcast_to(rng.uniform(0.7, 1.2, (1, len(starts))), free.shape)[free]
    points = thicken(rng, np.repeat(path[free], 3, axis=0), 0.15)
    points[:, :] += rng.uniform(-0.15, 0.15, points.shape)
    return fields.grid.splat(points, np.repeat(bright, 3) * 0.35 / 3) + 0.015 * fields.cytoplasm
