"""Whether codes are distributed as their prior, N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import pdist
from scipy.special import gammaln, hyp1f1

Floats = NDArray[np.float64]

LEVEL = 0.05
REPEATS = 99


@dataclass(frozen=True, eq=False)
class Marginals:
    """Kolmogorov and Smirnov's test of each dimension against N(0, 1).

    Attributes
    ----------
    statistic, p : array (D,)
    rejected : array of bool, (D,)
        By Holm's correction for the number of dimensions, at a level of 5 % in all.
    """

    statistic: Floats
    p: Floats
    rejected: NDArray[np.bool_]


@dataclass(frozen=True)
class Mardia:
    """Mardia's (1970, 1974) tests of multivariate normality, whatever the mean and covariance.

    Attributes
    ----------
    skewness, kurtosis : float
        0 and D (D + 2) for a normal distribution.
    p_skewness, p_kurtosis : float
    """

    skewness: float
    kurtosis: float
    p_skewness: float
    p_kurtosis: float


@dataclass(frozen=True)
class Energy:
    """Székely and Rizzo's energy distance to N(0, I).

    Attributes
    ----------
    distance : float
        2 E|X - Z| - E|X - X'| - E|Z - Z'|: 0 for N(0, I) alone.
    p : float
        How often as many draws of N(0, I) are as far away; 1 / 100 at least.
    """

    distance: float
    p: float


def marginal_normality(points: NDArray[np.floating]) -> Marginals:
    """Each dimension of points (N, D) against N(0, 1)."""
    points = _checked(points)
    tests = [stats.kstest(column, "norm") for column in points.T]
    p = np.array([test.pvalue for test in tests])
    order = np.argsort(p)
    passed = p[order] > LEVEL / np.arange(len(p), 0, -1)
    rejected = np.zeros(len(p), bool)
    rejected[order] = ~np.logical_or.accumulate(passed)
    return Marginals(np.array([test.statistic for test in tests]), p, rejected)


def mardia(points: NDArray[np.floating]) -> Mardia:
    """Skewness and kurtosis of points (N, D), of more points than dimensions."""
    points = _checked(points)
    n, d = points.shape
    if n <= d:
        raise ValueError(f"{n} points of {d} dimensions have no inverse covariance: give more than {d}.")
    centred = points - points.mean(0)
    products = centred @ np.linalg.solve(centred.T @ centred / n, centred.T)
    skewness = float((products**3).mean())
    kurtosis = float((products.diagonal() ** 2).mean())
    few = (d + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (d + 1) - 6))  # Mardia 1974, for small samples
    p_skewness = float(stats.chi2.sf(n * few * skewness / 6, d * (d + 1) * (d + 2) / 6))
    expected = d * (d + 2) * (n - 1) / (n + 1)
    deviate = (kurtosis - expected) / np.sqrt(8 * d * (d + 2) / n)
    return Mardia(skewness, kurtosis, p_skewness, float(2 * stats.norm.sf(abs(deviate))))


def energy_test(points: NDArray[np.floating], repeats: int = REPEATS, seed: int = 0) -> Energy:
    """The energy distance of points (N, D) to N(0, I), and its p by so many draws of as many points."""
    points = _checked(points)
    random = np.random.default_rng(seed)
    found = _energy(points)
    beyond = sum(_energy(random.standard_normal(points.shape)) >= found for _ in range(repeats))
    return Energy(found, (1 + beyond) / (1 + repeats))


def _energy(points: Floats) -> float:
    """E|x - Z| and E|Z - Z'| have closed forms; E|X - X'| is of the points themselves."""
    n, d = points.shape
    mean_norm = np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2))  # E|Z|
    to_normal = mean_norm * hyp1f1(-0.5, d / 2, -(points**2).sum(1) / 2)
    between = 2 * pdist(points).sum() / n**2
    return float(2 * to_normal.mean() - np.sqrt(2) * mean_norm - between)


def _checked(points: NDArray[np.floating]) -> Floats:
    cloud: Floats = np.asarray(points, np.float64)
    if cloud.ndim != 2 or len(cloud) < 2 or not np.isfinite(cloud).all():
        raise ValueError(
            f"Points of shape {cloud.shape} cannot be tested: give (N, D), two or more, all finite."
        )
    return cloud
