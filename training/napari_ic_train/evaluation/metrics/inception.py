"""The inception score (equation 19; Salimans et al. 2016)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

Floats = NDArray[np.float64]


def divergences(p: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> Floats:
    """D_KL(p(y|x) || p(y)) of each cell, (N,), with the marginal p(y) over all of the cells.

    Parameters
    ----------
    p : array (N, K)
        p(y|x), the probability of each label.
    weights : array (N,), optional
        How many cells each one stands for in p(y); one if left out.

    Raises
    ------
    ValueError
        If they are not probabilities.
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 2 or len(p) == 0 or p.min() < 0 or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise ValueError("Label probabilities must be (N, K), none negative, and of sum 1 in each row.")
    p = p / p.sum(1, keepdims=True)
    return rel_entr(p, np.average(p, axis=0, weights=weights)).sum(1)


def inception_score(p: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> float:
    """The exponential of the mean divergence: K for sure, equally frequent labels, 1 if all cells look alike."""
    return float(np.exp(np.average(divergences(p, weights), weights=weights)))
