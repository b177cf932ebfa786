"""Entries of a table of cells that a model can be trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from napari_integrated_cell.data.cell_table import CellTable
from napari_integrated_cell.data.entry import STRUCTURE, Entry, FaultyRow
from napari_integrated_cell.data.layouts import Layout
from napari_integrated_cell.data.stages import stage_named
from napari_integrated_cell.vocabulary import STAGE_NAMES


def training_entries(table: CellTable, *, shapes: bool = False) -> Iterator[Entry | FaultyRow]:
    """Yield every row in order. A row without a value that training needs becomes a faulty row.

    Training needs more than other uses of a table: an id (it decides the split) that is not used twice, a structure
    and an image of it, and a stage of the vocabulary if there is a stage. With ``shapes`` a row needs no structure, and
    an entry never names a structure without an image of it.
    """
    seen: set[str] = set()
    for entry in table.entries():
        if isinstance(entry, FaultyRow):
            yield entry
            continue
        reason = (
            "The table holds this id a second time: give each cell its own."
            if entry.cell_id in seen
            else _why_not(entry, table.layout, shapes)
        )
        if reason:
            yield FaultyRow(entry.name, reason, entry.path)
        else:
            seen.add(entry.cell_id)
            yield replace(entry, structure="") if shapes and not shows_structure(entry) else entry


def shows_structure(entry: Entry) -> bool:
    """Return whether an entry names a structure and an image or a segmentation of it."""
    pictured = STRUCTURE in entry.images or entry.structure_segmentation is not None
    return bool(entry.structure) and pictured


def _why_not(entry: Entry, layout: Layout, shapes: bool) -> str:
    """Return why an entry cannot be trained on; an empty string if it can."""
    if not entry.cell_id:
        return "The row has no id: fill the column 'CellId' or 'cell_id'."
    if not shapes and not entry.structure:
        return f"The row does not name the structure: fill the column {layout.structure_columns[0]!r}."
    if not shapes and STRUCTURE not in entry.images and entry.structure_segmentation is None:
        return "The row names no image of the structure."
    if entry.stage and entry.stage not in STAGE_NAMES:
        try:
            stage_named(entry.stage)
        except ValueError as error:
            return str(error)
    return ""
