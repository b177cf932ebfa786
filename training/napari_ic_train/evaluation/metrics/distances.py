"""Distances between two samples of numbers."""

from __future__ import annotations

import numpy as np
from scipy import stats

from napari_integrated_cell.arrays import Reals


def wasserstein(a: Reals, b: Reals) -> float:
    """Return the first Wasserstein distance of samples (N,) and (M,), the area between their distribution functions."""
    return float(stats.wasserstein_distance(a, b))


def kolmogorov_smirnov(a: Reals, b: Reals) -> float:
    """Return the largest difference of the distribution functions of samples (N,) and (M,), from 0 to 1."""
    a, b = np.sort(a), np.sort(b)
    every = np.concatenate([a, b])
    below = [np.searchsorted(sample, every, "right") / len(sample) for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
