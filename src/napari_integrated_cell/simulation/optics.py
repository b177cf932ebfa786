"""Simulate imaging: stains, point-spread, photons, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.rendering import SPINNING_DISC, PointSpread
from napari_integrated_cell.simulation.anatomy import Anatomy, Distances, soft
from napari_integrated_cell.simulation.geometry import metric
from napari_integrated_cell.simulation.grid import Waves
from napari_integrated_cell.simulation.structures.nuclear import nucleolar_bodies


@dataclass(frozen=True)
class Camera:
    """A scientific camera that counts photons.

    Attributes
    ----------
    offset : float
        Counts in a voxel without light.
    read_noise : float
        Standard deviation in counts.
    """

    offset: float = 100.0
    read_noise: float = 2.2

    def expose(self, image: Floats, photons: float, rng: np.random.Generator) -> NDArray[np.uint16]:
        """Return counts (Z, Y, X) of an image whose brightest voxel emits ``photons`` photons."""
        top = float(image.max(initial=0))
        counts = self.read_noise * rng.standard_normal(image.shape, np.float32)
        counts += np.float32(self.offset)
        if top > 0:
            lit = image > top * 1e-5
            counts[lit] += rng.poisson(image[lit] * np.float32(photons / top))
        np.rint(counts, out=counts)
        return np.clip(counts, 0, 65535, out=counts).astype(np.uint16)


def membrane_stain(fields: Distances, rng: np.random.Generator, *, neighbours: bool = True) -> Floats:
    """Return a membrane stain before the microscope: the surface, haze inside, and the neighbours' membranes."""
    grid = fields.grid
    uneven = np.clip(1 + 0.12 * Waves(rng, 5.0, 24).on(grid), 0.3, None)
    stain = fields.shell(fields.cell, 0.085) * uneven  # 0.2 µm of membrane
    haze = rng.uniform(0.02, 0.06)
    stain += np.float32(haze) * fields.inside
    if neighbours:
        outside = soft(fields.cell - 0.2)
        below = soft(-fields.top - 0.8) * soft(np.broadcast_to(grid.axes[0], grid.shape))
        between = metric(np.maximum(fields.ridge - np.float32(0.15), 0), grid, 0.6)
        stain += outside * below * (fields.shell(between, 0.085) + np.float32(haze))
    return stain.astype(np.float32)


def dna_stain(
    anatomy: Anatomy, fields: Distances, rng: np.random.Generator, bodies: np.random.Generator
) -> Floats:
    """Return a DNA stain before the microscope: chromatin with darker nucleoli (drawn from ``bodies``), and haze."""
    condensed = anatomy.stage.condensation
    texture = Waves(rng, 2.6 - 1.2 * condensed).on(fields.grid)
    strength = 0.13 + 0.35 * condensed * (1 - condensed) * 2
    chromatin = np.clip(1 + np.float32(strength) * texture, 0.15, None) * fields.nucleus
    if anatomy.has_nucleoli:
        chromatin *= 1 - np.float32(0.45 * (1 - 0.5 * condensed)) * nucleolar_bodies(anatomy, fields, bodies)
    return (chromatin + np.float32(rng.uniform(0.0, 0.02)) * fields.inside).astype(np.float32)


__all__ = ["SPINNING_DISC", "Camera", "PointSpread", "dna_stain", "membrane_stain"]
