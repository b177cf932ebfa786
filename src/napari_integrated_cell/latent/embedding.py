"""Embed cells in a model's latent spaces, and measure their shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.data.entry import STRUCTURE
from napari_integrated_cell.data.entry_cell import pose_in_box
from napari_integrated_cell.imaging.frame import shape_of
from napari_integrated_cell.imaging.pose import posed_references, posed_structure
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.latent.population import CELL_ID, ROW, Population
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.processes import slices

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.data.store import PosedStore
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken, Progress

BATCH = 32
WHAT = "embedding cells"

_RENAMED = {"CellId": CELL_ID, "extent_z": "height", "extent_x": "length", "extent_y": "width"}
_DROPPED = ("to_box", "path")


class Listed(Protocol):
    """A cell that is read when it is needed: an entry of a table, for example."""

    @property
    def name(self) -> str:
        """The cell's name."""

    @property
    def stage(self) -> str:
        """The cell's stage; may be empty."""

    @property
    def structure(self) -> str:
        """What the cell's channel ``"structure"`` shows; may be empty."""

    def read(self) -> Cell:
        """Read the cell. Raise ValueError or OSError if that fails."""


def embed_store(
    store: PosedStore,
    model: IntegratedCell,
    indices: Indices | None = None,
    *,
    batch_size: int = BATCH,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Population:
    """Return z^r (equation 1) and z^s (equation 7) of a store's cells, read one batch at a time.

    Parameters
    ----------
    store : PosedStore
        Cells that were posed for the model.
    model : IntegratedCell
        The model, on the device to use.
    indices : array of int, optional
        Indices of the cells to embed; all by default.
    batch_size, cancel, progress
        As for every method of the model.

    Raises
    ------
    ValueError
        If the store was posed for another model.
    Cancelled
        If ``cancel`` was set.
    """
    config = model.config
    channels = (*config.references, STRUCTURE)
    same_size = np.isclose(store.voxel_size, config.voxel_size)
    if (store.box, store.channels) != (config.box, channels) or not same_size:
        raise ValueError(
            f"{store.path} holds {', '.join(store.channels)} on a grid of {store.box} at {store.voxel_size} µm, but "
            f"{model.name!r} takes {', '.join(channels)} on {config.box} at {config.voxel_size} µm: prepare a store "
            "for this model."
        )
    chosen = np.arange(len(store)) if indices is None else np.asarray(indices)
    z_ref = np.empty((len(chosen), config.n_ref), np.float32)
    z_struct = np.empty((len(chosen), config.n_struct), np.float32)
    for part in slices(len(chosen), batch_size, WHAT, progress, cancel):
        images = store.stored(chosen[part]).astype(np.float32) / 255
        z_ref[part] = model.encode(images[:, :-1], batch_size=batch_size)
        z_struct[part] = model.encode_all(images, batch_size=batch_size)[2]
    return Population(
        z_ref,
        z_struct,
        _table_of(store, chosen),
        name=store.path.resolve().name,
        model=model.name,
        weights=fingerprint(model),
        source=str(store.path.resolve()),
    )


def _table_of(store: PosedStore, chosen: Indices) -> pd.DataFrame:
    """Return a store's columns for the chosen cells, with the map's column names."""
    table = store.table.iloc[chosen]
    rows = table.index.to_numpy()
    scalar = [name for name in table if name not in _DROPPED]
    table = table[scalar].rename(columns=_RENAMED).reset_index(drop=True)
    table[CELL_ID] = table[CELL_ID].astype(str)
    return table.assign(**{ROW: rows})


def embed_cells(
    cells: Sequence[Listed],
    model: IntegratedCell,
    *,
    on_left_out: Callable[[str, str], None] = lambda name, reason: None,
    batch_size: int = BATCH,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Population:
    """Read cells one by one; return their z^r, and z^s of those with a channel ``"structure"``.

    Parameters
    ----------
    cells : sequence
        Entries of a table, as :meth:`napari_integrated_cell.data.cell_table.CellTable.entries` yields them, or
        cells in memory as :class:`napari_integrated_cell.data.entry.LoadedCell`.
    model : IntegratedCell
        The model, on the device to use.
    on_left_out : callable, optional
        Called with the name of a cell that cannot be read or posed, and the reason. The others are embedded.
    batch_size, cancel, progress
        As for every method of the model.

    Raises
    ------
    ValueError
        If no cell could be embedded. The message gives the first reason.
    Cancelled
        If ``cancel`` was set.
    """
    config, box = model.config, model_box(model.config)
    rows: list[dict[str, Any]] = []
    waiting: list[Floats] = []  # posed cells, with or without a structure as the last channel
    z_ref: list[Floats] = []
    z_struct: list[Floats] = []

    def encode() -> None:
        if not waiting:
            return
        references = np.stack([image[: config.n_references] for image in waiting])
        z_ref.append(model.encode(references, batch_size=batch_size))
        found = np.full((len(waiting), config.n_struct), np.nan, np.float32)
        shown = [i for i, image in enumerate(waiting) if len(image) > config.n_references]
        if shown:
            images = np.stack([waiting[i] for i in shown])
            found[shown] = model.encode_all(images, batch_size=batch_size)[2]
        z_struct.append(found)
        waiting.clear()

    first_reason = ""
    for row, listed in enumerate(cells):
        if cancel is not None:
            cancel.raise_if_cancelled()
        try:
            cell = listed.read()
            pose = pose_in_box(cell, box)
            image = posed_references(cell, pose)
            if STRUCTURE in cell.channels:
                image = np.concatenate([image, posed_structure(cell, STRUCTURE, pose)[None]])
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            first_reason = first_reason or f" The first, {listed.name}: {reason}"
            on_left_out(listed.name, reason)
            continue
        finally:
            if progress is not None:
                progress(row + 1, len(cells), WHAT)
        waiting.append(image)
        known = {CELL_ID: listed.name, STRUCTURE: listed.structure or None, "stage": listed.stage or None}
        rows.append({**known, **shape_of(cell, pose), ROW: row})
        if len(waiting) == batch_size:
            encode()
    encode()
    if not rows:
        raise ValueError(f"None of the cells could be embedded.{first_reason}")
    of_struct = np.concatenate(z_struct)
    return Population(
        np.concatenate(z_ref),
        of_struct if np.isfinite(of_struct).any() else None,
        pd.DataFrame(rows),
        model=model.name,
        weights=fingerprint(model),
    )
