"""Statistics that tell whether a channel shows none of a model's structures: from training and held-out cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_ic_train.bundle.latent_statistics import BATCH, check_box
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.arrays import Doubles, Floats, Indices, Reals
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.label_logits import label_logits
from napari_integrated_cell.model.novelty import NOVELTY, KnownStructures, energies
from napari_integrated_cell.model.runtime import Progress
from napari_integrated_cell.processes import slices

REJECTED = 0.05
"""Share of the held-out cells, which all show a known structure, that the limits may reject."""
FEWEST_HELD_OUT = 40
"""With fewer held-out cells, two of them or less would set the limits."""
RIDGE = 1e-3
"""Part of the mean variance that is added to the covariance's diagonal, so that it can be inverted."""


class TooFewHeldOut(ValueError):
    """The store has too few held-out cells to set the limits."""


def measure_novelty(
    bundle: str | Path,
    store: CellStore,
    *,
    rejected: float = REJECTED,
    device: str = "cpu",
    progress: Progress | None = None,
) -> KnownStructures:
    """Compute :func:`known_structures` of a bundle's model and put them into the bundle."""
    model = load_model(bundle, device=device)
    if model.card.get("adapted_from"):  # it has classes without cells in its store
        store = store.in_classes_of(model.config.structures)
    found = known_structures(model, store, rejected=rejected, progress=progress)
    replace_files(locate(bundle), {NOVELTY: found.to_json()})
    return found


def known_structures(
    model: IntegratedCell,
    store: CellStore,
    *,
    rejected: float = REJECTED,
    progress: Progress | None = None,
) -> KnownStructures:
    """Measure means and covariance of the label logits in training cells, and the limits in held-out cells.

    Parameters
    ----------
    model : IntegratedCell
        The model with the weights as they are stored, on the device to use.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    rejected : float
        Largest share of the held-out cells that the limits reject.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    TooFewHeldOut
        If the store has fewer than 40 held-out cells.
    ValueError
        If the share is not between 0 and 1, there is no training cell, or the store does not fit the model.
    """
    if not 0 < rejected < 1:
        raise ValueError(f"The share of rejected held-out cells is {rejected:g}: give one between 0 and 1.")
    check_box(store, model)
    if store.structures != model.config.structures:
        raise ValueError(
            f"{store.path} holds {', '.join(store.structures)}, but the model has other structures: give the store "
            "that it was fitted on."
        )
    training, held_out = (cells_of(store, held_out=side) for side in (False, True))
    if len(held_out) < FEWEST_HELD_OUT:
        raise TooFewHeldOut(
            f"{store.path} has {len(held_out)} held-out cells: {FEWEST_HELD_OUT} or more are needed to tell which "
            "channels show none of the structures."
        )
    if not len(training):
        raise ValueError(f"{store.path} has no training cells: give the store that the model was fitted on.")
    _, added = _logits(model, store, training, "classifying training cells", progress)
    means, covariance = moments(added, store.labels[training], store.structures)
    logits, added = _logits(model, store, held_out, "classifying held-out cells", progress)
    found = KnownStructures(means, covariance, 0.0, 0.0, len(training), len(held_out), 0.0)
    energy, distance = limits(energies(logits), found.distances(added), rejected)
    found = replace(found, largest_energy=energy, largest_distance=distance)
    return replace(found, held_out_rejected=float(found.are_new(logits, added).mean()))


def moments(added: Reals, labels: Indices, structures: tuple[str, ...]) -> tuple[dict[str, Doubles], Doubles]:
    """Return the mean of each structure's cells, and the covariance of all cells around their structure's mean.

    Parameters
    ----------
    added : array (N, K)
        What the structure's channel adds to the logits.
    labels : array of int, (N,)
        Index of each cell's structure.
    structures : tuple of str
        The K names. Those without a cell get no mean.

    Returns
    -------
    means : dict of str to array of float64, (K,)
    covariance : array of float64, (K, K)
        With a small ridge, so that it can be inverted.
    """
    points = np.asarray(added, np.float64)
    means = {
        name: points[labels == label].mean(0)
        for label, name in enumerate(structures)
        if (labels == label).any()
    }
    centred = points - np.stack([means[structures[label]] for label in labels])
    covariance = centred.T @ centred / len(points)
    ridge = max(RIDGE * np.trace(covariance) / len(covariance), np.finfo(np.float32).tiny)
    return means, covariance + ridge * np.eye(len(covariance))


def limits(energy: Reals, distance: Reals, rejected: float) -> tuple[float, float]:
    """Return the limits of energy and distance that together reject at most a share of the cells.

    Both limits have the same rank among the cells' values, so that neither decides more than the other.

    Parameters
    ----------
    energy, distance : array (N,)
        The values of held-out cells.
    rejected : float
        Largest share of the cells with a value above its limit.
    """
    n = len(energy)
    # A cell is rejected if the larger of its two ranks is above that of the limits. Ranks begin at 0.
    ranks = np.sort(np.maximum(*(np.argsort(np.argsort(value)) for value in (energy, distance))))
    rank = int(ranks[n - 1 - int(rejected * n)])
    return _above(energy, rank), _above(distance, rank)


def _above(values: Reals, rank: int) -> float:
    """Return the middle between the value of a rank and the next, so that no rounding error moves a cell across it."""
    ordered = np.sort(values)
    return float(ordered[rank : rank + 2].mean())


def _logits(
    model: IntegratedCell, store: CellStore, chosen: Indices, what: str, progress: Progress | None
) -> tuple[Floats, Floats]:
    """Return what :func:`~napari_integrated_cell.model.label_logits.label_logits` returns, of cells of a store."""
    parts = slices(len(chosen), BATCH, what, progress)
    logits, added = zip(
        *(label_logits(model, store.images(chosen[part]), batch_size=BATCH) for part in parts), strict=True
    )
    return np.concatenate(logits), np.concatenate(added)
