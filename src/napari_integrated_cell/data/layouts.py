"""The four layouts of a table of cells: which columns each has, and how a row becomes an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from napari_integrated_cell.data import rows
from napari_integrated_cell.data.entry import STRUCTURE, Entry, FileChannel
from napari_integrated_cell.data.rows import Row
from napari_integrated_cell.data.stages import stage_named
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE
from napari_integrated_cell.vocabulary import REFERENCE_NAMES, recognise_channel
from napari_integrated_cell.vocabulary import structure as vocabulary_structure

ID = ("CellId", "cell_id")
LABEL = ("cell_label", "label")
STAGE = ("simulated_stage", "stage", "cell_stage")
VOXEL_SIZE = ("voxel_size", "scale_micron")
FIELD = ("FOVId", "field")
PLATE = ("PlateId", "plate")
STRUCTURE_NAME = ("structure_name", "structure")

PACKAGE_STRUCTURE_NAME = (
    *("StructureId/Name", "StructureName", "StructureId", "ProteinDisplayName", "Gene"),
    *STRUCTURE_NAME,
)
PACKAGE_CHANNELS = {"ch_seg_nuc": 0, "ch_seg_cell": 1, "ch_dna": 2, "ch_memb": 3, "ch_struct": 4}
"""Columns with the index of each channel in a file of the posed package, and the index if the column is empty."""
PACKAGE_VOXEL_SIZE = (0.317, 0.317, 0.317)
"""Voxel size of the posed package's images in µm (section 3.1)."""

RAW_CHANNELS = ("dna", "membrane", STRUCTURE)
"""Channels of a ``crop_raw`` file of the public dataset; the file does not name them."""
STRUCTURE_SEGMENTATION = "struct_segmentation"

FILE_COLUMNS = frozenset(
    {
        *ID,
        *LABEL,
        *VOXEL_SIZE,
        *PACKAGE_CHANNELS,
        *("crop_raw", "crop_seg", "name_dict", "roi", "fov_path", "save_reg_path", "image"),
        *("cell_segmentation", "nucleus_segmentation"),
        *("cell_segmentation_channel", "nucleus_segmentation_channel"),
        *("membrane_channel", "dna_channel", "structure_channel"),
    }
)
"""Columns that say how to read a cell. They do not describe the cell."""


@dataclass(frozen=True)
class Layout:
    """One layout of a table of cells.

    Attributes
    ----------
    columns : tuple of str
        The table has this layout if it has all of these columns.
    files : callable
        ``files(row, folder)`` returns the fields of :class:`Entry` that say which files to read. It raises a
        ValueError if the row is faulty.
    structure_columns : tuple of str
        Columns that may name the structure; the first one with a value is used.
    """

    name: str
    columns: tuple[str, ...]
    files: Callable[[Row, Path], dict[str, Any]]
    structure_columns: tuple[str, ...] = STRUCTURE_NAME

    def entry(self, row: Row, folder: Path, name: str) -> Entry:
        """Return what a row says. Paths in it start at ``folder``.

        Raises
        ------
        ValueError
            If the row is faulty.
        """
        return Entry(
            name=name,
            cell_id=rows.text(row, *ID),
            structure=_structure(rows.text(row, *self.structure_columns)),
            label=rows.whole_number(row, *LABEL, least=1),
            stage=_stage(rows.text(row, *STAGE)),
            stage_code=rows.text(row, "cell_stage", "stage"),
            field=rows.text(row, *FIELD),
            plate=rows.text(row, *PLATE),
            outlier=rows.flag(row, "outlier"),
            edge=rows.flag(row, "edge_flag") or rows.flag(row, "edge"),
            **self.files(row, folder),
        )


# Tables of 200,000 rows repeat a few words: looking them up once makes reading ten times as fast.
@cache
def _structure(written: str) -> str:
    """Return the vocabulary's name of a structure, or the text in the table if the vocabulary has none."""
    try:
        return vocabulary_structure(written).name if written else ""
    except ValueError:
        return written


@cache
def _stage(written: str) -> str:
    """Return the vocabulary's stage, or the text in the table if the vocabulary has none."""
    try:
        return stage_named(written) if written else ""
    except ValueError:
        return written


def _package_files(row: Row, folder: Path) -> dict[str, Any]:
    """Return one file (C, Z, Y, X) with two segmentations and three stains, posed as in section 3.1."""
    path = rows.path_in(folder, rows.needed(row, "save_reg_path"))

    def plane(column: str) -> FileChannel:
        index = rows.whole_number(row, column, least=0)
        return FileChannel(path, (PACKAGE_CHANNELS[column] if index is None else index,))

    return {
        "cell": plane("ch_seg_cell"),
        "nucleus": plane("ch_seg_nuc"),
        "images": {"membrane": plane("ch_memb"), "dna": plane("ch_dna"), STRUCTURE: plane("ch_struct")},
        "voxel_size": rows.voxel_size(row, *VOXEL_SIZE) or PACKAGE_VOXEL_SIZE,
        "posed": True,
    }


