"""Distances between two sets of feature vectors: Fréchet and kernel distance."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.arrays import Doubles, Reals


def frechet_distance(a: Reals, b: Reals) -> float:
    """Return |μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) of features (N, D) and (M, D) (Dowson and Landau 1982).

    For normal distributions it is the squared second Wasserstein distance. With the features of an Inception network
    it is called FID (Heusel et al. 2017). It is biased upwards for few cells: compare samples of the same size only.
    """
    a, b = _checked(a, b)
    step = a.mean(0) - b.mean(0)
    one, other = (np.cov(cloud, rowvar=False).reshape(a.shape[1], -1) for cloud in (a, b))
    # Tr (AB)^½ = Tr (A^½ B A^½)^½. That matrix is symmetric, so the covariances may be singular.
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    return float(max(step @ step + np.trace(one) + np.trace(other) - 2 * cross, 0.0))


def kernel_distance(a: Reals, b: Reals) -> float:
    """Return the unbiased squared maximum mean discrepancy of features (N, D) and (M, D).

    The kernel is (x·y / D + 1)³, as in KID (Bińkowski et al. 2018). The expectation is 0 for two samples of the same
    distribution, whatever their size, so a value may be slightly negative.
    """
    a, b = _checked(a, b)

    def kernel(x: Reals, y: Reals) -> Doubles:
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    k_aa, k_bb = kernel(a, a), kernel(b, b)
    within = (k_aa.sum() - np.trace(k_aa)) / (n * (n - 1)) + (k_bb.sum() - np.trace(k_bb)) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def _checked(a: Reals, b: Reals) -> tuple[Doubles, Doubles]:
    one: Doubles = np.asarray(a, np.float64)
    other: Doubles = np.asarray(b, np.float64)
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1] or min(len(one), len(other)) < 2:
        raise ValueError(
            f"Features {one.shape} and {other.shape} do not match: give (N, D) and (M, D) of two or more cells."
        )
    return one, other
