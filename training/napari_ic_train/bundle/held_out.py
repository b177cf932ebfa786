"""Scores of a model on held-out cells: their labels, and the effect of rounded weights on their images."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_ic_train.bundle.latent_statistics import BATCH
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import Progress, slices

COMPARED_CELLS = 32


def score_held_out(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> dict[str, Any] | None:
    """Score the labels of the held-out cells (as in Table S11); return None if there are no held-out cells.

    Returns
    -------
    dict
        ``n_cells``, ``label_accuracy``, ``label_recall`` by structure and ``macro_recall``, the mean of them.
    """
    chosen = cells_of(store, held_out=True)
    if not len(chosen):
        return None
    labels, parts = store.labels[chosen], slices(len(chosen), BATCH, "labelling held-out cells", progress)
    p = np.concatenate([model.classify(store.images(chosen[part]), batch_size=BATCH) for part in parts])
    correct = p.argmax(1) == labels
    recall = {
        name: float(correct[labels == label].mean())
        for label, name in enumerate(store.structures)
        if (labels == label).any()
    }
    return {
        "n_cells": len(chosen),
        "label_accuracy": float(correct.mean()),
        "label_recall": recall,
        "macro_recall": float(np.mean(list(recall.values()))),
    }


def decoding_difference(
    model: IntegratedCell, other: IntegratedCell, store: CellStore, *, most: int = COMPARED_CELLS
) -> dict[str, Any]:
    """Measure the difference between the images of two models for the same cells, on the scale from 0 to 1.

    It compares the reference images Dec^r(Enc^r(x)) and the images with a structure Dec^{r,s}(Enc^{r,s}(x)).

    Parameters
    ----------
    model, other : IntegratedCell
        Two models of one architecture.
    store : CellStore
        Its held-out cells are used, or training cells if there are none.
    most : int
        Largest number of cells, spread evenly over the store.

    Returns
    -------
    dict
        ``cells``, ``held_out``, ``mean_absolute_difference``, ``max_absolute_difference``.
    """
    held_out = len(cells_of(store, held_out=True)) > 0
    every = cells_of(store, held_out=held_out)
    chosen = every[np.linspace(0, len(every) - 1, min(most, len(every))).round().astype(int)]
    total, count, largest = 0.0, 0, 0.0
    for position in chosen:
        image = store.images(np.array([position]))
        for x in (image[:, :-1], image):
            difference = np.abs(model.reconstruct(x) - other.reconstruct(x))
            total += float(difference.sum(dtype=np.float64))
            count += difference.size
            largest = max(largest, float(difference.max()))
    return {
        "cells": len(chosen),
        "held_out": held_out,
        "mean_absolute_difference": total / count,
        "max_absolute_difference": largest,
    }
