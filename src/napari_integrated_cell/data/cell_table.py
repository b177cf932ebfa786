"""Read a table of cells: find out its layout, then read it row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from napari_integrated_cell.data.csv_file import CsvFile, open_csv
from napari_integrated_cell.data.entry import Entry, FaultyRow
from napari_integrated_cell.data.layouts import FIELD, ID, LAYOUTS, PLATE, Layout
from napari_integrated_cell.data.rows import Row, text


@dataclass(frozen=True)
class CellTable:
    """A table of cells, one cell per row. It is never held in memory as a whole.

    Attributes
    ----------
    file : CsvFile
        Paths in it start at its folder.
    """

    file: CsvFile
    layout: Layout

    @property
    def path(self) -> Path:
        """The CSV file."""
        return self.file.path

    @property
    def groups(self) -> tuple[str, ...]:
        """Which of ``"field"`` and ``"plate"`` the table names."""
        named = {"field": FIELD, "plate": PLATE}
        return tuple(
            group for group, columns in named.items() if not set(columns).isdisjoint(self.file.columns)
        )

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def entries(self) -> Iterator[Entry | FaultyRow]:
        """Yield every row in order: a cell, or why the row cannot be used.

        Raises
        ------
        ValueError
            If the file cannot be read to its end.
        """
        for number, row in enumerate(self.file.rows(), start=1):
            yield self.entry(row, number)

    def entry(self, row: Row, number: int) -> Entry | FaultyRow:
        """Return one row as a cell, or why it cannot be used. Rows are counted from 1."""
        name = text(row, *ID) or f"row {number}"
        try:
            if None in row:
                raise ValueError(
                    f"The row has more values than the table has columns ({len(self.file.columns)}): put a value "
                    "that holds the separator in double quotes, without a space before them."
                )
            return self.layout.entry(row, self.path.parent, name)
        except ValueError as error:
            return FaultyRow(name, str(error), str(self.path))

    def at(self, index: int) -> Entry | FaultyRow | None:
        """Return the row at an index counted from 0; None if the table has fewer rows."""
        row = next(islice(self.file.rows(), index, None), None)
        return None if row is None else self.entry(row, index + 1)


def open_table(path: str | Path) -> CellTable:
    """Open a table of cells: a CSV file, or a folder with a ``metadata.csv``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read as text, lists no cell, or has the columns of no known layout. The message lists the
        columns that each layout needs.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "metadata.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table of cells at {path}: give a CSV file, or a folder with a metadata.csv."
        )
    file = open_csv(path.resolve())  # worker processes may have another working directory
    if next(file.rows(), None) is None:
        raise ValueError(f"{path.name} lists no cells: it needs a header and one row per cell.")
    for layout in LAYOUTS:
        if set(layout.columns) <= set(file.columns):
            return CellTable(file, layout)
    needed = "; ".join(f"{layout.name}: {', '.join(layout.columns)}" for layout in LAYOUTS)
    shown = ", ".join(file.columns[:8]) + (", ..." if len(file.columns) > 8 else "")
    raise ValueError(
        f"{path.name} is not a table of cells. Its columns are {shown}. Each layout needs: {needed}."
    )
