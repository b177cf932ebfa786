"""What became of a batch: its rows, and those of what could not be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari_integrated_cell.batch.cell_row import OK, Row, failed_row
from napari_integrated_cell.batch.listing import ListedField


@dataclass
class BatchResult:
    """What became of a batch.

    Attributes
    ----------
    rows : list of Row
        One for each cell, field and file, in the order in which they were found.
    kept : int
        Cells that an earlier call had made.
    stopped : bool
        Whether it was stopped before the end.
    dropped : int
        Cells of earlier calls that are not found any more, and have no row.
    tables : tuple of Path
        The table as CSV and as Parquet.
    """

    rows: list[Row] = field(default_factory=list)
    kept: int = 0
    stopped: bool = False
    dropped: int = 0
    tables: tuple[Path, ...] = ()

    @property
    def made(self) -> int:
        """Cells that are integrated, by this call or an earlier one."""
        return sum(row["outcome"] == OK for row in self.rows)

    @property
    def failed(self) -> list[Row]:
        """Rows of what could not be used."""
        return [row for row in self.rows if row["outcome"] != OK]


def cell_id_of(listed: ListedField, label: int) -> str:
    """Return the id of a cell of a field: that of its row in a table, or the field's name with the label."""
    entry = listed.files.entries.get(label)
    return entry.name if entry is not None else f"{listed.files.name}/{label}"


def failed_rows(listed: ListedField, error: Exception | str) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a field that cannot be read, with their keys: one, or one for each row of a table."""
    of_field = {"source": listed.files.source, "field": listed.files.name}
    for label, entry in listed.files.entries.items():
        known = {"structure": entry.structure or None, "stage": entry.stage or None}
        yield entry.name, failed_row({"cell_id": entry.name, **of_field, "label": label, **known}, error)
    if not listed.files.entries:
        name = listed.files.name
        yield f"file {name}", failed_row({"cell_id": name, **of_field}, error)
