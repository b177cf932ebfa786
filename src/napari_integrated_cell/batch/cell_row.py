"""One cell of a batch: read it, integrate it, write it, and describe it in one row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.data.entry import STRUCTURE, Entry
from napari_integrated_cell.data.entry_cell import pose_in_box
from napari_integrated_cell.data.field_cells import FieldVolumes
from napari_integrated_cell.data.field_survey import CellPlace
from napari_integrated_cell.imaging.doubts import warnings_of
from napari_integrated_cell.imaging.frame import Pose, shape_of
from napari_integrated_cell.imaging.pose import posed_references
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import (
    FileType,
    Integration,
    integrate_cell,
    model_box,
    quantised_volumes,
    to_cell_image,
    typicality_of,
)
from napari_integrated_cell.latent.recognition import recognise_cell

if TYPE_CHECKING:
    from napari_integrated_cell.arrays import Floats
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.typicality import Typicality

Row = dict[str, Any]
Write = Literal["cell", "field", "none"]

OK, FAILED = "ok", "failed"
SPREAD_OF = "relative_spread_"
"""How the names of the columns begin that hold the structures' spreads over the four flips."""


class OutputError(OSError):
    """A result cannot be written. The other cells would fail for the same reason."""


@dataclass(frozen=True)
class BatchSettings:
    """How every cell of a batch is integrated.

    Attributes
    ----------
    model : str
        Name or path of the model.
    exact : bool
        Compute layer by layer in float32.
    structures : tuple of str, optional
        All of the model's structures if None.
    write : {"cell", "field", "none"}
    frame : {"image", "model"}
        The grid of the files of single cells.
    dtype : {"uint16", "uint8"}
        Type of the values in the files.
    threads : int, optional
        Threads of torch in each process. None leaves torch's own choice.
    ensemble : bool
        Take the mean over the four flips of each cell. The rows and files have the spreads too.
    """

    model: str
    device: str = "auto"
    structures: tuple[str, ...] | None = None
    write: Write = "cell"
    frame: Literal["image", "model"] = "image"
    dtype: FileType = "uint16"
    threads: int | None = None
    exact: bool = False
    ensemble: bool = False


@dataclass(frozen=True)
class CellTask:
    """One cell to integrate, before it is read.

    Attributes
    ----------
    cell_id : str
        Unique in the batch.
    source : str
        The file that it comes from.
    digest : str
        Of everything that its row depends on.
    file : str
        Where to write its volumes; empty if they are not written.
    place, volumes
        Where it lies in a field, and the field.
    entry : Entry, optional
        Its row of a table.
    structure, stage : str
        What its structure channel shows, and its stage, as far as they are known.
    """

    cell_id: str
    field: str
    label: int | None
    source: str
    digest: str
    file: str = ""
    place: CellPlace | None = None
    volumes: FieldVolumes | None = None
    entry: Entry | None = None
    structure: str = ""
    stage: str = ""

    @property
    def known(self) -> Row:
        """What is known of the cell before it is read."""
        return {
            "cell_id": self.cell_id,
            "source": self.source,
            "field": self.field,
            "label": self.label,
            "structure": self.structure or None,
            "stage": self.stage or None,
            "digest": self.digest,
        }

    def read(self) -> Cell:
        """Read the cell.

        Raises
        ------
        ValueError, OSError
            If it cannot be read.
        """
        if self.volumes is not None and self.place is not None:
            return self.volumes.cell_at(self.place)
        if self.entry is None:
            raise ValueError("The task names neither a place in a field nor a row of a table.")
        return self.entry.read()


def rows_of(tasks: Sequence[CellTask], settings: BatchSettings) -> list[Row]:
    """Integrate some cells and return the row of each. Worker processes run this.

    A cell that cannot be integrated becomes a row with the outcome ``"failed"`` and the reason.

    Raises
    ------
    OutputError
        If a result cannot be written.
    """
    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    model = opened_model(settings.model, settings.device, settings.exact)
    return [row_of(task, model, settings) for task in tasks]


def row_of(task: CellTask, model: IntegratedCell, settings: BatchSettings) -> Row:
    """Integrate one cell and return its row."""
    try:
        cell = task.read()
        pose = pose_in_box(cell, model_box(model.config))
        row = {**task.known, **shape_row(cell, pose), "outcome": OK, "reason": ""}
        if settings.write == "none" and not settings.ensemble:
            references = posed_references(cell, pose)
            z_ref = model.encode(references[None])[0]
            row |= typicality_row(typicality_of(cell, pose, references, z_ref, model))
        else:
            integration = integrate_cell(
                cell, model, settings.structures, pose=pose, ensemble=settings.ensemble
            )
            z_ref = integration.z_ref
            row |= typicality_row(integration.typicality)
            row |= spread_row(integration)
            if settings.write != "none":
                write_cell(task, integration, settings)
                row["file"] = task.file
        row |= shape_space_row(z_ref, model)
        if STRUCTURE in cell.channels:
            row |= opinion(cell, pose, model)
        return {name: _plain(value) for name, value in row.items()}
    except OutputError:
        raise
    except Exception as error:  # image readers raise errors of all types: one cell may not stop the others
        return failed_row(task.known, error)


