"""Fidelity and diversity of generated cells: precision and recall (Kynkäänniemi et al. 2019), density and coverage
(Naeem et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """How generated cells lie among observed ones.

    Attributes
    ----------
    precision : float
        Share of generated cells that lie within the ball of an observed one; a ball reaches to its cell's k-th
        nearest neighbour of the same kind.
    recall : float
        Share of observed cells that lie within the ball of a generated one.
    density : float
        In how many balls of observed cells a generated one lies, over k; 1 is expected of equal distributions.
    coverage : float
        Share of observed cells with a generated one in their ball; see :func:`expected_coverage`.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(
    observed: NDArray[np.floating], generated: NDArray[np.floating], k: int = NEIGHBOURS
) -> Manifold:
    """Precision, recall, density and coverage of generated features (M, D) against observed ones (N, D).

    Raises
    ------
    ValueError
        If there are no more than ``k`` cells of a kind.
    """
    if min(len(observed), len(generated)) <= k:
        raise ValueError(
            f"{len(observed)} observed and {len(generated)} generated cells have no {k}th neighbours: "
            f"give {k + 1} or more of each, or ask for fewer neighbours."
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
    """The coverage expected of ``m`` generated and ``n`` observed cells of one distribution (Naeem et al., lemma 2)."""
    i = np.arange(1, k + 1)
    return float(1 - np.prod((n - i) / (n + m - i)))


def _reach(cells: NDArray[np.floating], k: int) -> NDArray[np.float64]:
    """Distance of each cell to its ``k``-th nearest neighbour, itself not counted, (N,)."""
    apart = cdist(cells, cells)
    np.fill_diagonal(apart, np.inf)
    return np.partition(apart, k - 1, axis=1)[:, k - 1]
