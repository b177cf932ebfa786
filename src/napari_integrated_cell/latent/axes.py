"""Axes of a latent space along which a position is moved: principal axes, or the latent dimensions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.model.latent import LatentDistribution

_FLAT = 1e-9  # axes with less than this share of the first axis's variance are rounding errors


@dataclass(frozen=True, eq=False)
class LatentAxes:
    """``k`` orthogonal axes of a latent space with ``d`` dimensions.

    Attributes
    ----------
    names : tuple of str
        ``"PC 1"``... or ``"z 0"``..., with the numbers of a position table's columns.
    centre : array (d,)
        The point where the value on every axis is 0.
    directions : array (k, d)
        One unit vector per row.
    lengths : array (k,)
        Length in the latent space of a step of 1: the standard deviation along a principal axis.
    shares : array (k,) or None
        Share of the cells' variance along each axis; None if unknown.
    unit : str
        Unit of a value on an axis.
    """

    names: tuple[str, ...]
    centre: Floats
    directions: Floats
    lengths: Floats
    shares: Floats | None
    unit: str

    def __len__(self) -> int:
        return len(self.names)

    def values(self, z: Floats) -> Floats:
        """Return the values (k,) of ``z`` (d,) on every axis."""
        return ((z - self.centre) @ self.directions.T / self.lengths).astype(np.float32)

    def moved(self, z: Floats, to: Mapping[int, float]) -> Floats:
        """Return ``z`` (d,) with new values on some axes, and no change along other directions."""
        chosen = list(to)
        step = np.fromiter(to.values(), np.float64, len(chosen)) - self.values(z)[chosen]
        return (z + (step * self.lengths[chosen]) @ self.directions[chosen]).astype(np.float32)

    def found(self, query: str) -> list[int]:
        """Return the axes that a query selects by numbers (``2``) and ranges (``3-9``), or all axes if it is empty."""
        wanted: set[int] = set()
        for first, last in re.findall(r"(\d+)(?:\s*[-–]\s*(\d+))?", query):
            wanted.update(range(int(first), min(int(last or first), 10**6) + 1))
        if not query.strip():
            return list(range(len(self)))
        return [i for i, name in enumerate(self.names) if int(name.split()[-1]) in wanted]


@lru_cache(maxsize=64)
def principal_axes(distribution: LatentDistribution) -> LatentAxes:
    """Return the principal axes of the training cells, by decreasing variance, in standard deviations from the mean."""
    kept = np.flatnonzero(distribution.variances > _FLAT * distribution.variances.max(initial=0))
    return LatentAxes(
        tuple(f"PC {i + 1}" for i in kept),
        distribution.mean,
        distribution.axes[kept],
        np.sqrt(distribution.variances[kept]),
        distribution.explained[kept],
        "σ",
    )


@lru_cache(maxsize=64)
def raw_axes(d: int, distribution: LatentDistribution | None = None) -> LatentAxes:
    """Return the ``d`` dimensions of a latent space as axes. The prior is N(0, 1) along each."""
    shares = None
    if distribution is not None:
        variances = np.diag(distribution.covariance)
        shares = (variances / max(float(variances.sum()), 1e-30)).astype(np.float32)
    return LatentAxes(
        tuple(f"z {i}" for i in range(d)),
        np.zeros(d, np.float32),
        np.eye(d, dtype=np.float32),
        np.ones(d, np.float32),
        shares,
        "",
    )
