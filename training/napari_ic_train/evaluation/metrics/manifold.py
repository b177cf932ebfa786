"""Fidelity and diversity of generated cells.

Precision and recall are by Kynkäänniemi et al. (2019), density and coverage by Naeem et al. (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from napari_integrated_cell.arrays import Doubles, Reals

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """Fidelity and diversity of generated cells. The ball of a cell reaches to its k-th neighbour of the same kind.

    Attributes
    ----------
    precision : float
        Share of generated cells inside the ball of an observed cell.
    recall : float
        Share of observed cells inside the ball of a generated cell.
    density : float
        Mean number of balls of observed cells around a generated cell, divided by k; 1 for equal distributions.
    coverage : float
        Share of observed cells with a generated cell in their ball; see :func:`expected_coverage`.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(observed: Reals, generated: Reals, k: int = NEIGHBOURS) -> Manifold:
    """Compare generated features (M, D) with observed features (N, D).

    Raises
    ------
    ValueError
        If there are ``k`` or fewer observed cells or generated cells.
    """
    if min(len(observed), len(generated)) <= k:
        raise ValueError(
            f"{len(observed)} observed and {len(generated)} generated cells are too few for {k} neighbours: "
            f"give {k + 1} or more cells of each kind."
        )
    apart = cdist(observed, generated)
    reach_observed, reach_generated = _reach(observed, k), _reach(generated, k)
    within = apart < reach_observed[:, None]
    return Manifold(
        precision=float(within.any(0).mean()),
        recall=float((apart < reach_generated[None]).any(1).mean()),
        density=float(within.sum(0).mean() / k),
        coverage=float(within.any(1).mean()),
    )


def expected_coverage(n: int, m: int, k: int = NEIGHBOURS) -> float:
    """Return the coverage expected of ``n`` observed and ``m`` generated cells of one distribution (lemma 2)."""
    i = np.arange(1, k + 1)
    return float(1 - np.prod((n - i) / (n + m - i)))


def _reach(cells: Reals, k: int) -> Doubles:
    """Return the distance of each cell to its ``k``-th nearest neighbour, (N,)."""
    apart = cdist(cells, cells)
    np.fill_diagonal(apart, np.inf)
    return np.partition(apart, k - 1, axis=1)[:, k - 1]
