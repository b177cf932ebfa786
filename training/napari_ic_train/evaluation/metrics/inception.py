"""The inception score (equation 19; Salimans et al. 2016)."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from napari_integrated_cell.arrays import Doubles, Reals


def divergences(p: Reals, weights: Reals | None = None) -> Doubles:
    """Return D_KL(p(y|x) || p(y)) of each cell, (N,), with the marginal p(y) of all cells.

    Parameters
    ----------
    p : array (N, K)
        p(y|x), the probability of each label.
    weights : array (N,), optional
        Weight of each cell in p(y); 1 if left out.

    Raises
    ------
    ValueError
        If ``p`` does not hold probabilities.
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 2 or len(p) == 0 or p.min() < 0 or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise ValueError(
            "Label probabilities must be (N, K), without negative values, and with sum 1 in each row."
        )
    p = p / p.sum(1, keepdims=True)
    return rel_entr(p, np.average(p, axis=0, weights=weights)).sum(1)


def inception_score(p: Reals, weights: Reals | None = None) -> float:
    """Return the exponential of the mean divergence: K for certain, equally frequent labels; 1 for identical cells."""
    return float(np.exp(np.average(divergences(p, weights), weights=weights)))
