"""The store's table while it grows: one part per batch. The parts are joined at the end, piece by piece."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from napari_integrated_cell.arrays import Mask
from napari_integrated_cell.data.store import ROW, TABLE

PARTS = "parts"
REPORT = "report.csv"
REPORT_COLUMNS = ["CellId", "path", "reason"]

_REASON = "reason"  # column of refused cells in a part; not in the finished table
_ROWS_AT_ONCE = 4096


class NoCellPrepared(ValueError):
    """Not one cell of a table could be prepared.

    Attributes
    ----------
    report : Path
        The file with the reason for each cell.
    """

    def __init__(self, report: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.report = report


def write_part(store: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of cells and of refused cells to a new part. The file appears when it is complete."""
    columns = dict.fromkeys(key for row in rows for key in row)
    table = pa.table({column: [row.get(column) for row in rows] for column in columns})
    folder = store / PARTS
    folder.mkdir(exist_ok=True)
    # Two workers may have the same batch if one was believed dead. Neither overwrites the other's part.
    name = f"{min(row[ROW] for row in rows):09d}-{uuid4().hex}.parquet"
    aside = folder / f"{name}.part"
    pq.write_table(table, aside)
    aside.replace(folder / name)


def finished(store: Path) -> bool:
    """Return whether the table is joined and no part is left."""
    return (store / TABLE).is_file() and not (store / PARTS).is_dir()


def rows_done(store: Path, n_cells: int) -> Mask:
    """Return which rows of the store are done: written, or refused with a reason."""
    done = np.zeros(n_cells, bool)
    for file in _files(store):
        done[pq.read_table(file, columns=[ROW])[ROW].to_numpy()] = True
    return done


def forget_refused(store: Path) -> None:
    """Delete the rows of refused cells, so that these cells are tried again."""
    for file in _parts(store):
        kept, refused = _cells_and_refused(pq.read_table(file))
        if refused.num_rows and kept.num_rows:
            aside = file.with_name(f"{file.name}.part")
            pq.write_table(kept, aside)
            aside.replace(file)
        elif refused.num_rows:
            file.unlink()
    (store / REPORT).unlink(missing_ok=True)


def clear_parts(store: Path) -> None:
    """Delete all parts."""
    shutil.rmtree(store / PARTS, ignore_errors=True)


def merge_parts(store: Path, n_cells: int) -> None:
    """Join all parts into the table, and write the report. Then delete the parts.

    Raises
    ------
    NoCellPrepared
        If not one cell could be prepared. The report is written before.
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
        raise NoCellPrepared(
            store / REPORT, f"Not one cell could be prepared: {store / REPORT} has the reason for each."
        )
    aside.replace(store / TABLE)
    clear_parts(store)


def write_report(store: Path, refused: Iterable[tuple[str, str, str]]) -> Path:
    """Write the report of cells that were refused, as (id, path, reason), and return its path."""
    aside = store / f".{REPORT}.part"
    store.mkdir(parents=True, exist_ok=True)
    with aside.open("w", newline="", encoding="utf-8") as file:
        report = csv.writer(file)
        report.writerow(REPORT_COLUMNS)
        report.writerows(refused)
    aside.replace(store / REPORT)
    return store / REPORT


def _parts(store: Path) -> list[Path]:
    return sorted((store / PARTS).glob("*.parquet"))


def _files(store: Path) -> list[Path]:
    """Return the files that hold rows: the table of a finished store, and the parts."""
    table = store / TABLE
    return [*([table] if table.is_file() else []), *_parts(store)]


def _overview(store: Path, n_cells: int) -> tuple[pa.Schema, Mask]:
    """Return the columns of all parts together, and which rows hold a cell."""
    schema, there = pa.schema([]), np.zeros(n_cells, bool)
    for file in _files(store):
        kept, _ = _cells_and_refused(pq.read_table(file))
        there[kept[ROW].to_numpy()] = True
        if kept.num_rows:
            schema = pa.unify_schemas([schema, kept.schema], promote_options="permissive")
    empty = [column.name for column in schema if pa.types.is_null(column.type)]
    for name in empty:  # a column without any value becomes one of text
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    return schema, there


def _cells(store: Path, there: Mask, report: csv.DictWriter[str]) -> Iterator[pa.Table]:
    """Yield the cells of every part, each once, and write refused cells to the report.

    A row may be in two parts if a worker that was believed dead went on with its batch.
    """
    written = np.zeros_like(there)
    for file in _files(store):
        kept, refused = _cells_and_refused(pq.read_table(file))
        for row in refused.to_pylist():
            if not there[row[ROW]] and not written[row[ROW]]:
                report.writerow({column: row[column] for column in REPORT_COLUMNS})
                written[row[ROW]] = True
        rows = kept[ROW].to_numpy()
        yield kept.filter(pa.array(~written[rows]))
        written[rows] = True


def _in_batches(tables: Iterator[pa.Table], n_rows: int) -> Iterator[list[pa.Table]]:
    """Yield lists of tables that have at least ``n_rows`` rows together."""
    gathered: list[pa.Table] = []
    for table in tables:
        gathered.append(table)
        if sum(t.num_rows for t in gathered) >= n_rows:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _cells_and_refused(part: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return a part's cells and its refused cells."""
    if _REASON not in part.column_names:
        return part, part.slice(0, 0)
    without = pc.is_null(part[_REASON])
    return part.filter(without).drop_columns([_REASON]), part.filter(pc.invert(without))
