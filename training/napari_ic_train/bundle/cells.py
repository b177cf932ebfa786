"""Cells that go along with a bundle, embedded by it: what the map of a model shows before anything is opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_ic_train.bundle.latent_statistics import Indices
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.population import CELL_ID, MEASURES, Population, population_bytes
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.latent_files import CELLS
from napari_integrated_cell.model.runtime import Progress

MOST_CELLS = 2000
"""As many as make a map, in a few hundred kilobytes."""

# A bundle travels: it holds what the cells are, not where they lay on the disk of whoever fitted it.
COLUMNS = (CELL_ID, "structure", "stage", "split", "references", *MEASURES)


def bundle_cells(
    bundle: str | Path,
    store: CellStore,
    *,
    held_out_only: bool = False,
    limit: int = MOST_CELLS,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Population:
    """Embed some of a store's cells by a bundle's model, and put them into the bundle.

    Parameters
    ----------
    bundle : path-like
        A bundle, folder or ``.zip``; everything else in it is kept.
    store : CellStore
        Cells posed for the model, both sides of the split.
    held_out_only : bool
        Leave out the cells that the model was fitted on.
    limit : int
        At most so many cells: those held out first, then as many of the others as there is room for, the same
        ones every time.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to embed.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If there is no whole bundle or the store is not one for its model, or no cell is left.
    """
    if limit < 1:
        raise ValueError(f"{limit} cells were asked for: ask for 1 or more.")
    model = load_model(str(bundle), device=device)
    chosen = _chosen(store, held_out_only, limit)
    if not len(chosen):
        raise ValueError(f"No cell of {store.path} is held out: take training cells too.")
    found = embed_store(store, model, chosen, progress=progress)
    known = [name for name in COLUMNS if name in found.table]
    found = replace(found, table=found.table[known], name=f"{store.source} cells of {model.name}", source="")
    replace_files(bundle, {CELLS: population_bytes(found, np.float16)})
    return found


def _chosen(store: CellStore, held_out_only: bool, limit: int) -> Indices:
    """Positions in the store's order."""
    draw = np.random.default_rng(0)
    held_out, others = (draw.permutation(cells_of(store, held_out=side)) for side in (True, False))
    return np.sort(np.concatenate([held_out, others[:0] if held_out_only else others])[:limit])
