"""Files that a batch writes for one field: one for each cell, or the cells joined on the grid of the field."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from napari_integrated_cell.batch.cell_row import BatchSettings, OutputError, Row
from napari_integrated_cell.data.field_cells import FieldVolumes
from napari_integrated_cell.imaging.field_canvas import FieldCanvas


class FieldOutput:
    """The files of one field.

    Parameters
    ----------
    out, working : Path
        Folders of results, and of files that are needed while the batch runs.
    name : str
        The name of its files in these folders, without endings; see
        :func:`~napari_integrated_cell.batch.targets.file_names`.
    """

    def __init__(self, out: Path, working: Path, name: str, settings: BatchSettings) -> None:
        self._settings = settings
        self._parts = name
        self._out, self._working = out, working
        self.shape: tuple[int, int, int] | None = None
        self.voxel_size: tuple[float, float, float] | None = None

    @property
    def joined(self) -> Path:
        """The file of the whole field."""
        return self._out / f"{self._parts}.ome.tiff"

    def file_of(self, label: int) -> Path | None:
        """Return the file that a cell is written to; None if it is not written."""
        if self._settings.write == "none":
            return None
        folder = self._out if self._settings.write == "cell" else self._working / "cells"
        return folder / self._parts / f"cell_{label}.ome.tiff"

    def shown(self, row: Row) -> Row:
        """Return a row that names the file in which the cell is at the end."""
        if self._settings.write != "field" or not row.get("file"):
            return row
        return {**row, "file": str(self.joined)}

    def join(self, rows: Sequence[Row], opened: Callable[[], FieldVolumes]) -> bool:
        """Join the cells' files on the grid of the field, and remove them.

        Cells without a file of their own are in the joined file already. Return whether a file was written.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        files = {Path(row["file"]): row for row in rows if Path(row["file"]).is_file()}
        if not files:
            return False
        if self.shape is None or self.voxel_size is None:
            volumes = opened()
            self.shape, self.voxel_size = volumes.shape, volumes.voxel_size
        base = self.joined if len(files) < len(rows) else None
        description = ""
        try:
            self.joined.parent.mkdir(parents=True, exist_ok=True)
            with FieldCanvas(self.shape, self._working, self._settings.dtype) as canvas:
                for file, row in files.items():
                    with tifffile.TiffFile(file) as tiff:
                        volumes_of_cell, description = _channels(tiff)
                    canvas.paste(volumes_of_cell, (row["offset_z"], row["offset_y"], row["offset_x"]))
                canvas.write(self.joined, self.voxel_size, description.split(" This is ")[0], base=base)
            for file in files:
                file.unlink()
        except OSError as error:
            raise OutputError(str(error)) from error
        return True


def _channels(tiff: tifffile.TiffFile) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the channels of a cell's file, and its description."""
    root = ElementTree.fromstring(tiff.ome_metadata or "<OME/>")
    names = [element.get("Name") or "" for element in root.iter() if element.tag.endswith("}Channel")]
    description = next((e.text or "" for e in root.iter() if e.tag.endswith("}Description")), "")
    data = tiff.asarray()
    return dict(zip(names, data.reshape(len(names), *data.shape[-3:]), strict=True)), description
