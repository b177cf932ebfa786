"""Where what was observed ranks among what was drawn: conditional calibration (Talts et al. 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


def rank_in_draws(observed: NDArray[np.floating], draws: NDArray[np.floating], seed: int = 0) -> Floats:
    """Rank of each observed value (N,) among its draws (N, M), from 0 to 1.

    Uniform where observation and draws are exchangeable, whatever the number of draws: a rank is drawn evenly within
    its step of 1 / (M + 1), and ties are broken by chance.
    """
    observed, draws = np.asarray(observed, np.float64), np.asarray(draws, np.float64)
    if draws.ndim != 2 or observed.shape != draws.shape[:1] or draws.shape[1] == 0:
        raise ValueError(
            f"Observations {observed.shape} do not go with draws {draws.shape}: give (N,) and (N, M)."
        )
    below = (draws < observed[:, None]).sum(1)
    equal = (draws == observed[:, None]).sum(1)
    chance = np.random.default_rng(seed).random(len(observed))
    return (below + chance * (equal + 1)) / (draws.shape[1] + 1)


def interval_coverage(ranks: NDArray[np.floating], level: float) -> float:
    """Share of observations within the central ``level`` of their draws; ``level`` is expected of calibrated ones."""
    return float((np.abs(np.asarray(ranks) - 0.5) <= level / 2).mean())


def uniformity(ranks: NDArray[np.floating]) -> tuple[float, float]:
    """Kolmogorov and Smirnov's distance of ranks to the uniform distribution, and its p."""
    test = stats.kstest(np.asarray(ranks), "uniform")
    return float(test.statistic), float(test.pvalue)
