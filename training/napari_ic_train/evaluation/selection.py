"""Select the cells of a store that a model is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.experiment import Split
from napari_ic_train.evaluation.model_outputs import balanced_sample
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.vocabulary import label_of

Side = Literal["both", "train", "test", "all"]
"""``"both"``: training cells and held-out cells, each in its place. ``"train"``, ``"test"``: one of them. ``"all"``:
every cell counts as held out, for a model that was not fitted on the store."""

SIDE_WORDS: Mapping[Side, str] = {
    "both": "",
    "train": " of the training side, and no held-out cells",
    "test": " of the held-out side, and no training cells",
    "all": " of both sides, and all of them count as held out",
}
"""End of the sentence about the cells that a report uses."""

SIDES: tuple[Side, ...] = get_args(Side)


def check_fits(model: IntegratedCell, store: CellStore) -> None:
    """Raise ValueError if the store has another box than the model, or no cell with one of its structures."""
    if store.box != model.config.box:
        raise ValueError(
            f"The cells of {store.path} have the box {store.box}, but the model {model.name!r} has the box "
            f"{model.config.box}: prepare a store for this model."
        )
    if not set(store.table["structure"]) & set(model.config.structures):
        raise ValueError(
            f"No cell of {store.path} has a structure of the model {model.name!r}: choose another store or bundle."
        )


def set_aside(model: IntegratedCell, store: CellStore) -> str:
    """Return a sentence about the cells whose structure the model does not have; empty if there are none."""
    names = store.table["structure"]
    foreign = names[~names.isin(model.config.structures)].value_counts().sort_index()
    if foreign.empty:
        return ""
    listed = ", ".join(f"{label_of(str(name))} {count:,}" for name, count in foreign.items())
    cells = f"{foreign.sum():,} cell{'' if foreign.sum() == 1 else 's'}"
    return f"{cells} with structures that the model {model.name!r} does not have are set aside: {listed}."


def selected_cells(
    model: IntegratedCell, store: CellStore, *, side: Side = "both", most: int | None = None, seed: int = 0
) -> dict[Split, Indices]:
    """Return the positions in the store of the training cells and held-out cells to evaluate the model on.

    Parameters
    ----------
    side : {"both", "train", "test", "all"}
        See :data:`Side`. The side that is left out is empty.
    most : int, optional
        Maximum number of each, with equal numbers for each structure if possible; all if left out.
    seed : int
        Random seed of the choice.

    Raises
    ------
    ValueError
        If there is no such side, or if it has no cells.
    """
    if side not in SIDES:
        raise ValueError(f"There is no side {side!r} of a store: choose one of {', '.join(SIDES)}.")
    train, test = (cells_of(store, held_out=held_out) for held_out in (False, True))
    if side == "all":
        train, test = train[:0], np.arange(len(store))
    elif side != "both":
        train, test = (train, test[:0]) if side == "train" else (train[:0], test)
    known = store.table["structure"].isin(model.config.structures).to_numpy()
    chosen: dict[Split, Indices] = {}
    for split, cells in (("train", train), ("test", test)):
        mine = cells[known[cells]]
        if most is not None and len(mine) > most:
            mine = mine[balanced_sample(store.labels[mine], most, seed)]
        chosen["train" if split == "train" else "test"] = mine
    if not any(map(len, chosen.values())):
        raise ValueError(f"{store.path} has no cells on the side {side!r}: choose another side or store.")
    return chosen
