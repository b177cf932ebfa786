"""Prepare a training store: read, pose, normalise and mask every cell of a table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from napari_ic_train.data import store_table
from napari_ic_train.data.posing import CHANNELS, posed_entry
from napari_ic_train.data.recipe import (
    REFERENCE_SOURCES,
    Recipe,
    ReferenceSource,
    begun_with,
    split_group,
    write_recipe,
)
from napari_ic_train.data.splits import SplitBy, fraction_of
from napari_ic_train.data.store import CellStore, StoreWriter
from napari_ic_train.data.training_entries import training_entries
from napari_integrated_cell.data.cell_table import CellTable, open_table
from napari_integrated_cell.data.entry import Entry, FaultyRow
from napari_integrated_cell.data.spreading import spread
from napari_integrated_cell.imaging.pose import Box
from napari_integrated_cell.processes import Progress
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

__all__ = ["REFERENCE_SOURCES", "ReferenceSource", "fraction_of", "prepare"]

Placed = tuple[int, Entry | FaultyRow]
"""A row of the store, and the row of the table that belongs there."""

BATCH = 16
"""Cells in a worker's batch. After a kill, at most one batch per thread is done again."""


def prepare(
    manifest: str | Path,
    out: str | Path,
    box: Box,
    *,
    references: ReferenceSource = "stain",
    test_fraction: float = 0.05,
    split_by: SplitBy | None = None,
    seed: int = 0,
    keep_other: bool = False,
    keep_outliers: bool = False,
    keep_daughters: bool = False,
    keep_edge: bool = True,
    keep_shapes: bool = False,
    workers: int | None = None,
    threads: int = 1,
    scheduler: str | None = None,
    batch: int = BATCH,
    retry: bool = False,
    progress: Progress | None = None,
) -> CellStore:
    """Pose every cell of a table into a training store (section 3.1). Continue an earlier call that was stopped.

    What a cell becomes depends on its row and on the settings only. A cell that cannot be prepared becomes a row of
    ``report.csv``; the other cells are still prepared.

    Parameters
    ----------
    manifest : path-like
        A table in one of the layouts of :mod:`napari_integrated_cell.data.layouts`, or a folder that holds it as
        ``metadata.csv``.
    out : path-like
        The store's folder, on a disk that every worker sees.
    box : Box
        The model's box.
    references : {"stain", "segmentation", "mixed"}
        Reference images from the stains, rendered from the segmentations, or one of the two for each cell. A model
        trained on mixed cells takes both.
    test_fraction : float
        Share of cells, fields or plates that are held out.
    split_by : {"cell", "field", "plate"}, optional
        What stays on one side of the split. By default the field if the table names it, else the cell.
    seed : int
        Random seed of the split.
    keep_other : bool
        Whether to keep structures outside the vocabulary, as further classes named by their gene.
    keep_outliers, keep_daughters, keep_edge : bool
        Whether to keep outliers, single daughters of a division (half a cell under the stage of a whole one), and
        cells at the edge of their colony (whole cells).
    keep_shapes : bool
        Whether to keep cells whose row names no structure, or no image of it. They teach phase 1 only. Those of a
        held-out field or plate are left out.
    workers, threads : int, optional
        Number of processes (by default one per core), and of threads in each.
    scheduler : str, optional
        Address of a dask scheduler to use instead.
    batch : int
        Cells in a worker's batch.
    retry : bool
        Whether to try the cells of ``report.csv`` again.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    CellStore

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    NoCellPrepared
        If not one cell could be prepared. ``report.csv`` has the reasons.
    ValueError
        If it is not a table of cells, all cells are left out, a setting is wrong, or the folder holds a store of other
        settings.
    ImportError
        If several workers are asked for and dask is not installed.
    """
    table = open_table(manifest)
    recipe = Recipe(
        table.sha256,
        box,
        references,
        test_fraction,
        seed,
        split_group(table, split_by),
        keep_other,
        keep_outliers,
        keep_daughters,
        keep_edge,
        keep_shapes,
    )
    if batch < 1 or threads < 1 or (workers is not None and workers < 1):
        raise ValueError("Workers, threads and cells in a batch are counted from 1 upwards.")
    folder = Path(out).resolve()  # workers may have another working directory
    writer = StoreWriter.opened(folder) if begun_with(folder, recipe) else _begin(folder, table, recipe)
    if retry:
        store_table.forget_refused(folder)
    elif store_table.finished(folder):
        return CellStore(folder)

    done = store_table.rows_done(folder, len(writer))
    count = int(done.sum())
    to_do = (placed for placed in enumerate(_wanted(table, recipe)) if not done[placed[0]])
    work = partial(prepare_batch, folder=folder, recipe=recipe)
    if progress is not None:
        progress(count, len(writer), "posing cells")
    for settled, trouble in spread(
        work,
        _batches(to_do, batch),
        workers=workers or os.cpu_count() or 1,
        threads=threads,
        scheduler=scheduler,
    ):
        if trouble is not None:
            for index, entry in settled:
                writer.refuse(index, _id_of(entry), entry.path, trouble)
            writer.flush()
        count += len(settled)
        if progress is not None:
            progress(count, len(writer), "posing cells")
    return writer.finish()


