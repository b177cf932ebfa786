"""Measure how known cells are distributed, so that a model can tell how typical another cell is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_ic_train.bundle.latent_statistics import BATCH
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.imaging.stained_masks import overlaps
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.typicality import (
    DISTANCE,
    OVERLAPS,
    SHAPE_WORDS,
    TYPICALITY,
    TypicalityReference,
    mahalanobis,
)
from napari_integrated_cell.processes import Progress, slices

FEW_CELLS = 1000
"""With fewer held-out cells the training cells count too: cells of one field are alike, and few fields tell little."""
MOST_CELLS = 5000


def typicality_reference(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> TypicalityReference:
    """Measure distances, overlaps and shapes of the held-out cells, or of all cells if few are held out.

    Parameters
    ----------
    model : IntegratedCell
        The fitted model with its latent statistics, as it will be stored.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If the model has no latent statistics, or the store does not fit it.
    """
    if model.latent is None:
        raise ValueError(f"The model {model.name!r} has no latent statistics: measure them first.")
    chosen = cells_of(store, held_out=True)
    held_out = len(chosen) >= FEW_CELLS
    if not held_out:
        chosen = np.arange(len(store))
    chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:MOST_CELLS])
    known = embed_store(store, model, chosen, batch_size=BATCH, progress=progress)
    found = []
    for part in slices(len(chosen), BATCH, "decoding known cells", progress):
        references = store.references(chosen[part]).numpy()
        decoded = model.decode_reference(known.z_ref[part], batch_size=BATCH)
        found += [overlaps(*pair) for pair in zip(references, decoded, strict=True)]
    measured = {DISTANCE: mahalanobis(known.z_ref, model.latent.z_ref)}
    measured |= dict(zip(OVERLAPS, np.array(found).T, strict=True))
    measured |= {name: known.table[name].to_numpy(float) for name in SHAPE_WORDS if name in known.table}
    return TypicalityReference.of_cells(measured, held_out=held_out)


def bundle_typicality(
    bundle: str | Path, store: CellStore, *, device: str = "cpu", progress: Progress | None = None
) -> TypicalityReference:
    """Measure the typicality of known cells with a bundle's model, and put it into the bundle.

    The parameters are those of :func:`~napari_ic_train.bundle.cells.bundle_cells`.
    """
    reference = typicality_reference(load_model(str(bundle), device=device), store, progress)
    replace_files(bundle, {TYPICALITY: reference.to_json()})
    return reference
