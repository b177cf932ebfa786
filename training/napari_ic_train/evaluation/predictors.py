"""Predict the structure of each held-out cell from its shape, with the model and with the baselines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_ic_train.evaluation.baselines import BASELINES, fit_baselines
from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.model_outputs import codes
from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

MODEL, OTHER_SHAPE = "model", "model, another cell's shape"
PREDICTORS = (MODEL, OTHER_SHAPE, *BASELINES)


def missing_for_predictions(context: Context) -> str | None:
    """Return why held-out cells cannot be predicted here, as one sentence; None if they can."""
    if context.model.config.references != REFERENCE_NAMES:
        return f"Cells are measured by {' and '.join(REFERENCE_NAMES)}, and this model has other reference channels."
    return context.shortage(train=2, test=1)


def predictable(context: Context) -> Indices:
    """Return the places of the selected held-out cells whose structure occurs among the training cells."""
    return np.flatnonzero(np.isin(context.labels("test"), np.unique(context.labels("train"))))


def predictions(context: Context, wanted: Indices) -> Iterator[tuple[int, Floats, dict[str, Floats]]]:
    """Predict each held-out cell's own structure from its shape.

    Parameters
    ----------
    wanted : array of int
        Places among the selected held-out cells, such as `predictable` returns.

    Yields
    ------
    which : int
    image : array (R + 1, Z, Y, X)
        The observed cell.
    predicted : mapping of str to array (Z, Y, X)
        By :data:`PREDICTORS`: the model (Algorithm 3), the model with the shape of another held-out cell, and the
        baselines.
    """
    baselines = fit_baselines(context)
    z_ref, labels, positions = codes(context, "test").z_ref, context.labels("test"), context.cells["test"]
    other = other_cells(len(labels), context.seed)
    for done, which in enumerate(wanted):
        context.cancel.raise_if_cancelled()
        name = context.structures[labels[which]]
        image = context.images(positions[which : which + 1])[0]
        own, permuted = context.model.decode_structures(z_ref[[which, other[which]]], name)[name]
        yield (int(which), image, {MODEL: own, OTHER_SHAPE: permuted, **baselines.predict(image[:2], name)})
        context.progress(done + 1, len(wanted), "predicting held-out cells")


def other_cells(n: int, seed: int) -> Indices:
    """Return a random permutation of ``n`` cells that leaves no cell in its place; a single cell stays."""
    order = np.random.default_rng([seed, 23]).permutation(n)
    other = np.empty(n, np.int64)
    other[order] = np.roll(order, 1)
    return other
