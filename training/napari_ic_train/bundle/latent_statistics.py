"""Mean, covariance and principal axes of the training cells in a model's latent spaces, batch by batch."""

from __future__ import annotations

import numpy as np

from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.arrays import Doubles, Reals
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import LatentDistribution, LatentStatistics
from napari_integrated_cell.processes import Progress, slices

BATCH = 32


class RunningMoments:
    """Mean and covariance of points that are added batch by batch; the points are not kept.

    Chan, Golub and LeVeque's update joins the batches. It does not lose digits as sums of squares do.

    Parameters
    ----------
    size : int
        Dimensions.
    """

    def __init__(self, size: int) -> None:
        self.n = 0
        self.mean = np.zeros(size)
        self._scatter = np.zeros((size, size))

    def add(self, points: Reals) -> None:
        """Add points (m, size)."""
        m = len(points)
        if m == 0:
            return
        mean = points.mean(0, dtype=np.float64)
        centred, step = points - mean, mean - self.mean
        self._scatter += centred.T @ centred + np.outer(step, step) * (self.n * m / (self.n + m))
        self.mean += step * (m / (self.n + m))
        self.n += m

    @property
    def covariance(self) -> Doubles:
        """Sample covariance (size, size); needs two points or more."""
        return self._scatter / (self.n - 1)

    def distribution(self) -> LatentDistribution:
        """Return mean, covariance and principal axes."""
        return LatentDistribution.of_moments(self.n, self.mean, self.covariance)


def check_box(store: CellStore, model: IntegratedCell) -> None:
    """Raise a ValueError if the cells of a store do not have the model's box."""
    if store.box != model.config.box:
        raise ValueError(
            f"{store.path} holds cells on a grid of {store.box}, but the model's box is {model.config.box}: give the "
            "store that it was fitted on."
        )


def latent_statistics(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> LatentStatistics:
    """Measure mean, covariance and principal axes of z^r, and of z^s per structure, over the training cells.

    The memory used does not depend on the number of cells.

    Parameters
    ----------
    model : IntegratedCell
        The fitted model, on the device to use.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If there are fewer than two training cells.
    """
    chosen = cells_of(store, held_out=False)
    if len(chosen) < 2:
        raise ValueError(
            f"The store {store.path} has {len(chosen)} training cells: latent statistics need 2 or more."
        )
    of_ref = RunningMoments(model.config.n_ref)
    of_struct = [RunningMoments(model.config.n_struct) for _ in store.structures]
    labels_of_all = store.labels
    for part in slices(len(chosen), BATCH, "measuring the latent spaces", progress):
        images, labels = store.images(chosen[part]), labels_of_all[chosen[part]]
        of_ref.add(model.encode(images[:, :-1], batch_size=BATCH))
        _, _, z_struct = model.encode_all(images, batch_size=BATCH)
        for label in np.unique(labels):
            of_struct[label].add(z_struct[labels == label])
    named = zip(store.structures, of_struct, strict=True)
    return LatentStatistics(
        of_ref.distribution(), {name: moments.distribution() for name, moments in named if moments.n > 1}
    )
