"""How far a figure could be off by the choice of cells (Efron's percentile bootstrap)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.experiment import Interval

LEVEL = 0.95


def bootstrap(
    values: NDArray[Any],
    statistic: Callable[[NDArray[Any]], float] = lambda values: float(np.mean(values)),
    n: int = 1000,
    seed: int = 0,
) -> Interval:
    """A statistic of cells, and the central 95 % of it over samples of as many cells drawn with repetition.

    Parameters
    ----------
    values : array (N, ...)
        One entry a cell, or whatever is independent of one another.
    statistic : callable
        From an array (N, ...) to a number; the mean if left out.
    n : int
        Samples.
    seed : int
        Of the samples.

    Raises
    ------
    ValueError
        If there is nothing to draw from.
    """
    values = np.asarray(values)
    if len(values) == 0 or n < 1:
        raise ValueError(f"{n} samples of {len(values)} values have no interval: give one of each at least.")
    random = np.random.default_rng(seed)
    found = np.array([statistic(values[random.integers(0, len(values), len(values))]) for _ in range(n)])
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(values)), float(low), float(high))
