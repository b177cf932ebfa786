"""Structures of the nucleus: nucleoli (fibrillarin) and the envelope (lamin B1)."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances, bell, soft, thicken
from napari_integrated_cell.simulation.grid import Waves

_ROUND_HEIGHT = 6.0
"""Height in µm of a nucleus from which nucleoli are round."""


def fibrillarin(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw two to five nucleoli inside the nucleus; in mitosis, dispersed protein and a coat on chromosomes."""
    stage = anatomy.shape.stage
    if anatomy.has_nucleoli:
        bodies = nucleolar_bodies(anatomy, fields, rng)
        fading = 0.55 if stage == "prophase-2" else 1.0
        inside, outside = (0.20, 0.07) if stage == "telophase-cytokinesis" else (0.31 - 0.25 * fading, 0.002)
        # In a flat nucleus less nucleoplasm lies above and below the nucleoli: it is fainter.
        density = bodies * np.float32(fading) + np.float32(inside * _squash(anatomy) ** 2)
        return density * fields.nucleus + np.float32(outside) * fields.cytoplasm
    # Open mitosis: diffuse protein, a patchy coat on the chromosomes, and foci that remain from the nucleoli.
    texture: Floats = 1 + np.float32(0.3) * Waves(rng, 4.0).on(fields.grid)
    patches = np.clip(0.25 + 0.75 * Waves(rng, 4.5).on(fields.grid), 0, None)
    coat = fields.shell(fields.chromatin, 0.4) * patches
    free = soft(-anatomy.fields.cell - 0.7) * soft(anatomy.fields.chromatin - 0.2)
    foci = anatomy.scatter(rng, free, int(rng.integers(15, 35)))
    dots = fields.grid.splat(thicken(rng, np.repeat(foci, 12, axis=0), 0.22), 0.4 / 12)
    return (
        np.maximum(np.float32(0.14) * texture, 0) * fields.cytoplasm
        + (0.5 * coat + 0.10 * fields.nucleus) * fields.inside
        + dots
    )


def nucleoli(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Draw centres (N, 3) and radii (N,) in µm of nucleoli, or of a daughter's prenucleolar bodies."""
    if anatomy.intact:
        spots = _apart(rng, _deep(anatomy, rng, 1.2, 60), int(rng.integers(2, 6)))
        return spots, rng.uniform(1.4, 1.9, len(spots)) * (4 / (3 + len(spots)))
    spots = _apart(rng, _deep(anatomy, rng, 0.5, 80), int(rng.integers(6, 12)))
    return spots, rng.uniform(0.35, 0.6, len(spots))


def _deep(anatomy: Anatomy, rng: np.random.Generator, depth: float, count: int) -> Doubles:
    """Draw places inside the chromatin, deeper ones with higher probability."""
    below = -anatomy.fields.chromatin
    depth = min(depth, 0.7 * float(below.max()))
    return anatomy.scatter(rng, np.clip(below - depth, 0, 2.5) ** 2, count)


def _apart(rng: np.random.Generator, candidates: Doubles, count: int) -> Doubles:
    """Choose ``count`` of the candidates that are far from each other."""
    chosen = candidates[:1]
    for _ in range(count - 1):
        gap = np.linalg.norm(candidates[:, None] - chosen[None], axis=-1).min(1)
        chosen = np.vstack([chosen, candidates[np.argmax(gap * rng.uniform(0.5, 1, len(gap)))]])
    return chosen


def nucleolar_bodies(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw nucleoli as lobed bodies (Z, Y, X), with value 1 inside. In a flat nucleus they are flat too."""
    spots, radii = nucleoli(anatomy, rng)
    squash = _squash(anatomy)
    z, y, x = fields.grid.axes
    density = np.zeros(fields.grid.shape, np.float32)
    for spot, radius in zip(spots, radii / squash ** (1 / 3), strict=True):
        for _ in range(3):
            c = spot + rng.normal(0, 0.38 * radius, 3) * (squash, 1, 1)
            r = radius * rng.uniform(0.65, 0.9)
            here = fields.grid.around(c, r + 0.3)
            along = ((z[here[0]] - c[0]) / squash) ** 2
            squares = along + (y[:, here[1]] - c[1]) ** 2 + (x[:, :, here[2]] - c[2]) ** 2
            lobe = soft((r - np.sqrt(squares)).astype(np.float32), 0.2)
            np.maximum(density[here], lobe, out=density[here])
    return density


def _squash(anatomy: Anatomy) -> float:
    """Return the ratio of height to width of nucleoli: 1, or less in a flat nucleus."""
    planes = np.count_nonzero((anatomy.fields.chromatin < 0).any(axis=(1, 2)))
    return float(np.clip(planes * anatomy.grid.voxel_size[0] / _ROUND_HEIGHT, 0.35, 1))


def lamin_b1(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw a shell at the nuclear surface with a few folds; diffuse protein while there is no envelope."""
    stage = anatomy.shape.stage
    patches = 1 + 0.14 * Waves(rng, 3.5).on(fields.grid)
    if stage in ("prometaphase-1", "prometaphase-2", "metaphase", "anaphase"):
        remnant = 0.5 if stage == "prometaphase-1" else 0.0
        coat = remnant * fields.shell(fields.chromatin - 0.3, 0.4) * patches
        texture = 0.32 * (1 + 0.3 * Waves(rng, 2.2).on(fields.grid))
        return np.maximum(texture * fields.cytoplasm + coat * fields.inside + 0.10 * fields.nucleus, 0)
    standing = {"prophase-2": 0.8, "telophase-cytokinesis": 0.75}.get(stage, 1.0)
    shell = fields.shell(fields.chromatin, 0.16) * patches * np.float32(standing)
    folds = np.zeros(fields.grid.shape, np.float32)
    for _ in range(int(rng.integers(0, 3)) + (2 if stage == "prophase-2" else 0)):
        folds += _fold(anatomy, fields, rng)
    haze = {"prophase-2": 0.08, "telophase-cytokinesis": 0.12}.get(stage, 0.006)
    return np.maximum(shell + folds + 0.04 * fields.nucleus + np.float32(haze) * fields.cytoplasm, 0)


def _fold(anatomy: Anatomy, fields: Distances, rng: np.random.Generator) -> Floats:
    """Draw a short fold of the envelope at its upper or lower face."""
    _, y, x = fields.grid.axes
    angle = rng.uniform(0, np.pi)
    centre = anatomy.shape.centre[1:] + rng.normal(0, 2.0, 2)
    across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
    along = (y - centre[0]) * np.sin(angle) + (x - centre[1]) * np.cos(angle)
    across = across + 0.05 * along * along * rng.normal()
    sheet = fields.shell(across.astype(np.float32), 0.18) * bell(
        along.astype(np.float32), rng.uniform(1.0, 2.0)
    )
    return 0.6 * sheet * bell(np.minimum(fields.chromatin, 0), 0.7) * fields.nucleus
