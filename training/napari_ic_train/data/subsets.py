"""Find the training cells, the held-out cells and the cells of each stage in a store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.data.splits import SHAPE
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.vocabulary import stage


def cells_of(store: CellStore, *, held_out: bool) -> Indices:
    """Return the positions in the store of the held-out cells, or of the training cells.

    Cells without a structure are neither.
    """
    split = store.table["split"].to_numpy()
    return np.flatnonzero(split == "train" if not held_out else (split != "train") & (split != SHAPE))


def stages_of(store: CellStore) -> NDArray[np.object_]:
    """Return each cell's stage by its vocabulary name; None if the stage is missing or unknown."""
    if "stage" not in store.table:
        return np.full(len(store), None, object)
    written = store.table["stage"]
    names = {word: _stage_name(word) for word in written.unique()}
    return np.array([names[word] for word in written], object)


def _stage_name(word: object) -> str | None:
    try:
        return stage(word).name if isinstance(word, str) else None
    except ValueError:
        return None
