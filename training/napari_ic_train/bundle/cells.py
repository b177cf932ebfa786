"""Put embedded cells into a bundle, which the Cell map shows before the user opens any cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.population import CELL_ID, MEASURES, Population, population_bytes
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.latent_files import CELLS
from napari_integrated_cell.model.runtime import Progress

MOST_CELLS = 2000
"""Enough for a map; they take a few hundred kilobytes."""

# Bundles are shared: leave out columns that name files on this machine.
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
    """Embed some of a store's cells with a bundle's model, and put them into the bundle.

    Parameters
    ----------
    bundle : path-like
        A bundle, folder or ``.zip``; its other files stay.
    store : CellStore
        Cells posed for the model, training and held-out.
    held_out_only : bool
        Leave out the training cells.
    limit : int
        Largest number of cells: held-out cells first, then training cells. The choice is the same every time.
    device : {"auto", "cpu", "cuda", "mps"}
        The device to embed on.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If the bundle is damaged, the store does not fit its model, or no cell is left.
    """
    if limit < 1:
        raise ValueError(f"The number of cells is {limit}: give 1 or more.")
    model = load_model(str(bundle), device=device)
    chosen = _chosen(store, held_out_only, limit)
    if not len(chosen):
        raise ValueError(f"{store.path} has no held-out cells: include training cells.")
    found = embed_store(store, model, chosen, progress=progress)
    known = [name for name in COLUMNS if name in found.table]
    found = replace(found, table=found.table[known], name=f"{store.source} cells of {model.name}", source="")
    replace_files(bundle, {CELLS: population_bytes(found, np.float16)})
    return found


def _chosen(store: CellStore, held_out_only: bool, limit: int) -> Indices:
    """Return positions in the store, in its order."""
    draw = np.random.default_rng(0)
    held_out, others = (draw.permutation(cells_of(store, held_out=side)) for side in (True, False))
    return np.sort(np.concatenate([held_out, others[:0] if held_out_only else others])[:limit])
