"""Score predicted structures on held-out cells of a store, beside the mean image of its training cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_ic_train.bundle.latent_statistics import BATCH
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.arrays import Floats, Mask, Reals
from napari_integrated_cell.imaging.stained_masks import enclosed, membrane_of, nucleus_of
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import Progress, slices

MODEL, MEAN_IMAGE, OTHER_SHAPE = "model", "mean_image", "other_shape"


def score_localisation(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> dict[str, Any] | None:
    """Correlate predicted with observed structures inside held-out cells.

    Parameters
    ----------
    model : IntegratedCell
        The model with the weights as they are stored, on the device to use.
    store : CellStore
        The store that it was fitted on, with the model's classes, and stains of membrane and DNA as references.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    dict or None
        For each structure with training and held-out cells ``cells``, their number, and the mean Pearson correlation
        over voxels inside the cell of the structure that the ``model`` predicts from its shape (Algorithm 3), of the
        ``mean_image`` of the training cells, and of what the model predicts from the shape of another held-out cell,
        ``other_shape``. None if there is no such structure.
    """
    means, chosen = mean_images(store, progress), cells_of(store, held_out=True)
    names = store.table["structure"].to_numpy()[chosen]
    kept = np.array([name in means for name in names], bool)
    chosen, names = chosen[kept], names[kept]
    if not len(chosen):
        return None
    shapes = [
        model.encode(store.references(chosen[part]), batch_size=BATCH)
        for part in slices(len(chosen), BATCH, "encoding held-out cells", progress)
    ]
    z_ref = np.concatenate(shapes)
    found: dict[str, dict[str, Any]] = {}
    for name in (name for name in store.structures if name in means):
        mine = np.flatnonzero(names == name)
        if not len(mine):
            continue
        own, other = (
            model.decode_structures(z_ref[at], name)[name] for at in (mine, (mine + 1) % len(chosen))
        )
        scores = []
        for i, place in enumerate(mine):
            image = store.images(chosen[place : place + 1])[0].numpy()
            inside = inside_of(image)
            predicted = (own[i], means[name], other[i])
            scores.append([pearson(image[-1][inside], volume[inside]) for volume in predicted])
        mean = np.mean(scores, axis=0)
        keys = (MODEL, MEAN_IMAGE, OTHER_SHAPE)
        found[name] = {"cells": len(mine), **dict(zip(keys, map(float, mean), strict=True))}
    return found or None


def mean_images(store: CellStore, progress: Progress | None = None) -> dict[str, Floats]:
    """Return the mean image (Z, Y, X) of each structure that a store's training cells have."""
    chosen = cells_of(store, held_out=False)
    names = store.table["structure"].to_numpy()
    sums: dict[str, Floats] = {}
    for part in slices(len(chosen), BATCH, "averaging training cells", progress):
        for position, image in zip(chosen[part], store.images(chosen[part]), strict=True):
            sums[names[position]] = sums.get(names[position], 0) + image[-1].numpy()
    counts = {name: int((names[chosen] == name).sum()) for name in sums}
    return {name: (total / counts[name]).astype(np.float32) for name, total in sums.items()}


def inside_of(image: Floats) -> Mask:
    """Return the cell (Z, Y, X) in a posed image with membrane and DNA as its first channels."""
    return enclosed(membrane_of(image[0]) | nucleus_of(image[1]))


def pearson(a: Reals, b: Reals) -> float:
    """Return the Pearson correlation of two sets of voxels; 0 if one of them is constant."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0
