"""Structures of the nucleus: nucleoli (fibrillarin) and the envelope (lamin B1)."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.simulation.anatomy import Anatomy, Fields, Points, bell, soft
from napari_integrated_cell.simulation.grid import Floats, Waves


def fibrillarin(anatomy: Anatomy, fields: Fields, rng: np.random.Generator) -> Floats:
    """Two to five nucleoli, well inside the nucleus; dispersed, partly onto chromosomes, in mitosis."""
    stage = anatomy.shape.stage
    if anatomy.intact or stage == "telophase-cytokinesis":
        fading = {"prophase-2": 0.55}.get(stage, 1.0)
        if stage == "telophase-cytokinesis":  # prenucleolar bodies
            spots = _apart(rng, _deep(anatomy, rng, 0.5, 80), int(rng.integers(6, 12)))
            radii, haze, outside = rng.uniform(0.35, 0.6, len(spots)), 0.20, 0.07
        else:
            spots = _apart(rng, _deep(anatomy, rng, 1.2, 60), int(rng.integers(2, 6)))
            radii, haze, outside = rng.uniform(0.95, 1.5, len(spots)) * (4 / (3 + len(spots))), 0.06, 0.012
        density = _blobs(fields, rng, spots, radii) * np.float32(fading)
        haze += 0.25 * (1 - fading)
        return density * fields.nucleus + np.float32(haze) * fields.nucleus + np.float32(outside) * fields.cytoplasm
    # Open mitosis: diffuse, and a coat on the chromosomes.
    texture = 1 + 0.25 * Waves(rng, 2.5).on(fields.grid)
    coat = bell(fields.chromatin, 0.45) * (1 + 0.35 * Waves(rng, 1.8).on(fields.grid))
    return np.maximum(0.22 * texture * fields.cytoplasm + 0.8 * coat * fields.inside + 0.15 * fields.nucleus, 0)


def _deep(anatomy: Anatomy, rng: np.random.Generator, depth: float, count: int) -> Points:
    """Candidate places inside the chromatin, the deeper the likelier."""
    below = -anatomy.fields.chromatin
    depth = min(depth, 0.7 * float(below.max()))
    return anatomy.scatter(rng, np.clip(below - depth, 0, 1.2), count)


def _apart(rng: np.random.Generator, candidates: Points, count: int) -> Points:
    """``count`` of the candidates that keep apart from each other."""
    chosen = candidates[:1]
    for _ in range(count - 1):
        gap = np.linalg.norm(candidates[:, None] - chosen[None], axis=-1).min(1)
        chosen = np.vstack([chosen, candidates[np.argmax(gap * rng.uniform(0.5, 1, len(gap)))]])
    return chosen


def _blobs(fields: Fields, rng: np.random.Generator, spots: Points, radii: np.ndarray) -> Floats:
    """Lobed bodies around ``spots``, 1 inside."""
    z, y, x = fields.grid.axes
    nearest = np.full(fields.grid.shape, 9.0, np.float32)
    for spot, radius in zip(spots, radii, strict=True):
        for _ in range(3):
            c = spot + rng.normal(0, 0.38 * radius, 3)
            r = radius * rng.uniform(0.65, 0.9)
            gap = np.sqrt((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) - r
            np.minimum(nearest, gap.astype(np.float32), out=nearest)
    return soft(-nearest, 0.2)


def lamin_b1(anatomy: Anatomy, fields: Fields, rng: np.random.Generator) -> Floats:
    """A shell at the nuclear surface, here and there folded in; diffuse while the envelope is down."""
    stage = anatomy.shape.stage
    patches = 1 + 0.14 * Waves(rng, 3.5).on(fields.grid)
    if stage in ("prometaphase-1", "prometaphase-2", "metaphase", "anaphase"):
        remnant = 0.5 * bell(fields.chromatin - 0.3, 0.4) * patches if stage == "prometaphase-1" else 0.0
        haze = 0.32 * (1 + 0.3 * Waves(rng, 2.2).on(fields.grid))
        return np.maximum(haze * fields.cytoplasm + remnant * fields.inside + 0.10 * fields.nucleus, 0)
    standing = {"prophase-2": 0.8, "telophase-cytokinesis": 0.75}.get(stage, 1.0)
    shell = bell(fields.chromatin, 0.16) * patches * np.float32(standing)
    folds = 0.0
    for _ in range(int(rng.integers(0, 3)) + (2 if stage == "prophase-2" else 0)):
        folds = folds + _fold(anatomy, fields, rng)
    haze = {"prophase-2": 0.08, "telophase-cytokinesis": 0.12}.get(stage, 0.015)
    return np.maximum(shell + folds + 0.07 * fields.nucleus + np.float32(haze) * fields.cytoplasm, 0)


def _fold(anatomy: Anatomy, fields: Fields, rng: np.random.Generator) -> Floats:
    """A short crease of the envelope reaching in from its upper or lower face."""
    z, y, x = fields.grid.axes
    angle = rng.uniform(0, np.pi)
    centre = anatomy.shape.centre[1:] + rng.normal(0, 2.0, 2)
    across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
    along = (y - centre[0]) * np.sin(angle) + (x - centre[1]) * np.cos(angle)
    across = across + 0.05 * along * along * rng.normal()
    sheet = bell(across.astype(np.float32), 0.18) * bell(along.astype(np.float32), rng.uniform(1.0, 2.0))
    return 0.6 * sheet * bell(np.minimum(fields.chromatin, 0), 0.7) * fields.nucleus
