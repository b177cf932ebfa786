"""How far two clouds of feature vectors lie apart: Fréchet and kernel distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def frechet_distance(a: Floats, b: Floats) -> float:
    """|μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) of features (N, D) and (M, D) (Dowson and Landau 1982).

    Of Gaussian clouds it is the squared second Wasserstein distance; of the features of an Inception network it is
    called FID (Heusel et al. 2017). Of few cells it is biased upwards: compare samples of one size only.
    """
    a, b = _checked(a, b, least=2)
    step = a.mean(0) - b.mean(0)
    one, other = (np.cov(cloud, rowvar=False).reshape(a.shape[1], -1) for cloud in (a, b))
    # Tr (AB)^½ = Tr (A^½ B A^½)^½, and that matrix is symmetric: singular covariances do no harm.
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    return float(max(step @ step + np.trace(one) + np.trace(other) - 2 * cross, 0.0))


def kernel_distance(a: Floats, b: Floats) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x·y / D + 1)³, as in KID (Bińkowski et al. 2018).

    Its expectation is 0 for two samples of one distribution, of any size: it may come out a little below.
    """
    a, b = _checked(a, b, least=2)

    def kernel(x: Floats, y: Floats) -> NDArray[np.float64]:
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    k_aa, k_bb = kernel(a, a), kernel(b, b)
    within = (k_aa.sum() - np.trace(k_aa)) / (n * (n - 1)) + (k_bb.sum() - np.trace(k_bb)) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def _checked(a: Floats, b: Floats, least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one: NDArray[np.float64] = np.asarray(a, np.float64)
    other: NDArray[np.float64] = np.asarray(b, np.float64)
    if (
        one.ndim != 2
        or other.ndim != 2
        or one.shape[1] != other.shape[1]
        or min(len(one), len(other)) < least
    ):
        raise ValueError(
            f"Features {one.shape} and {other.shape} cannot be compared: give (N, D) and (M, D), {least} cells "
            "each or more."
        )
    return one, other
