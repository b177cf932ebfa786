"""A structure in a given shape, as the model and as its rivals predict it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.baselines import BASELINES, Baselines, fit_baselines
from napari_ic_train.evaluation.experiment import Context, Indices
from napari_ic_train.evaluation.passes import codes
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

Volume = NDArray[np.float32]

MODEL, OTHER_SHAPE = "model", "model, another cell's shape"
PREDICTORS = (MODEL, OTHER_SHAPE, *BASELINES)


def why_not(context: Context) -> str | None:
    """Why held-out cells cannot be predicted here, as one sentence; None where they can."""
    if context.model.config.references != REFERENCE_NAMES:
        return f"The model's reference channels are not {' and '.join(REFERENCE_NAMES)}, by which cells are measured."
    if not len(context.cells["test"]):
        return "The store has no held-out cells."
    return (
        None
        if len(context.cells["train"]) > 1
        else "The store has too few training cells, and baselines and a classifier are made of them."
    )


def predictable(context: Context) -> Indices:
    """Places, among the chosen held-out cells, of those whose structure some training cell has."""
    return np.flatnonzero(np.isin(context.labels("test"), np.unique(context.labels("train"))))


def predictions(
    context: Context, wanted: Indices, fitted: Baselines | None = None
) -> Iterator[tuple[int, Volume, dict[str, Volume]]]:
    """Each held-out cell's own structure, from its shape alone.

    Parameters
    ----------
    context : Context
    wanted : array of int
        Places among the chosen held-out cells, such as :func:`predictable` gives.
    fitted : Baselines, optional
        Fitted afresh if left out.

    Yields
    ------
    which : int
    image : array (R + 1, Z, Y, X)
        What was observed.
    predicted : mapping of str to array (Z, Y, X)
        By :data:`PREDICTORS`: the model by Algorithm 3; the same in the shape of another held-out cell, each cell
        lending its shape once; and the baselines.
    """
    fitted = fitted or fit_baselines(context)
    z_ref, labels, positions = codes(context, "test").z_ref, context.labels("test"), context.cells["test"]
    other = another(len(labels), context.seed)
    for done, which in enumerate(wanted):
        context.cancel.raise_if_cancelled()
        name = context.structures[labels[which]]
        image = context.images(positions[which : which + 1])[0]
        both = context.model.decode_structures(z_ref[[which, other[which]]], name)[name]
        rivals = fitted.predict(image[:2], name)
        yield int(which), image, {MODEL: both[0], OTHER_SHAPE: both[1], **rivals}
        context.progress(done + 1, len(wanted), "predicting held-out cells")


def another(n: int, seed: int) -> Indices:
    """For each of n cells another one, each the other of one; a lone cell is its own."""
    order = np.random.default_rng([seed, 23]).permutation(n)
    other = np.empty(n, np.int64)
    other[order] = np.roll(order, 1)
    return other
