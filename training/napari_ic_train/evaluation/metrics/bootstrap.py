"""Confidence intervals by Efron's percentile bootstrap over cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.findings import Interval

LEVEL = 0.95


def bootstrap(
    values: NDArray[Any], statistic: Callable[[NDArray[Any]], float] = np.mean, n: int = 1000, seed: int = 0
) -> Interval:
    """Return a statistic of cells with its 95 % confidence interval, over samples of cells drawn with replacement.

    Parameters
    ----------
    values : array (N, ...)
        One entry for each cell. The entries must be independent.
    statistic : callable
        Takes an array (N, ...) and returns a number; the mean if left out.
    n : int
        Number of samples.
    seed : int
        Random seed.

    Raises
    ------
    ValueError
        If there are no values or no samples.
    """
    values = np.asarray(values)
    if len(values) == 0 or n < 1:
        raise ValueError(f"{n} samples of {len(values)} values have no interval: give 1 or more of both.")
    random = np.random.default_rng(seed)
    found = np.array([statistic(values[random.integers(0, len(values), len(values))]) for _ in range(n)])
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(values)), float(low), float(high))
