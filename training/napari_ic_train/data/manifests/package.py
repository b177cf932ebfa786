"""The older package of posed cells: one file a cell, six channels, turned and scaled already."""

from __future__ import annotations

from pathlib import Path

from napari_ic_train.data.manifests.entry import (
    Entry,
    Format,
    Plane,
    Row,
    literal,
    micrometres,
    needed,
    stage_of_code,
    structure_name,
    text,
    under,
)

VOXEL_SIZE = 0.317
"""Of the posed images, µm (section 3.1)."""

CHANNELS = {"ch_seg_nuc": 0, "ch_seg_cell": 1, "ch_dna": 2, "ch_memb": 3, "ch_struct": 4}
"""Where each channel usually lies; the manifest's columns of these names say otherwise."""

STRUCTURES = ("StructureId/Name", "StructureName", "StructureId", "ProteinDisplayName", "Gene")
"""Columns that may say what the structure is; the first one there counts."""


def package_entry(row: Row, folder: Path) -> Entry:
    """One row of the posed package: ``save_reg_path`` is (C, Z, Y, X), posed as section 3.1 does."""
    path = under(folder, needed(row, "save_reg_path"))
    planes = {column: Plane(path, (_index(row, column),)) for column in CHANNELS}
    shown = next((text(row, column) for column in STRUCTURES if text(row, column)), "")
    if not shown:
        raise ValueError(f"None of the columns {', '.join(STRUCTURES)} says what the structure is.")
    code = text(row, "cell_stage")
    return Entry(
        cell_id=needed(row, "CellId"),
        structure=structure_name(shown),
        images={
            "membrane": planes["ch_memb"],
            "dna": planes["ch_dna"],
            "structure": planes["ch_struct"],
        },
        cell=planes["ch_seg_cell"],
        nucleus=planes["ch_seg_nuc"],
        voxel_size=micrometres(literal(row, "voxel_size", VOXEL_SIZE), "voxel_size"),
        stage=stage_of_code(code),
        stage_code=code or None,
        field=text(row, "FOVId") or None,
        plate=text(row, "PlateId") or None,
        posed=True,
    )


def _index(row: Row, column: str) -> int:
    written = text(row, column)
    if not written:
        return CHANNELS[column]
    try:
        number = float(written)  # tables that went through a data frame say 3.0
    except ValueError:
        number = -1.0
    if number < 0 or number != int(number):
        raise ValueError(f"The column {column!r} holds {written!r}: give a channel's index, from 0.")
    return int(number)


PACKAGE = Format("posed package", ("CellId", "save_reg_path"), package_entry)
