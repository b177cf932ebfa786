"""The store's table while it grows: parts, one a batch, that are joined at the end without being held in memory."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from napari_integrated_cell.data.store import ROW, TABLE

PARTS = "parts"
REPORT = "report.csv"
REPORT_COLUMNS = ["CellId", "path", "reason"]

_REASON = "reason"  # of a cell that there is not; no column of the finished table
_ROWS_AT_ONCE = 4096


def write_part(store: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep some rows, of cells or of why there are none, in a file of their own: whole or not at all."""
    columns = dict.fromkeys(key for row in rows for key in row)
    table = pa.table({column: [row.get(column) for row in rows] for column in columns})
    folder = store / PARTS
    folder.mkdir(exist_ok=True)
    # Two workers may have the same batch, one of them taken for dead: neither writes over the other's.
    name = f"{min(row[ROW] for row in rows):09d}-{uuid4().hex}.parquet"
    aside = folder / f"{name}.part"
    pq.write_table(table, aside)
    aside.replace(folder / name)


def finished(store: Path) -> bool:
    """Whether the table is joined and nothing waits to be joined to it."""
    return (store / TABLE).is_file() and not (store / PARTS).is_dir()


def rows_done(store: Path, n_cells: int) -> NDArray[np.bool_]:
    """Which of the store's places are settled: written, or refused with a reason."""
    done = np.zeros(n_cells, bool)
    for file in _files(store):
        done[pq.read_table(file, columns=[ROW])[ROW].to_numpy()] = True
    return done


def forget_refused(store: Path) -> None:
    """Strike out what was refused, so that it is tried again."""
    for file in _parts(store):
        kept, refused = _told_apart(pq.read_table(file))
        if refused.num_rows and kept.num_rows:
            aside = file.with_name(f"{file.name}.part")
            pq.write_table(kept, aside)
            aside.replace(file)
        elif refused.num_rows:
            file.unlink()
    (store / REPORT).unlink(missing_ok=True)


def clear_parts(store: Path) -> None:
    """Throw away what waits to be joined."""
    shutil.rmtree(store / PARTS, ignore_errors=True)


def merge_parts(store: Path, n_cells: int) -> None:
    """Join all parts into the table, and the reasons into the report; the parts are gone when both are there.

    Raises
    ------
    ValueError
        If not one cell could be prepared; the report is written all the same.
    """
    schema, there = _overview(store, n_cells)
    aside, aside_report = store / f".{TABLE}.part", store / f".{REPORT}.part"
    with (
        pq.ParquetWriter(aside, schema) as writer,
        aside_report.open("w", newline="", encoding="utf-8") as file,
    ):
        report = csv.DictWriter(file, REPORT_COLUMNS)
        report.writeheader()
        for batch in _in_batches(_cells(store, there, report), _ROWS_AT_ONCE):
            whole = pa.concat_tables([schema.empty_table(), *batch], promote_options="permissive")
            writer.write_table(whole.select(schema.names).cast(schema))
    aside_report.replace(store / REPORT)
    if not there.any():
        aside.unlink()
        raise ValueError(f"Not one cell could be prepared: {store / REPORT} says why of each.")
    aside.replace(store / TABLE)
    clear_parts(store)


def _parts(store: Path) -> list[Path]:
    return sorted((store / PARTS).glob("*.parquet"))


def _files(store: Path) -> list[Path]:
    """Where rows are: the table, when a finished store is gone on with, and the parts."""
    table = store / TABLE
    return [*([table] if table.is_file() else []), *_parts(store)]


def _overview(store: Path, n_cells: int) -> tuple[pa.Schema, NDArray[np.bool_]]:
    """The columns of all parts together, and the places where there is a cell."""
    schema, there = pa.schema([]), np.zeros(n_cells, bool)
    for file in _files(store):
        kept, _ = _told_apart(pq.read_table(file))
        there[kept[ROW].to_numpy()] = True
        if kept.num_rows:
            schema = pa.unify_schemas([schema, kept.schema], promote_options="permissive")
    empty = [column.name for column in schema if pa.types.is_null(column.type)]
    for name in empty:  # a column in which no cell has anything is one of words
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    return schema, there


def _cells(store: Path, there: NDArray[np.bool_], report: csv.DictWriter[str]) -> Iterator[pa.Table]:
    """The cells of every part, each once; what was refused, and is not there after all, goes to the report.

    A worker taken for dead may have written after another one did its batch over again.
    """
    told = np.zeros_like(there)
    for file in _files(store):
        kept, refused = _told_apart(pq.read_table(file))
        for row in refused.to_pylist():
            if not there[row[ROW]] and not told[row[ROW]]:
                report.writerow({column: row[column] for column in REPORT_COLUMNS})
                told[row[ROW]] = True
        rows = kept[ROW].to_numpy()
        yield kept.filter(pa.array(~told[rows]))
        told[rows] = True


def _in_batches(tables: Iterator[pa.Table], n_rows: int) -> Iterator[list[pa.Table]]:
    """Tables gathered until they have so many rows together."""
    gathered: list[pa.Table] = []
    for table in tables:
        gathered.append(table)
        if sum(t.num_rows for t in gathered) >= n_rows:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _told_apart(part: pa.Table) -> tuple[pa.Table, pa.Table]:
    """A part's cells, and what was refused."""
    if _REASON not in part.column_names:
        return part, part.slice(0, 0)
    without = pc.is_null(part[_REASON])
    return part.filter(without).drop_columns([_REASON]), part.filter(pc.invert(without))
