"""A table of the user's own: one row a cell, the files it is in, and what they show."""

from __future__ import annotations

from pathlib import Path

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
from napari_integrated_cell.vocabulary import STAGES, stage


def plain_entry(row: Row, folder: Path) -> Entry:
    """One row of the user's own table; see docs/preparing.md for its columns."""
    image = under(folder, needed(row, "image"))
    shown = structure_name(needed(row, "structure"))
    reading = literal(row, "voxel_size", None)
    stage_name, code = _stage(text(row, "stage"))
    return Entry(
        cell_id=needed(row, "cell_id"),
        structure=shown,
        images={
            "membrane": _plane(row, "membrane_channel", image, "membrane"),
            "dna": _plane(row, "dna_channel", image, "dna"),
            "structure": Plane(image, (text(row, "structure_channel"),))
            if text(row, "structure_channel")
            else Plane(image, (shown, "structure")),
        },
        cell=_segmentation(row, "cell_segmentation", folder),
        nucleus=_segmentation(row, "nucleus_segmentation", folder),
        label=_label(row),
        voxel_size=None if reading is None else micrometres(reading, "voxel_size"),
        stage=stage_name,
        stage_code=code,
        field=text(row, "field") or None,
        plate=text(row, "plate") or None,
        outlier=flag(row, "outlier"),
        edge=flag(row, "edge"),
    )


def _plane(row: Row, column: str, image: str, meaning: str) -> Plane:
    """A reference channel: the one that is named, or one that is recognised, or none at all."""
    named = text(row, column)
    return Plane(image, (named,)) if named else Plane(image, (meaning,), optional=True)


def _segmentation(row: Row, column: str, folder: Path) -> Plane:
    channel = text(row, f"{column}_channel")
    return Plane(under(folder, needed(row, column)), (channel,) if channel else ())


def _label(row: Row) -> int | None:
    written = text(row, "cell_label")
    if not written:
        return None
    try:
        number = float(written)
    except ValueError:
        number = 0.0
    if number < 1 or number != int(number):
        raise ValueError(f"The column 'cell_label' holds {written!r}: give a whole number from 1 upwards.")
    return int(number)


def _stage(written: str) -> tuple[str | None, str | None]:
    """One of the eight stages, or a code of the public dataset."""
    if not written:
        return None, None
    if any(written == known.dataset_code for known in STAGES) or written.startswith("M6M7"):
        return stage_of_code(written), written
    return stage(written).name, written


PLAIN = Format(
    "table of one's own",
    ("cell_id", "image", "structure", "cell_segmentation", "nucleus_segmentation"),
    plain_entry,
    cell_id="cell_id",
    field="field",
    plate="plate",
)
