"""Embed the cells of a table, and keep its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.layouts import FILE_COLUMNS
from napari_integrated_cell.data.rows import Row, text
from napari_integrated_cell.latent.embedding import embed_cells
from napari_integrated_cell.latent.population import ROW, Population

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.processes import CancelToken, Progress


def embed_table(
    path: str | Path,
    model: IntegratedCell,
    *,
    on_left_out: Callable[[str, str], None] = lambda name, reason: None,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Population:
    """Return the cells of a table in a model's latent spaces, with the columns of the table.

    Parameters
    ----------
    path : path-like
        A table in one of the layouts of :mod:`napari_integrated_cell.data.layouts`, or a folder that holds it as
        ``metadata.csv``.
    model : IntegratedCell
        On the device to use.
    on_left_out : callable, optional
        Called with the name of a cell that cannot be read or posed, and the reason.
    cancel, progress
        As for every method of the model.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a table of cells, or no cell could be embedded.
    Cancelled
        If ``cancel`` is set before the end.
    """
    table = open_table(path)
    rows = list(table.file.rows())
    entries = [table.entry(row, number) for number, row in enumerate(rows, start=1)]
    found = embed_cells(entries, model, on_left_out=on_left_out, cancel=cancel, progress=progress)
    columns = columns_of(rows[row] for row in found.table[ROW])
    more = [name for name in columns if name not in found.table]
    return replace(found, table=found.table.join(columns[more]), name=table.path.name, source=str(table.path))


def columns_of(rows: Iterable[Row]) -> pd.DataFrame:
    """Return the columns that describe the cells, without those that name files.

    A column becomes numbers if all of its values are numbers. Empty columns are left out.
    """
    columns = pd.DataFrame([dict(row) for row in rows])
    for name in columns:
        values = columns[name].map(lambda value: text({"": value}, "") if isinstance(value, str) else "")
        values = values.where(values != "", None)
        numbers = pd.to_numeric(values, errors="coerce")
        columns[name] = numbers if (numbers.notna() == values.notna()).all() else values
    named = [name for name in columns if name and name not in FILE_COLUMNS and columns[name].notna().any()]
    return columns[named]