def prepare_batch(batch: Sequence[Placed], folder: Path, recipe: Recipe) -> None:
    """Pose a batch of cells into the store at ``folder``. Workers run this.

    If a cell cannot be prepared, the reason is written in its place. An error of the store, such as a full disk, is
    raised.
    """
    writer = StoreWriter.opened(folder)
    for index, entry in batch:
        if isinstance(entry, FaultyRow):
            writer.refuse(index, entry.name, entry.path, entry.reason)
            continue
        try:
            image, row = posed_entry(entry, recipe)
        except Exception as error:  # image readers raise errors of all types
            reason = str(error) if isinstance(error, (ValueError, OSError)) else repr(error)
            writer.refuse(index, entry.cell_id, entry.path, reason)
            continue
        writer.write(index, image, row)
    writer.flush()


def _id_of(entry: Entry | FaultyRow) -> str:
    return entry.name if isinstance(entry, FaultyRow) else entry.cell_id


def _wanted(table: CellTable, recipe: Recipe) -> Iterator[Entry | FaultyRow]:
    """Yield the table's rows in order, without the cells left out on purpose."""
    for entry in training_entries(table, shapes=recipe.keep_shapes):
        if isinstance(entry, FaultyRow) or recipe.left_out(entry) is None:
            yield entry


def _begin(folder: Path, table: CellTable, recipe: Recipe) -> StoreWriter:
    """Create a store with a row for every cell of the table that is not left out."""
    if (folder / store_table.TABLE).is_file():
        raise ValueError(f"The folder {folder} holds a store without its settings: choose another folder.")
    n_cells, structures, simulated, left_out = 0, set[str](), True, Counter[str]()
    for entry in training_entries(table, shapes=recipe.keep_shapes):
        if isinstance(entry, FaultyRow):
            n_cells += 1
            continue
        why = recipe.left_out(entry)
        if why is not None:
            left_out[why] += 1
            continue
        n_cells += 1
        structures |= {entry.structure} - {""}
        simulated = simulated and entry.simulated
    if not structures:
        gone = ", ".join(f"{count} {why}" for why, count in left_out.items())
        sentence = f"{table.path.name} has no cell to prepare" + (f"; left out: {gone}" if gone else "")
        if n_cells and recipe.keep_shapes:
            raise ValueError(f"{sentence}: not one row names a structure and an image of it.")
        if not n_cells:
            raise ValueError(f"{sentence}.")
        faulty = (row for row in training_entries(table) if isinstance(row, FaultyRow))
        report = store_table.write_report(folder, ((row.name, row.path, row.reason) for row in faulty))
        raise store_table.NoCellPrepared(
            report, f"{sentence}; {n_cells} rows cannot be used: {report} has the reason for each."
        )
    known = [name for name in STRUCTURE_NAMES if name in structures]
    writer = StoreWriter(
        folder,
        n_cells,
        channels=CHANNELS,
        box=recipe.box.shape,
        voxel_size=recipe.box.voxel_size,
        structures=[*known, *sorted(structures - set(known))],
        simulated=simulated,
        source=table.path.parent.name,
        left_out=dict(left_out.most_common()),
    )
    store_table.clear_parts(folder)  # of an earlier store whose settings are lost
    write_recipe(folder, recipe)
    return writer


def _batches(placed: Iterator[Placed], size: int) -> Iterator[list[Placed]]:
    while some := list(islice(placed, size)):
        yield some
