"""The axes of a latent space that a position is moved along: principal axes, or the dimensions as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_integrated_cell.arrays import Floats

if TYPE_CHECKING:
    from napari_integrated_cell.model.latent import LatentDistribution


_FLAT = 1e-9  # an axis with less than this of the first one's variance is rounding's, and leads nowhere


@dataclass(frozen=True, eq=False)
class LatentAxes:
    """``k`` orthogonal axes of a latent space of ``d`` dimensions.

    Attributes
    ----------
    names : tuple of str
        ``"PC 1"``... or ``"z 0"``..., as a table of positions numbers its columns.
    centre : array (d,)
        Where every axis is at 0.
    directions : array (k, d)
        One a row, of unit length.
    lengths : array (k,)
        How long a step of 1 is in the latent space: the standard deviation along a principal axis.
    shares : array (k,) or None
        Share of the cells' variance along each axis, where it is known.
    unit : str
        What an axis counts in.
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
        """Where ``z`` (d,) is on every axis, (k,)."""
        return ((z - self.centre) @ self.directions.T / self.lengths).astype(np.float32)

    def moved(self, z: Floats, to: Mapping[int, float]) -> Floats:
        """``z`` (d,) with other values on some axes, and all that lies across these axes as it was."""
        chosen = list(to)
        step = np.fromiter(to.values(), np.float64, len(chosen)) - self.values(z)[chosen]
        return (z + (step * self.lengths[chosen]) @ self.directions[chosen]).astype(np.float32)

    def found(self, query: str) -> list[int]:
        """The axes that a query means: numbers as in the names, ranges (``3-9``), or all where it is empty."""
        wanted: set[int] = set()
        for first, last in re.findall(r"(\d+)(?:\s*[-–]\s*(\d+))?", query):
            wanted.update(range(int(first), min(int(last or first), 10**6) + 1))
        if not query.strip():
            return list(range(len(self)))
        return [i for i, name in enumerate(self.names) if int(name.split()[-1]) in wanted]


@lru_cache(maxsize=64)
def principal_axes(distribution: LatentDistribution) -> LatentAxes:
    """The principal axes of the training cells, by falling variance, in standard deviations from their mean."""
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
    """The ``d`` dimensions of a latent space as they are; the prior is N(0, 1) along each."""
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
