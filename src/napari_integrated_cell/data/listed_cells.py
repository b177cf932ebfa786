"""Cells listed in a table, one a row: the public dataset's manifest, the simulator's, or one of the user's own."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_integrated_cell.commands.options import chosen_cells
from napari_integrated_cell.data.rows import Row, literal, needed, text
from napari_integrated_cell.vocabulary import STAGES, structure

if TYPE_CHECKING:
    import pandas as pd

    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.latent.population import Population
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken, Progress

# Columns of how to read a cell, which say nothing of what it is.
_FILES = {
    *("crop_raw", "crop_seg", "name_dict", "scale_micron", "roi", "fov_path", "CellId"),
    *("image", "cell_segmentation", "nucleus_segmentation", "label", "voxel_size"),
    *("membrane_channel", "dna_channel", "structure_channel"),
}


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
    structure : str
        What its channel ``"structure"`` shows, as the vocabulary calls it where it does; or nothing.
    row : mapping of str to str
        All that the table says of it.
    """

    name: str
    stage: str
    read: Callable[[], Cell]
    structure: str = ""
    row: Row = field(default_factory=dict)


def listed_cells(path: Path) -> list[ListedCell]:
    """The cells of a table with the columns ``crop_seg`` or ``cell_segmentation``, in its order.

    Parameters
    ----------
    path : Path
        A CSV file. Paths in it are relative to its folder. Either as the public dataset's manifest, with
        ``crop_seg`` and, where there are, ``CellId``, ``crop_raw``, ``name_dict``, ``scale_micron``,
        ``cell_stage``; or of the user's own, with ``cell_segmentation`` and ``nucleus_segmentation`` and,
        where there are, ``cell_id``, ``image``, ``label``, ``membrane_channel``, ``dna_channel``,
        ``voxel_size``, ``stage``, ``structure`` and the ``structure_channel`` that shows it.

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
            text(row, "CellId") or text(row, "cell_id") or f"row {number}",
            _stage(row),
            partial(reader, row, path.parent),
            _structure(row),
            row,
        )
        for number, row in enumerate(rows, 1)
    ]


def _public(row: Row, folder: Path) -> Cell:
    from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE, read_crop

    named = literal(row, "name_dict", {})
    raw = text(row, "crop_raw")
    return read_crop(
        folder / needed(row, "crop_seg"),
        folder / raw if raw else None,
        raw_channels=named.get("crop_raw", ("dna", "membrane", "structure")),
        seg_channels=named.get("crop_seg", CROP_SEG_CHANNELS),
        voxel_size=_micrometres(literal(row, "scale_micron", DATASET_VOXEL_SIZE)),
    )


def _own(row: Row, folder: Path) -> Cell:
    image = text(row, "image")
    spacing = literal(row, "voxel_size", None)
    (cell,), _ = chosen_cells(
        folder / image if image else None,
        text(row, "membrane_channel") or None,
        text(row, "dna_channel") or None,
        folder / needed(row, "cell_segmentation"),
        folder / needed(row, "nucleus_segmentation"),
        text(row, "label") or None,
        None if spacing is None else _micrometres(spacing),
        text(row, "structure_channel") or None,
    )
    return cell


def _micrometres(value: Any) -> tuple[float, float, float]:
    from napari_integrated_cell.cell import checked_voxel_size

    return checked_voxel_size((value,) * 3 if isinstance(value, int | float) else value)


def _stage(row: Row) -> str:
    given = text(row, "simulated_stage") or text(row, "stage") or text(row, "cell_stage")
    meant = [s.name for s in STAGES if s.dataset_code == given]
    return meant[0] if len(meant) == 1 else given


def _structure(row: Row) -> str:
    written = text(row, "structure_name") or text(row, "structure")
    try:
        return structure(written).name if written else ""
    except ValueError:
        return written


def columns_of(cells: Sequence[ListedCell]) -> pd.DataFrame:
    """All that a table says of its cells but where their files lie, as numbers where it says numbers."""
    import pandas as pd

    said = pd.DataFrame([dict(cell.row) for cell in cells])
    for name in said:
        values = said[name].map(lambda value: text({"it": value}, "it") or None)
        numbers = pd.to_numeric(values, errors="coerce")
        said[name] = numbers if (numbers.notna() == values.notna()).all() else values
    return said.drop(columns=[name for name in said if name in _FILES or said[name].isna().all()])


def embedded_table(
    path: Path,
    model: IntegratedCell,
    *,
    on_left_out: Callable[[str, str], None] = lambda name, reason: None,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Population:
    """The cells of a table in a model's latent spaces, with all that the table says of them.

    Raises
    ------
    ValueError
        If it is no table of cells, or not one of them can be embedded.
    OSError
        If there is no such file.
    """
    from napari_integrated_cell.latent.embedding import embed_cells
    from napari_integrated_cell.latent.population import ROW

    listed = listed_cells(path)
    found = embed_cells(listed, model, on_left_out=on_left_out, cancel=cancel, progress=progress)
    said = columns_of(listed).iloc[found.table[ROW]].reset_index(drop=True)
    more = [name for name in said if name not in found.table]
    return replace(found, table=found.table.join(said[more]), name=path.name, source=str(path.resolve()))
