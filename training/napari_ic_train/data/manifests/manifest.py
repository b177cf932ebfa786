"""Opening a manifest: which of the layouts it has, and its rows one after the other."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from napari_ic_train.data.manifests.entry import Entry, Format, Unusable, text
from napari_ic_train.data.manifests.package import PACKAGE
from napari_ic_train.data.manifests.plain import PLAIN
from napari_ic_train.data.manifests.public import PUBLIC, SIMULATED

#: In the order in which they are recognised: the more particular first.
FORMATS: tuple[Format, ...] = (PACKAGE, SIMULATED, PUBLIC, PLAIN)


@dataclass(frozen=True)
class Manifest:
    """A table of segmented cells, read row by row: a table of 200,000 is never whole in memory.

    Attributes
    ----------
    path : Path
        The CSV file; paths in it are relative to its folder.
    format : Format
    columns : tuple of str
    """

    path: Path
    format: Format
    columns: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Which of ``"field"`` and ``"plate"`` the table gives."""
        named = {"field": self.format.field, "plate": self.format.plate}
        return tuple(group for group, column in named.items() if column in self.columns)

    @cached_property
    def sha256(self) -> str:
        """Of the file, so that a changed manifest is not taken for the one a store was begun with."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def entries(self) -> Iterator[Entry | Unusable]:
        """Every row, in order: a cell, or why it is none. A cell id that stands twice is used once."""
        seen: set[str] = set()
        with _opened(self.path) as rows:
            for number, row in enumerate(rows, start=2):
                cell_id = text(row, self.format.cell_id) or f"line {number}"
                try:
                    entry = self.format.entry(row, self.path.parent)
                except ValueError as error:
                    yield Unusable(cell_id, str(error), str(self.path))
                    continue
                if cell_id in seen:
                    yield Unusable(cell_id, "Its id stands in the manifest a second time.", entry.path)
                    continue
                seen.add(cell_id)
                yield entry


def open_manifest(path: str | Path) -> Manifest:
    """The manifest at ``path``: a CSV file, or a folder that holds a ``metadata.csv``.

    Raises
    ------
    ValueError
        If there is none, if it cannot be read as a table, or if it has the columns of no known layout; the
        sentence lists what each layout needs.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "metadata.csv"
    if not path.is_file():
        raise ValueError(f"There is no manifest {path}: give the metadata.csv of a dataset, or its folder.")
    path = path.resolve()  # workers have working directories of their own
    with _opened(path) as rows:
        columns = tuple(name for name in rows.fieldnames or () if name)
    for known in FORMATS:
        if set(known.columns) <= set(columns):
            return Manifest(path, known, columns)
    wanted = "; ".join(f"{known.name}: {', '.join(known.columns)}" for known in FORMATS)
    raise ValueError(
        f"{path.name} has the columns of no known manifest ({', '.join(columns) or 'it has none'}). "
        f"What each needs: {wanted}."
    )


@contextmanager
def _opened(path: Path) -> Iterator[csv.DictReader[str]]:
    """The rows of a CSV file, whatever of comma, semicolon and tab parts its columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=header.count))
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            yield reader
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The manifest {path} is no table of text: {error}.") from error
