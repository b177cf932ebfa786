"""What is found in a folder or a table: fields, faulty files, and files that are used for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_integrated_cell.batch.field_files import FieldFiles
from napari_integrated_cell.data.cell_table import CellTable
from napari_integrated_cell.data.entry import STRUCTURE, Entry, FaultyRow, FileChannel


@dataclass(frozen=True)
class Faulty:
    """A file or a row of a table that cannot be used, with the reason."""

    name: str
    path: str
    reason: str


@dataclass(frozen=True)
class FoundFields:
    """Everything to integrate.

    Attributes
    ----------
    source : str
        The folder or the table.
    entries : tuple of Entry
        Cells of a table that have files of their own.
    unused : tuple of Faulty
        Files that are read and used for nothing.
    """

    source: str
    fields: tuple[FieldFiles, ...] = ()
    entries: tuple[Entry, ...] = ()
    faulty: tuple[Faulty, ...] = ()
    unused: tuple[Faulty, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All files that are read."""
        of_fields = (path for field in self.fields for path in field.paths)
        of_entries = (plane.path for entry in self.entries for plane in _planes(entry))
        return tuple(dict.fromkeys((*of_fields, *of_entries)))


def fields_of_table(table: CellTable, voxel_size: tuple[float, float, float] | None = None) -> FoundFields:
    """Return the cells of a table. Those that name a label in the same files make a field, which is read once.

    Parameters
    ----------
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm of all rows, in place of the table's and the files' own.
    """
    labelled: dict[object, dict[int, Entry]] = {}
    entries, faulty = list[Entry](), list[Faulty]()
    names = set[str]()
    for number, entry in enumerate(table.entries(), start=1):
        repeated = entry.name in names
        name = f"{entry.name} (row {number})" if repeated else entry.name
        names.add(name)
        if isinstance(entry, FaultyRow):
            faulty.append(Faulty(name, entry.path, entry.reason))
            continue
        if repeated:
            faulty.append(Faulty(name, entry.path, f"Another row has the id {entry.name!r} too."))
            continue
        if voxel_size is not None:
            entry = replace(entry, voxel_size=voxel_size)
        if entry.label is None or entry.posed:
            entries.append(entry)
        else:
            files = (entry.cell, entry.nucleus, tuple(sorted(entry.images.items())), entry.voxel_size)
            rows = labelled.setdefault(files, {})
            if entry.label in rows:
                other = rows[entry.label].name
                reason = f"The row {other!r} names the cell {entry.label} of these files too."
                faulty.append(Faulty(entry.name, entry.path, reason))
            else:
                rows[entry.label] = entry
    fields = [_field(rows, i) for i, rows in enumerate(labelled.values(), start=1)]
    return FoundFields(str(table.path), tuple(different(fields)), tuple(entries), tuple(faulty))


def different(fields: Iterable[FieldFiles]) -> list[FieldFiles]:
    """Return fields with a number added to each repeated name. Names of files ignore upper and lower case."""
    taken, found = set[str](), list[FieldFiles]()
    for field in fields:
        name, count = field.name, 1
        while name.casefold() in taken:
            count += 1
            name = f"{field.name} ({count})"
        taken.add(name.casefold())
        found.append(replace(field, name=name))
    return found


def _field(rows: dict[int, Entry], number: int) -> FieldFiles:
    first = next(iter(rows.values()))
    return FieldFiles(
        first.field or Path(first.path).name.split(".")[0] or f"field {number}",
        first.cell,
        first.nucleus,
        first.images,
        first.structure if STRUCTURE in first.images else "",
        first.voxel_size,
        rows,
    )


def _planes(entry: Entry) -> tuple[FileChannel, ...]:
    return (*entry.images.values(), entry.cell, entry.nucleus)
