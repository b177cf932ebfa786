"""What is known of a model's latent spaces: how its training cells lie in them, and one landmark per stage.

This module does not import torch.
"""

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
"""With fewer cells than these a medoid is one of two equals, or the only cell there is."""

METRICS = ("cityblock", "euclidean", "cosine", "chebyshev")
# The paper's landmarks were chosen by it (its text names no distance), and in a hundred dimensions
# one deviant coordinate sways a sum of absolute differences less than a sum of squares.
METRIC = "cityblock"


@dataclass(frozen=True, eq=False)
class LatentDistribution:
    """How cells lie in a latent space of ``d`` dimensions.

    Attributes
    ----------
    n : int
        Cells measured.
    mean : array (d,)
        Their centre.
    covariance : array (d, d)
        Their sample covariance. With fewer cells than dimensions it is singular.
    axes : array (d, d)
        The principal axes, one a row, of unit length, by falling variance. An axis has two directions: the
        one kept has its largest entry positive, so that the same cells give the same axes everywhere.
    variances : array (d,)
        The variance along each axis.
    """

    n: int
    mean: Floats
    covariance: Floats
    axes: Floats
    variances: Floats

    @classmethod
    def of_moments(cls, n: int, mean: ArrayLike, covariance: ArrayLike) -> Self:
        """The distribution of ``n`` cells with a mean (d,) and a covariance (d, d), and its principal axes."""
        matrix = np.asarray(covariance, np.float64)
        variances, columns = np.linalg.eigh(matrix)
        variances, axes = variances[::-1].clip(0), columns.T[::-1]
        # Entries that are equal but for rounding must not decide by their rounding: the first of them does.
        size = np.abs(axes)
        first = (size > 0.999 * size.max(1, keepdims=True)).argmax(1)
        axes = axes * np.where(np.take_along_axis(axes, first[:, None], 1) < 0, -1, 1)
        arrays = (mean, matrix, axes, variances)
        return cls(n, *(np.ascontiguousarray(array, np.float32) for array in arrays))

    @property
    def explained(self) -> Floats:
        """Share of the whole variance along each axis, (d,); zeros where nothing varies."""
        total = float(self.variances.sum(dtype=np.float64))
        return self.variances / np.float32(total) if total > 0 else np.zeros_like(self.variances)


@dataclass(frozen=True, eq=False)
class LatentStatistics:
    """How the training cells lie in a model's latent spaces, each cell in its pose, as the encoders' means.

    Attributes
    ----------
    z_ref : LatentDistribution
        Of z^r = Enc^r(x^r) (equation 1), over all training cells.
    z_struct : mapping of str to LatentDistribution
        Of z^s of Enc^{r,s} (equation 7), over the training cells of each structure; a structure with fewer
        than two is left out.
    """

    z_ref: LatentDistribution
    z_struct: Mapping[str, LatentDistribution]


@dataclass(frozen=True, eq=False)
class Landmark:
    """The cell that stands for a stage of the cell cycle: the medoid of its cells' z^r (section 3.4.6).

    Attributes
    ----------
    stage : str
        The stage's name in the vocabulary.
    cell_id : str
        Which cell it is.
    z_ref : array (n_ref,)
        Its z^r.
    metric : str
        The distance of which its sum to the others' z^r is least.
    among : {"held-out", "all"}
        Whether the medoid is that of the stage's held-out cells, or of all its cells, training cells too,
        because too few were held out.
    n_held_out, n_cells : int
        Held-out cells of the stage, and all its cells.
    thumbnail, decoded_thumbnail : bytes
        Small PNG pictures of its reference image, posed, and of Dec^r(z^r); empty where none is kept.
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
        """A sentence on how far to trust it; empty where there is nothing to say."""
        if self.among == "held-out":
            return ""
        chosen = f"Only {self.n_held_out} held out: chosen among all {self.n_cells}, training cells too"
        return f"{chosen}; too few for a medoid." if self.n_cells < FEW_CELLS else f"{chosen}."


def medoid(embeddings: ArrayLike, metric: str = METRIC) -> int:
    """Which point's distances to all points have the least sum; the first one where several have.

    Memory stays bounded: distances are computed some rows at a time.

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
    # A bundle is opened without ever asking for a medoid, and scikit-learn takes a second to import.
    from sklearn.metrics import pairwise_distances_chunked

    sums = pairwise_distances_chunked(points, metric=metric, reduce_func=lambda rows, start: rows.sum(1))
    return int(np.concatenate(list(sums)).argmin())


def checked_metric(metric: str) -> str:
    """``metric``, or a ValueError that lists the metrics there are."""
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
