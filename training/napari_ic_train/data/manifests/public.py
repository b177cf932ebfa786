"""The public dataset's manifest, and the simulator's, which is laid out like it and knows the true stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_ic_train.data.manifests.entry import (
    Entry,
    Format,
    Plane,
    Row,
    flag,
    literal,
    micrometres,
    needed,
    stage_of_code,
    structure_name,
    text,
    under,
)
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE
from napari_integrated_cell.vocabulary import stage

RAW_CHANNELS = ("dna", "membrane", "structure")
STRUCTURE_SEGMENTATION = "struct_segmentation"


def public_entry(row: Row, folder: Path) -> Entry:
    """One row of the WTC-11 hiPSC Single-Cell Image Dataset.

    A row without ``crop_raw`` still is a cell: its references are rendered from the segmentations and its
    structure's segmentation stands for the structure's image.
    """
    names = literal(row, "name_dict", {})
    seg = _planes(names, "crop_seg", CROP_SEG_CHANNELS, under(folder, needed(row, "crop_seg")))
    crop_raw = text(row, "crop_raw")
    if crop_raw:
        images = _planes(names, "crop_raw", RAW_CHANNELS, under(folder, crop_raw))
        images = {name: _called(images, name, "crop_raw") for name in ("membrane", "dna", "structure")}
    else:
        images = {"structure": _called(seg, STRUCTURE_SEGMENTATION, "crop_seg")}
    code = text(row, "cell_stage")
    return Entry(
        cell_id=needed(row, "CellId"),
        structure=structure_name(needed(row, "structure_name")),
        images=images,
        cell=_called(seg, "membrane_segmentation", "crop_seg"),
        nucleus=_called(seg, "dna_segmentation", "crop_seg"),
        voxel_size=micrometres(literal(row, "scale_micron", DATASET_VOXEL_SIZE), "scale_micron"),
        stage=stage_of_code(code),
        stage_code=code or None,
        field=text(row, "FOVId") or None,
        plate=text(row, "PlateId") or None,
        outlier=flag(row, "outlier"),
        edge=flag(row, "edge_flag"),
        structure_segmented=not crop_raw,
    )


def simulated_entry(row: Row, folder: Path) -> Entry:
    """One row of a simulated dataset."""
    true_stage = text(row, "simulated_stage")
    entry = replace(public_entry(row, folder), simulated=flag(row, "simulated"))
    return replace(entry, stage=stage(true_stage).name) if true_stage else entry


def _planes(names: Any, file: str, default: tuple[str, ...], path: str) -> dict[str, Plane]:
    """The channels of ``crop_raw`` or ``crop_seg`` by what ``name_dict`` calls them: the file names none."""
    given = names.get(file, default) if isinstance(names, dict) else None
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"The column 'name_dict' lists no channels of {file!r}.")
    return {name: Plane(path, (index,)) for index, name in enumerate(given)}


def _called(planes: dict[str, Plane], name: str, file: str) -> Plane:
    if name not in planes:
        raise ValueError(f"The column 'name_dict' has no channel {name!r} of {file!r}: {', '.join(planes)}.")
    return planes[name]


PUBLIC = Format("public dataset", ("CellId", "crop_seg", "structure_name"), public_entry)
SIMULATED = Format("simulated dataset", (*PUBLIC.columns, "simulated", "simulated_stage"), simulated_entry)
