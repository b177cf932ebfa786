"""Cells listed in a table, one a row: the public dataset's manifest, the simulator's, or one of the user's own."""

from __future__ import annotations

import ast
import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_integrated_cell.commands.options import chosen_cells
from napari_integrated_cell.vocabulary import STAGES

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell

Row = Mapping[str, str]


@dataclass(frozen=True)
class ListedCell:
    """A cell that is yet to be read.

    Attributes
    ----------
    name : str
    stage : str
        The vocabulary's name where it is known, the manifest's code where that stands for several stages, or
        nothing.
    read : callable
        Gives the :class:`~napari_integrated_cell.cell.Cell`; ValueError or OSError where that cannot be.
    """

    name: str
    stage: str
    read: Callable[[], Cell]


def listed_cells(path: Path) -> list[ListedCell]:
    """The cells of a table with the columns ``crop_seg`` or ``cell_segmentation``, in its order.

    Parameters
    ----------
    path : Path
        A CSV file. Paths in it are relative to its folder. Either as the public dataset's manifest, with
        ``crop_seg`` and, where there are, ``CellId``, ``crop_raw``, ``name_dict``, ``scale_micron``,
        ``cell_stage``; or of the user's own, with ``cell_segmentation`` and ``nucleus_segmentation`` and,
        where there are, ``cell_id``, ``image``, ``label``, ``membrane_channel``, ``dna_channel``,
        ``voxel_size``, ``stage``.

    Raises
    ------
    ValueError
        If it is no such table, or an empty one.
    OSError
        If there is no such file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} is no table: give a CSV file in UTF-8.") from error
    if not rows:
        raise ValueError(f"{path.name} lists no cells.")
    if "crop_seg" in rows[0]:
        reader = _public
    elif {"cell_segmentation", "nucleus_segmentation"} <= set(rows[0]):
        reader = _own
    else:
        raise ValueError(
            f"{path.name} has neither the public dataset's column crop_seg nor cell_segmentation and "
            "nucleus_segmentation: add them, as file names relative to the table's folder."
        )
    return [
        ListedCell(
            _text(row, "CellId") or _text(row, "cell_id") or f"row {number}",
            _stage(row),
            partial(reader, row, path.parent),
        )
        for number, row in enumerate(rows, 1)
    ]


def _public(row: Row, folder: Path) -> Cell:
    from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE, read_crop

    named = _literal(row, "name_dict", {})
    raw = _text(row, "crop_raw")
    return read_crop(
        folder / _needed(row, "crop_seg"),
        folder / raw if raw else None,
        raw_channels=named.get("crop_raw", ("dna", "membrane", "structure")),
        seg_channels=named.get("crop_seg", CROP_SEG_CHANNELS),
        voxel_size=_micrometres(_literal(row, "scale_micron", DATASET_VOXEL_SIZE)),
    )


def _own(row: Row, folder: Path) -> Cell:
    image = _text(row, "image")
    spacing = _literal(row, "voxel_size", None)
    (cell,), _ = chosen_cells(
        folder / image if image else None,
        _text(row, "membrane_channel") or None,
        _text(row, "dna_channel") or None,
        folder / _needed(row, "cell_segmentation"),
        folder / _needed(row, "nucleus_segmentation"),
        _text(row, "label") or None,
        None if spacing is None else _micrometres(spacing),
    )
    return cell


def _text(row: Row, column: str) -> str:
    value = (row.get(column) or "").strip()
    return "" if value.casefold() in ("nan", "none", "null", "<na>") else value


def _needed(row: Row, column: str) -> str:
    value = _text(row, column)
    if not value:
        raise ValueError(f"The column {column} is empty.")
    return value


def _literal(row: Row, column: str, default: Any) -> Any:
    value = _text(row, column)
    try:
        return ast.literal_eval(value) if value else default
    except (ValueError, SyntaxError):
        raise ValueError(f"The column {column} holds {value[:40]!r}, which cannot be understood.") from None


def _micrometres(value: Any) -> tuple[float, float, float]:
    from napari_integrated_cell.cell import checked_voxel_size

    return checked_voxel_size((value,) * 3 if isinstance(value, int | float) else value)


def _stage(row: Row) -> str:
    given = _text(row, "simulated_stage") or _text(row, "stage") or _text(row, "cell_stage")
    meant = [s.name for s in STAGES if s.dataset_code == given]
    return meant[0] if len(meant) == 1 else given