def _public_files(row: Row, folder: Path) -> dict[str, Any]:
    """Return the two files of a cell in the WTC-11 hiPSC Single-Cell Image Dataset.

    Without ``crop_raw`` a row is still a cell: its references are rendered from the segmentations.
    """
    names = rows.literal(row, "name_dict", {})
    seg = _planes(names, "crop_seg", CROP_SEG_CHANNELS, rows.path_in(folder, rows.needed(row, "crop_seg")))
    raw = rows.text(row, "crop_raw")
    images = _planes(names, "crop_raw", RAW_CHANNELS, rows.path_in(folder, raw)) if raw else {}
    return {
        "cell": _called(seg, "membrane_segmentation"),
        "nucleus": _called(seg, "dna_segmentation"),
        "images": _recognised(images, _structure(rows.text(row, *STRUCTURE_NAME))),
        "structure_segmentation": seg.get(STRUCTURE_SEGMENTATION),
        "voxel_size": rows.voxel_size(row, *reversed(VOXEL_SIZE)) or DATASET_VOXEL_SIZE,
        "simulated": rows.flag(row, "simulated"),
    }


def _planes(names: Any, file: str, default: tuple[str, ...], path: str) -> dict[str, FileChannel]:
    """Return the channels of ``crop_raw`` or ``crop_seg`` by their names in ``name_dict``."""
    given = names.get(file, default) if isinstance(names, dict) else None
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"The column 'name_dict' lists no channels of {file!r}.")
    return {name: FileChannel(path, (index,)) for index, name in enumerate(given)}


def _recognised(images: dict[str, FileChannel], shown: str) -> dict[str, FileChannel]:
    """Return channels by the vocabulary's names; the one that shows the structure is called ``"structure"``."""
    meant = {name: _channel(name) for name in images}
    named = {STRUCTURE if meant[name] == shown else meant[name]: plane for name, plane in images.items()}
    return named | {name: plane for name, plane in images.items() if name in RAW_CHANNELS}


@cache
def _channel(name: str) -> str:
    """Return what a channel shows by the vocabulary's name, or its own name if it is not recognised."""
    return recognise_channel(name) or name


def _called(segmentations: dict[str, FileChannel], name: str) -> FileChannel:
    if name not in segmentations:
        raise ValueError(
            f"The column 'name_dict' has no channel {name!r} of 'crop_seg': {', '.join(segmentations)}."
        )
    return segmentations[name]


def _own_files(row: Row, folder: Path) -> dict[str, Any]:
    """Return the image and the two segmentations of a cell in a user's own table."""
    images: dict[str, FileChannel] = {}
    written = rows.text(row, "image")
    if written:
        image = rows.path_in(folder, written)
        for name in REFERENCE_NAMES:
            channel = rows.text(row, f"{name}_channel")
            images[name] = FileChannel(image, (channel or name,), optional=not channel)
        channel, shown = rows.text(row, "structure_channel"), _structure(rows.text(row, *STRUCTURE_NAME))
        recognised = (shown, STRUCTURE) if shown else (STRUCTURE,)
        images[STRUCTURE] = FileChannel(image, (channel,) if channel else recognised, optional=not channel)
    return {
        "cell": _segmentation(row, "cell_segmentation", folder),
        "nucleus": _segmentation(row, "nucleus_segmentation", folder),
        "images": images,
        "voxel_size": rows.voxel_size(row, *VOXEL_SIZE),
    }


def _segmentation(row: Row, column: str, folder: Path) -> FileChannel:
    channel = rows.text(row, f"{column}_channel")
    return FileChannel(rows.path_in(folder, rows.needed(row, column)), (channel,) if channel else ())


LAYOUTS: tuple[Layout, ...] = (
    Layout("posed package", ("save_reg_path",), _package_files, PACKAGE_STRUCTURE_NAME),
    Layout("simulated cells", ("crop_seg", "simulated", "simulated_stage"), _public_files),
    Layout("public dataset", ("crop_seg",), _public_files),
    Layout(
        "table of your own", ("cell_segmentation", "nucleus_segmentation"), _own_files, STRUCTURE_NAME[::-1]
    ),
)
"""In the order in which they are tried: those with more particular columns first."""
