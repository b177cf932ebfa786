"""A manifest of segmented cells becomes a training store: every cell read, posed, normalised, masked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from napari_ic_train.data import table
from napari_ic_train.data.manifests import Entry, Manifest, Unusable, open_manifest
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
from napari_ic_train.data.spread import spread
from napari_ic_train.data.store import CellStore, StoreWriter
from napari_integrated_cell.imaging.pose import Box
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

__all__ = ["REFERENCE_SOURCES", "ReferenceSource", "fraction_of", "prepare"]

Progress = Callable[[int, int, str], None]
Placed = tuple[int, Entry | Unusable]
"""A place in the store, and the row of the manifest that belongs there."""

BATCH = 16
"""Cells that a worker does at a time: so many, for each thread, are done again after it was killed."""


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
    workers: int | None = None,
    threads: int = 1,
    scheduler: str | None = None,
    batch: int = BATCH,
    retry: bool = False,
    progress: Progress | None = None,
) -> CellStore:
    """Pose every cell of a manifest into a training store (section 3.1); go on where an earlier call stopped.

    What a cell becomes depends on its row and on the settings alone, neither on the others, nor on who does
    it, nor on when. A cell that cannot be prepared costs a row of ``report.csv``.

    Parameters
    ----------
    manifest : path-like
        In one of the layouts of :mod:`napari_ic_train.data.manifests`; or a folder that holds it as
        ``metadata.csv``.
    out : path-like
        The store's folder; on a disk that every worker sees.
    box : Box
        The model's box.
    references : {"stain", "segmentation", "mixed"}
        Reference images from the stains, rendered from the segmentations, or one or the other by cell, which
        teaches a model to take both.
    test_fraction : float
        Share of cells, fields or plates held out.
    split_by : {"cell", "field", "plate"}, optional
        What stays on one side of the split; fields where the manifest names them, else each cell by itself.
    seed : int
        Of the split.
    keep_other : bool
        Whether structures outside the vocabulary are kept, as further classes by their gene.
    keep_outliers, keep_daughters, keep_edge : bool
        Whether to keep cells that the manifest calls outliers, single daughters of a division (half a cell
        under the stage of a whole one), and cells at the edge of their colony (whole cells).
    workers, threads : int, optional
        Processes, all cores when left out, and threads in each.
    scheduler : str, optional
        Address of a dask scheduler to work on instead.
    batch : int
        Cells that a worker does at a time.
    retry : bool
        Try the cells of ``report.csv`` again.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    CellStore

    Raises
    ------
    ValueError
        If there is no such manifest, it offers no cell, no cell could be prepared, a setting is wrong, or the
        folder holds a store of other settings.
    ImportError
        If several workers are asked for and dask is not installed.
    """
    listed = open_manifest(manifest)
    recipe = Recipe(
        listed.sha256,
        box,
        references,
        test_fraction,
        seed,
        split_group(listed, split_by),
        keep_other,
        keep_outliers,
        keep_daughters,
        keep_edge,
    )
    if batch < 1 or threads < 1 or (workers is not None and workers < 1):
        raise ValueError("Workers, threads and cells in a batch are counted from 1 upwards.")
    folder = Path(out).resolve()  # workers have working directories of their own
    writer = StoreWriter.opened(folder) if begun_with(folder, recipe) else _begun(folder, listed, recipe)
    if retry:
        table.forget_refused(folder)
    elif table.finished(folder):
        return CellStore(folder)

    done = table.rows_done(folder, len(writer))
    count = int(done.sum())
    to_do = (placed for placed in enumerate(_wanted(listed, recipe)) if not done[placed[0]])
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
                writer.refuse(index, entry.cell_id, entry.path, trouble)
            writer.flush()
        count += len(settled)
        if progress is not None:
            progress(count, len(writer), "posing cells")
    return writer.finish()


def prepare_batch(batch: Sequence[Placed], folder: Path, recipe: Recipe) -> None:
    """Pose some cells into the store at ``folder``: what a worker does.

    Whatever is wrong with a cell is noted in its place. What is wrong with the store, a full disk say, is
    raised.
    """
    writer = StoreWriter.opened(folder)
    for index, entry in batch:
        if isinstance(entry, Unusable):
            writer.refuse(index, entry.cell_id, entry.path, entry.reason)
            continue
        try:
            image, row = posed_entry(entry, recipe)
        except Exception as error:  # readers and pictures fail in every way there is
            reason = str(error) if isinstance(error, (ValueError, OSError)) else repr(error)
            writer.refuse(index, entry.cell_id, entry.path, reason)
            continue
        writer.write(index, image, row)
    writer.flush()


def _wanted(manifest: Manifest, recipe: Recipe) -> Iterator[Entry | Unusable]:
    """The manifest's rows in order, less the cells left out on purpose."""
    for entry in manifest.entries():
        if isinstance(entry, Unusable) or recipe.left_out(entry) is None:
            yield entry


def _begun(folder: Path, manifest: Manifest, recipe: Recipe) -> StoreWriter:
    """A new store with room for every cell that the manifest offers and the recipe wants."""
    if (folder / table.TABLE).is_file():
        raise ValueError(
            f"The folder {folder} holds a store with no record of how it was prepared: choose another folder."
        )
    n_cells, structures, simulated, left_out = 0, set[str](), True, Counter[str]()
    for entry in manifest.entries():
        if isinstance(entry, Unusable):
            n_cells += 1
            continue
        why = recipe.left_out(entry)
        if why is not None:
            left_out[why] += 1
            continue
        n_cells += 1
        structures.add(entry.structure)
        simulated = simulated and entry.simulated
    if not structures:
        gone = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise ValueError(
            f"{manifest.path.name} offers no cell to prepare"
            + (f"; left out were {gone}" if gone else "")
            + (f"; {n_cells} rows are faulty" if n_cells else "")
            + "."
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
        source=manifest.path.parent.name,
        left_out=dict(left_out.most_common()),
    )
    # Parts of a store that was begun and lost its record are no part of this one.
    table.clear_parts(folder)
    write_recipe(folder, recipe)
    return writer


def _batches(placed: Iterator[Placed], size: int) -> Iterator[list[Placed]]:
    while some := list(islice(placed, size)):
        yield some
