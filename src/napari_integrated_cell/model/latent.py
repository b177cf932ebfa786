"""Statistics of a model's latent spaces, and one landmark per stage. Importing this module imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from napari_integrated_cell.arrays import Floats

FEW_CELLS = 3
"""With fewer cells a medoid is one of two equal candidates, or the only cell."""

METRICS = ("cityblock", "euclidean", "cosine", "chebyshev")
# The paper names no distance, but its landmarks follow from this one. In a hundred dimensions one outlying coordinate
# changes a sum of absolute differences less than a sum of squares.
METRIC = "cityblock"


@dataclass(frozen=True, eq=False)
class LatentDistribution:
    """Distribution of cells in a latent space of ``d`` dimensions.

    Attributes
    ----------
    n : int
        Number of cells.
    mean : array (d,)
        Mean of the cells.
    covariance : array (d, d)
        Sample covariance of the cells. With fewer cells than dimensions it is singular.
    axes : array (d, d)
        Principal axes as unit vectors in rows, by decreasing variance. Of an axis's two directions, the one whose
        largest entry is positive is kept, so that the same cells give the same axes on every machine.
    variances : array (d,)
        Variance along each axis.
    """

    n: int
    mean: Floats
    covariance: Floats
    axes: Floats
    variances: Floats

    @classmethod
    def of_moments(cls, n: int, mean: ArrayLike, covariance: ArrayLike) -> Self:
        """Compute the distribution of ``n`` cells from a mean (d,) and a covariance (d, d)."""
        matrix = np.asarray(covariance, np.float64)
        variances, columns = np.linalg.eigh(matrix)
        variances, axes = variances[::-1].clip(0), columns.T[::-1]
        # Of entries that are equal up to rounding errors, the first decides the sign.
        size = np.abs(axes)
        first = (size > 0.999 * size.max(1, keepdims=True)).argmax(1)
        axes = axes * np.where(np.take_along_axis(axes, first[:, None], 1) < 0, -1, 1)
        arrays = (mean, matrix, axes, variances)
        return cls(n, *(np.ascontiguousarray(array, np.float32) for array in arrays))

    @property
    def explained(self) -> Floats:
        """Share of the total variance along each axis, (d,); zeros if nothing varies."""
        total = float(self.variances.sum(dtype=np.float64))
        return self.variances / np.float32(total) if total > 0 else np.zeros_like(self.variances)


@dataclass(frozen=True, eq=False)
class LatentStatistics:
    """Distributions of the posed training cells in a model's latent spaces, encoded as means.

    Attributes
    ----------
    z_ref : LatentDistribution
        z^r = Enc^r(x^r) (equation 1) of all training cells.
    z_struct : mapping of str to LatentDistribution
        z^s of Enc^{r,s} (equation 7) of the training cells of each structure. Structures with fewer than two cells
        are left out.
    """

    z_ref: LatentDistribution
    z_struct: Mapping[str, LatentDistribution]


@dataclass(frozen=True, eq=False)
class Landmark:
    """Representative cell of a stage of the cell cycle: the medoid of the stage's z^r (section 3.4.6).

    Attributes
    ----------
    stage : str
        The stage's name in the vocabulary.
    cell_id : str
        The cell's id.
    z_ref : array (n_ref,)
        The cell's z^r.
    metric : str
        Distance whose sum to the other cells' z^r is smallest.
    among : {"held-out", "all"}
        Whether the medoid is among the stage's held-out cells, or among all its cells, because too few were held
        out.
    n_held_out, n_cells : int
        Number of the stage's held-out cells, and of all its cells.
    thumbnail, decoded_thumbnail : bytes
        Small PNG pictures of the posed reference image and of Dec^r(z^r); may be empty.
    """

    stage: str
    cell_id: str
    z_ref: Floats
    metric: str
    among: Literal["held-out", "all"]
    n_held_out: int
    n_cells: int
    thumbnail: bytes = field(default=b"", repr=False)
    decoded_thumbnail: bytes = field(default=b"", repr=False)

    @property
    def note(self) -> str:
        """A sentence on the landmark's reliability; may be empty."""
        if self.among == "held-out":
            return ""
        chosen = f"Only {self.n_held_out} held out: chosen among all {self.n_cells}, training cells too"
        return f"{chosen}; too few for a medoid." if self.n_cells < FEW_CELLS else f"{chosen}."


def medoid(embeddings: ArrayLike, metric: str = METRIC) -> int:
    """Return the index of the point with the smallest sum of distances to all points, the first if there are several.

    Distances are computed for some rows at a time, to limit memory.

    Parameters
    ----------
    embeddings : array (n, d)
        At least one point.
    metric : {"cityblock", "euclidean", "cosine", "chebyshev"}
        The distance.

    Raises
    ------
    ValueError
        If there is no point, or no such metric.
    """
    checked_metric(metric)
    points = np.asarray(embeddings, np.float64)
    if len(points) == 0:
        raise ValueError("There is no medoid of no points: give one or more.")
    # Imported here: it takes a second, and most programs need no medoid.
    from sklearn.metrics import pairwise_distances_chunked

    sums = pairwise_distances_chunked(points, metric=metric, reduce_func=lambda rows, start: rows.sum(1))
    return int(np.concatenate(list(sums)).argmin())


def checked_metric(metric: str) -> str:
    """Return ``metric``, or raise a ValueError that lists the metrics."""
    if metric not in METRICS:
        raise ValueError(f"There is no metric {metric!r}: choose {', '.join(METRICS)}.")
    return metric


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a path of :mod:`~napari_integrated_cell.walk.paths`, which version 0.1 had here too."""
        if name not in ("radial_path", "great_circle_path", "straight_path"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        new = "napari_integrated_cell.walk.paths"
        warnings.warn(f"{__name__}.{name} is deprecated: import {new}.{name} instead.", DeprecationWarning, 2)
        return getattr(import_module(new), name)
