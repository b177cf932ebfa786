"""Ranks of observed values among draws, to test calibration (Talts et al. 2018)."""

from __future__ import annotations

import numpy as np
from scipy import stats

from napari_integrated_cell.arrays import Doubles, Reals


def rank_in_draws(observed: Reals, draws: Reals, seed: int = 0) -> Doubles:
    """Return the rank of each observed value (N,) among its draws (N, M), from 0 to 1.

    Ranks are uniform if observation and draws are exchangeable. Each rank is random within its step of 1 / (M + 1),
    and ties are broken at random, so this holds for any number of draws.
    """
    observed, draws = np.asarray(observed, np.float64), np.asarray(draws, np.float64)
    if draws.ndim != 2 or observed.shape != draws.shape[:1] or draws.shape[1] == 0:
        raise ValueError(
            f"Observations {observed.shape} and draws {draws.shape} do not match: give (N,) and (N, M)."
        )
    below = (draws < observed[:, None]).sum(1)
    equal = (draws == observed[:, None]).sum(1)
    chance = np.random.default_rng(seed).random(len(observed))
    return (below + chance * (equal + 1)) / (draws.shape[1] + 1)


def interval_coverage(ranks: Reals, level: float) -> float:
    """Return the share of observations in the central interval of their draws; calibrated draws reach ``level``."""
    return float((np.abs(np.asarray(ranks) - 0.5) <= level / 2).mean())


def uniformity(ranks: Reals) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov distance of ranks to the uniform distribution, and its p value."""
    test = stats.kstest(np.asarray(ranks), "uniform")
    return float(test.statistic), float(test.pvalue)