def failed_row(known: Row, error: Exception | str) -> Row:
    """Return the row of a cell, a field or a file that cannot be used."""
    return {**known, "outcome": FAILED, "reason": error if isinstance(error, str) else reason_of(error)}


def reason_of(error: Exception) -> str:
    """Return an error in one line. An error that no reader of ours raises is named as one of the program."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ValueError | OSError | MemoryError):
        return said
    return f"{said} ({type(error).__name__}, an error of the program or of a reader: please report it)"


def shape_row(cell: Cell, pose: Pose) -> Row:
    """Return the columns of a cell's pose, shape and warnings."""
    return {
        "cell": cell.name,
        "angle_degrees": round(float(pose.angle), 3),
        "flip_y": bool(pose.flips[0]),
        "flip_x": bool(pose.flips[1]),
        "outside_box": round(float(pose.outside), 5),
        **{name: round(float(value), 4) for name, value in shape_of(cell, pose).items()},
        **{f"offset_{axis}": int(o) for axis, o in zip("zyx", cell.offset, strict=True)},
        "warnings": list(warnings_of(cell, pose)),
    }


def spread_row(integration: Integration) -> Row:
    """Return the column of each structure's relative spread over the four flips; none without the ensemble."""
    spreads = integration.relative_spreads.items()
    return {f"{SPREAD_OF}{name}": round(spread, 5) for name, spread in spreads}


def shape_space_row(z_ref: Floats, model: IntegratedCell) -> Row:
    """Return the columns of a cell's z^r, and the nearest landmark by the distance that landmarks are chosen by."""
    row: Row = {"z_ref": [float(z) for z in z_ref]}
    if model.landmarks:
        distances = [float(np.abs(z_ref - landmark.z_ref).sum()) for landmark in model.landmarks]
        nearest = int(np.argmin(distances))
        row["nearest_stage"] = model.landmarks[nearest].stage
        row["stage_distance"] = round(distances[nearest], 4)
    return row


def typicality_row(typical: Typicality | None) -> Row:
    """Return the columns of where a cell lies among the cells that the model knows."""
    if typical is None:
        return {}
    return {
        "typicality_percentile": round(typical.percentile, 2),
        "typicality_distance": round(typical.distance, 4),
        "cell_overlap": round(typical.cell_overlap, 4),
        "nucleus_overlap": round(typical.nucleus_overlap, 4),
        "unusual_measure": typical.measure or None,
        "unusual_percentile": round(typical.measure_percentile, 2),
        "typical": typical.is_typical,
        "typicality": typical.sentence,
    }


def opinion(cell: Cell, pose: Pose, model: IntegratedCell) -> Row:
    """Return the structure that the classifier takes the cell's structure channel for, or that it is none of them."""
    found = recognise_cell(cell, STRUCTURE, model, pose=pose)
    name, probability = next(iter(found.probabilities.items()))
    return {
        "classified_as": name,
        "classified_probability": round(probability, 5),
        "none_of_these": found.none_of_these,
    }


def write_cell(task: CellTask, integration: Integration, settings: BatchSettings) -> None:
    """Write a cell's volumes on the grid of its crop, or in the model's box. The file says where the crop lies."""
    cell = integration.cell
    in_box = settings.frame == "model"
    volumes = integration.in_box if in_box else to_cell_image(integration)
    where = f" This is {cell.name} of {Path(task.source).name}"
    where += "." if in_box else f": the crop that begins at voxel {cell.offset} (Z, Y, X) of that image."
    path = Path(task.file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_ome_tiff(
            path,
            quantised_volumes(volumes, settings.dtype),
            volumes.voxel_size,
            description=integration.description_for(settings.dtype) + where,
        )
    except OSError as error:
        raise OutputError(str(error)) from error


def _plain(value: Any) -> Any:
    """Return a value that JSON has: it has neither NaN nor infinity."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


@lru_cache(maxsize=1)
def opened_model(source: str, device: str, exact: bool = False) -> IntegratedCell:
    """Return a model. Each process opens it once."""
    from napari_integrated_cell.model.bundle import load_model

    return load_model(source, device=device, exact=exact)
