"""Tests whether latent codes follow their prior, N(0, I)."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.spatial.distance import pdist
from scipy.special import gammaln, hyp1f1

from napari_integrated_cell.arrays import Doubles, Mask, Reals

LEVEL = 0.05
REPEATS = 99


def marginal_normality(points: Reals) -> Mask:
    """Test each dimension of points (N, D) against N(0, 1) by Kolmogorov and Smirnov; return what is rejected, (D,).

    Holm's correction for the number of dimensions gives a family-wise level of 5 %.
    """
    p = np.array([stats.kstest(column, "norm").pvalue for column in _checked(points).T])
    order = np.argsort(p)
    passed = p[order] > LEVEL / np.arange(len(p), 0, -1)
    rejected = np.zeros(len(p), bool)
    rejected[order] = ~np.logical_or.accumulate(passed)
    return rejected


def mardia(points: Reals) -> tuple[float, float]:
    """Return p of Mardia's (1970, 1974) tests of the skewness and of the kurtosis of points (N, D), with N > D.

    They are tests of multivariate normality, for any mean and covariance.
    """
    points = _checked(points)
    n, d = points.shape
    if n <= d:
        raise ValueError(
            f"{n} points with {d} dimensions have no inverse covariance: give more than {d} points."
        )
    centred = points - points.mean(0)
    products = centred @ np.linalg.solve(centred.T @ centred / n, centred.T)
    # Of a normal distribution the skewness is 0 and the kurtosis D (D + 2).
    skewness = float((products**3).mean())
    kurtosis = float((products.diagonal() ** 2).mean())
    correction = (d + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (d + 1) - 6))  # Mardia 1974, for small samples
    p_skewness = float(stats.chi2.sf(n * correction * skewness / 6, d * (d + 1) * (d + 2) / 6))
    expected = d * (d + 2) * (n - 1) / (n + 1)
    deviate = (kurtosis - expected) / np.sqrt(8 * d * (d + 2) / n)
    return p_skewness, float(2 * stats.norm.sf(abs(deviate)))


def energy_test(points: Reals, repeats: int = REPEATS, seed: int = 0) -> tuple[float, float]:
    """Return Székely and Rizzo's energy distance of points (N, D) to N(0, I), and its p.

    The distance is 2 E|X - Z| - E|X - X'| - E|Z - Z'|; it is 0 only for N(0, I). p is the share of ``repeats`` samples
    of N(0, I), of the same size, whose distance is as large. The minimum is 1 / (1 + repeats).
    """
    points = _checked(points)
    random = np.random.default_rng(seed)
    found = _energy(points)
    as_far = sum(_energy(random.standard_normal(points.shape)) >= found for _ in range(repeats))
    return found, (1 + as_far) / (1 + repeats)


def _energy(points: Doubles) -> float:
    """Compute the distance: E|x - Z| and E|Z - Z'| have closed forms, E|X - X'| is the mean over the points."""
    n, d = points.shape
    mean_norm = np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2))  # E|Z|
    to_normal = mean_norm * hyp1f1(-0.5, d / 2, -(points**2).sum(1) / 2)
    between = 2 * pdist(points).sum() / n**2
    return float(2 * to_normal.mean() - np.sqrt(2) * mean_norm - between)


def _checked(points: Reals) -> Doubles:
    cloud: Doubles = np.asarray(points, np.float64)
    if cloud.ndim != 2 or len(cloud) < 2 or not np.isfinite(cloud).all():
        raise ValueError(
            f"Points of shape {cloud.shape} cannot be tested: give finite values (N, D) of two or more points."
        )
    return cloud
