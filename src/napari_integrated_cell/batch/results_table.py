"""The table of results: one row for each cell, as CSV and as Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_integrated_cell.batch.cell_row import SPREAD_OF, Row
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.latent.position import latent_columns

if TYPE_CHECKING:
    import pyarrow as pa

CSV_NAME, PARQUET_NAME = "results.csv", "results.parquet"

_ESCAPE = "backslashreplace"  # of names of files that are no UTF-8

TEXT, NUMBER, WHOLE, FLAG, TEXTS = "text", "number", "whole", "flag", "texts"
COLUMNS: dict[str, str] = {
    "cell_id": TEXT,
    "source": TEXT,
    "field": TEXT,
    "cell": TEXT,
    "label": WHOLE,
    "outcome": TEXT,
    "reason": TEXT,
    "file": TEXT,
    "angle_degrees": NUMBER,
    "flip_y": FLAG,
    "flip_x": FLAG,
    "outside_box": NUMBER,
    "cell_volume": NUMBER,
    "nucleus_volume": NUMBER,
    "height": NUMBER,
    "length": NUMBER,
    "width": NUMBER,
    "elongation": NUMBER,
    "offset_z": WHOLE,
    "offset_y": WHOLE,
    "offset_x": WHOLE,
    "nearest_stage": TEXT,
    "stage_distance": NUMBER,
    "typicality_percentile": NUMBER,
    "typicality_distance": NUMBER,
    "cell_overlap": NUMBER,
    "nucleus_overlap": NUMBER,
    "unusual_measure": TEXT,
    "unusual_percentile": NUMBER,
    "typical": FLAG,
    "typicality": TEXT,
    "structure": TEXT,
    "classified_as": TEXT,
    "classified_probability": NUMBER,
    "none_of_these": FLAG,
    "stage": TEXT,
    "model": TEXT,
    "weights": TEXT,
    "warnings": TEXTS,
}
"""Columns of the table and the kind of their values, before z^r. After it come those of spreads, if there are any."""


def write_tables(folder: Path, rows: Sequence[Row], n_ref: int) -> tuple[Path, Path]:
    """Write the rows as CSV and as Parquet, and return both files.

    Raises
    ------
    OSError
        If a file cannot be written. An existing one is then unchanged.
    """
    return _write_csv(folder / CSV_NAME, rows, n_ref), _write_parquet(folder / PARQUET_NAME, rows, n_ref)


def _write_csv(path: Path, rows: Sequence[Row], n_ref: int) -> Path:
    """Write z^r as one column for each dimension, with the names of a table of positions."""
    latent, spreads = latent_columns(n_ref, (), 0), _spread_columns(rows)
    with (
        atomic_write(path) as aside,
        aside.open("w", newline="", encoding="utf-8", errors=_ESCAPE) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *latent, *spreads])
        for row in rows:
            z_ref = row.get("z_ref") or [""] * n_ref
            values = [_in_csv(row.get(name)) for name in (*COLUMNS, *spreads)]
            writer.writerow([*values[: len(COLUMNS)], *z_ref, *values[len(COLUMNS) :]])
    return path


def _write_parquet(path: Path, rows: Sequence[Row], n_ref: int) -> Path:
    """Write z^r as lists, as `napari-ic embed` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        TEXT: pa.string(),
        NUMBER: pa.float64(),
        WHOLE: pa.int64(),
        FLAG: pa.bool_(),
        TEXTS: pa.list_(pa.string()),
    }
    columns: dict[str, pa.Array] = {
        name: pa.array([_in_parquet(row.get(name), kind) for row in rows], types[kind])
        for name, kind in COLUMNS.items()
    }
    columns["z_ref"] = pa.array([row.get("z_ref") for row in rows], pa.list_(pa.float32(), n_ref))
    for name in _spread_columns(rows):
        columns[name] = pa.array([row.get(name) for row in rows], types[NUMBER])
    with atomic_write(path) as aside:
        pq.write_table(pa.table(columns), aside, compression="zstd")
    return path


def _spread_columns(rows: Sequence[Row]) -> list[str]:
    """Return the names of the columns of spreads. A table without the ensemble has none."""
    return list(dict.fromkeys(name for row in rows for name in row if name.startswith(SPREAD_OF)))


def _in_csv(value: Any) -> Any:
    if isinstance(value, list):
        return " | ".join(map(str, value))
    return "" if value is None else value


def escaped(value: Any) -> Any:
    r"""Return a text, or a list of texts, with ``\udcff`` in place of each byte of a file's name that is no UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", _ESCAPE).decode("utf-8")
    return [escaped(item) for item in value] if isinstance(value, list) else value


def _in_parquet(value: Any, kind: str) -> Any:
    if kind in (TEXT, TEXTS):
        return escaped(value)
    if kind == WHOLE and value is not None and value >= 1 << 63:
        return None  # a label beyond what Parquet's integers count to; the cell's id has it
    return value
