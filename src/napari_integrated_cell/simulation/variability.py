"""Ground truth of how much a structure varies for a given shape in the simulator."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import numpy as np

from napari_integrated_cell.simulation.cells import structure_draws, voxels
from napari_integrated_cell.simulation.geometry import CellShape

_BY_VARIABILITY = (
    *("lamin-B1", "ZO1", "Sec61-beta", "beta-actin", "myosin-IIB", "alpha-tubulin"),
    *("alpha-actinin", "fibrillarin", "ST6GAL1", "TOM20", "desmoplakin"),
)
VARIABILITY = MappingProxyType({name: rank for rank, name in enumerate(_BY_VARIABILITY)})
"""Rank of each structure's residual variability in interphase; 0 for the structure that shape determines best."""

MITOTIC_SHIFT = MappingProxyType(
    {"lamin-B1": 1, "fibrillarin": 1, "ST6GAL1": 1, "TOM20": 1, "alpha-tubulin": -1}
)
"""Structures that vary more (1) or less (-1) in metaphase than in interphase, as section 3.4.5 reports."""


def residual_variability(
    shape: CellShape,
    structure: str,
    voxel_size: float | Iterable[float] = 0.634,
    *,
    draws: int = 32,
    seed: int = 0,
) -> float:
    """Return one minus the mean Pearson correlation, inside the cell, of independent draws in one shape.

    It is 0 if the shape determines everything, 1 if draws are uncorrelated. Algorithm 4 uses the determinant of the
    same correlations.

    Parameters
    ----------
    shape : CellShape
        The cell's shape.
    structure : str
        The structure's name.
    voxel_size : float or (Z, Y, X)
        Voxel size in µm.
    draws, seed : int
        Number of noise-free draws, and their random seed.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For fewer than two draws or an unknown structure.
    """
    if draws < 2:
        raise ValueError(f"Variation over {draws} draws is undefined: give 2 or more.")
    grid = shape.grid(voxels(voxel_size))
    inside = shape.surfaces(grid)[2] < 0
    images = [image[inside] for image in structure_draws(shape, structure, grid, draws, seed)]
    correlation = np.atleast_2d(np.corrcoef(np.array(images, np.float64)))
    return float(1 - correlation[np.triu_indices(draws, 1)].mean())
