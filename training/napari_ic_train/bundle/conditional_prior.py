"""Fit p(z^s | z^r, y) on the training cells of a model, as a linear Gaussian for each structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_ic_train.bundle.decoding_residuals import decoding_residuals
from napari_ic_train.bundle.latent_statistics import BATCH
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.arrays import Doubles, Reals
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.conditional_prior import CONDITIONAL_PRIOR, ConditionalPrior, LinearGaussian
from napari_integrated_cell.model.decoding_residuals import DECODING_RESIDUALS
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import Progress

FEWEST_CELLS = 50
"""A structure with fewer training cells keeps the prior N(0, I)."""
PENALTIES: tuple[float, ...] = tuple(10.0 ** (k / 2) for k in range(-2, 13))
"""Ridge penalties to choose from, in units of one cell: 0.1 to 1,000,000."""
FLOOR = 1e-3
"""Part of the mean variance that is added to a covariance's diagonal, so that it can be inverted."""


class TooFewCells(ValueError):
    """No structure has enough training cells."""


@dataclass(frozen=True, eq=False)
class FittedGaussian:
    """p(z^s | z^r) of one structure, and how well it fits.

    Attributes
    ----------
    gaussian : LinearGaussian
    penalty : float
        The chosen ridge penalty.
    n_cells : int
        Number of training cells.
    explained : float
        Share of the variance of z^s that z^r explains, in cells that are left out one at a time.
    n_held_out : int
        Number of held-out cells.
    gain : float
        Mean of log p(z^s | z^r, y) - log N(z^s; 0, I) over the held-out cells, in nats per cell; NaN without such
        cells.
    """

    gaussian: LinearGaussian
    penalty: float
    n_cells: int
    explained: float
    n_held_out: int
    gain: float


def measure_conditional_prior(
    bundle: str | Path, store: CellStore, *, device: str = "cpu", progress: Progress | None = None
) -> Mapping[str, FittedGaussian]:
    """Fit :func:`conditional_prior` for a bundle's model and put it into the bundle, with what Dec^{r,s} leaves out."""
    model = load_model(bundle, device=device)
    fits = fitted_gaussians(model, store, progress)
    files = {
        CONDITIONAL_PRIOR: prior_of(fits).to_bytes(),
        DECODING_RESIDUALS: decoding_residuals(model, store, progress).to_bytes(),
    }
    replace_files(locate(bundle), files)
    return fits


def conditional_prior(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> ConditionalPrior:
    """Fit p(z^s | z^r, y) on the training cells, and measure what Dec^{r,s} leaves out in held-out cells.

    The parameters are those of :func:`fitted_gaussians`.
    """
    fits = fitted_gaussians(model, store, progress)
    return replace(prior_of(fits), residuals=decoding_residuals(model, store, progress))


def prior_of(fits: Mapping[str, FittedGaussian]) -> ConditionalPrior:
    """Return p(z^s | z^r, y) of fitted structures."""
    return ConditionalPrior({name: fit.gaussian for name, fit in fits.items()})


def fitted_gaussians(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> dict[str, FittedGaussian]:
    """Fit p(z^s | z^r) of each structure that has enough training cells.

    z^r = Enc^r(x^r) (equation 1) and z^s of Enc^{r,s} (equation 7). Enc^{r,s} adds no noise to z^s, so that the
    residuals of z^s are all that z^r leaves open.

    Parameters
    ----------
    model : IntegratedCell
        The model with the weights as they are stored, on the device to use.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    TooFewCells
        If no structure has 50 or more training cells.
    ValueError
        If the store does not fit the model.
    """
    if store.structures != model.config.structures:
        raise ValueError(
            f"{store.path} holds {', '.join(store.structures)}, but the model has other structures: give the store "
            "that it was fitted on."
        )
    # Cells without a structure are on neither side.
    training, held_out = (
        np.isin(np.arange(len(store)), cells_of(store, held_out=side)) for side in (False, True)
    )
    counts = np.bincount(store.labels[training], minlength=len(store.structures))
    if counts.max() < FEWEST_CELLS:
        raise TooFewCells(
            f"{store.path} has at most {counts.max()} training cells of a structure: {FEWEST_CELLS} or more are needed "
            "to fit p(z^s | z^r, y)."
        )
    cells = embed_store(store, model, batch_size=BATCH, progress=progress)
    assert cells.z_struct is not None
    fits = {}
    for label, name in enumerate(store.structures):
        if counts[label] < FEWEST_CELLS:
            continue
        mine, other = ((store.labels == label) & side for side in (training, held_out))
        gaussian, penalty, explained = linear_gaussian(cells.z_ref[mine], cells.z_struct[mine])
        z_ref, z_struct = cells.z_ref[other], cells.z_struct[other].astype(np.float64)
        gain = float("nan")
        if other.any():
            prior = -(z_struct**2).sum(1) / 2 - z_struct.shape[1] / 2 * np.log(2 * np.pi)
            gain = float((gaussian.log_density(z_ref, z_struct) - prior).mean())
        fits[name] = FittedGaussian(gaussian, penalty, int(mine.sum()), explained, int(other.sum()), gain)
    return fits


def linear_gaussian(z_ref: Reals, z_struct: Reals) -> tuple[LinearGaussian, float, float]:
    """Fit p(z^s | z^r) of cells by ridge regression, in closed form.

    The covariance is that of the residuals of cells that are left out one at a time: residuals of the fitted cells are
    too small if there are about as many dimensions as cells. The penalty is the one under which the left-out cells are
    most probable.

    Parameters
    ----------
    z_ref : array (n, n_ref)
    z_struct : array (n, n_struct)
        Two cells or more.

    Returns
    -------
    gaussian : LinearGaussian
    penalty : float
        The chosen one of :data:`PENALTIES`.
    explained : float
        1 - the residuals' variance over the variance of z^s.
    """
    x, y = np.asarray(z_ref, np.float64), np.asarray(z_struct, np.float64)
    n, d = y.shape
    x_mean, y_mean = x.mean(0), y.mean(0)
    u, s, axes = np.linalg.svd(x - x_mean, full_matrices=False)
    along = u.T @ (y - y_mean)
    best: tuple[float, float, Doubles, Doubles] | None = None
    for penalty in PENALTIES:
        kept = s**2 / (s**2 + penalty)
        # What a cell contributes to its own prediction; the mean contributes 1 / n.
        own = (u**2 * kept).sum(1) + 1 / n
        residuals = (y - y_mean - u @ (kept[:, None] * along)) / (1 - own)[:, None]
        covariance = residuals.T @ residuals / n
        size = max(FLOOR * np.trace(covariance) / d, np.finfo(np.float32).tiny)
        covariance += size * np.eye(d)
        # The mean log density of residuals under their own covariance is -log|S| / 2, up to a constant.
        volume = float(np.linalg.slogdet(covariance)[1])
        if best is None or volume < best[0]:
            best = volume, penalty, covariance, (axes.T @ ((s / (s**2 + penalty))[:, None] * along)).T
    assert best is not None
    _, penalty, covariance, slope = best
    variance = max(float(((y - y_mean) ** 2).mean()), np.finfo(np.float32).tiny)
    explained = 1 - float(np.trace(covariance)) / d / variance
    return LinearGaussian(slope, y_mean - slope @ x_mean, covariance), penalty, explained
