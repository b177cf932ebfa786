"""The files of one field, and how they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_integrated_cell.data.entry import Entry, FileChannel
from napari_integrated_cell.data.field_cells import FieldVolumes
from napari_integrated_cell.data.image_cells import labels_beside
from napari_integrated_cell.data.stain_checks import refuse_labels
from napari_integrated_cell.imaging.choices import MissingInput, ReadingChoices
from napari_integrated_cell.imaging.reading import Image, read_image
from napari_integrated_cell.imaging.segmenting import segment_field
from napari_integrated_cell.imaging.values import finite
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.vocabulary import REFERENCE_NAMES


@dataclass(frozen=True)
class FieldFiles:
    """One field: its segmentations and its images.

    Attributes
    ----------
    name : str
        Unique in a batch. It may have folders: ``"day 1/field3"``.
    cells, nuclei : FileChannel, optional
        The segmentations. Without them, the cells are segmented from membrane and DNA.
    images : mapping of str to FileChannel
        ``"membrane"``, ``"dna"`` and ``"structure"``, as far as there are images of them.
    structure : str
        What the structure channel shows, by the vocabulary's name; may be empty.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm. None: the files' own.
    entries : mapping of int to Entry
        The rows of a table that name cells of this field, by label. Empty: all cells of the field.
    reading : ReadingChoices
        Scene, time point, axes and reader of the images, and of the label images as far as these have several too.
    """

    name: str
    cells: FileChannel | None
    nuclei: FileChannel | None
    images: Mapping[str, FileChannel] = field(default_factory=dict)
    structure: str = ""
    voxel_size: tuple[float, float, float] | None = None
    entries: Mapping[int, Entry] = field(default_factory=dict)
    reading: ReadingChoices = field(default_factory=ReadingChoices)

    @property
    def planes(self) -> tuple[FileChannel, ...]:
        """All channels of files that are read."""
        segmentations = (plane for plane in (self.cells, self.nuclei) if plane is not None)
        return (*self.images.values(), *segmentations)

    @property
    def paths(self) -> tuple[str, ...]:
        """All files of the field."""
        return tuple(dict.fromkeys(plane.path for plane in self.planes))

    @property
    def source(self) -> str:
        """The file that its cells come from: the image, or else the segmentation of the cells."""
        return self.paths[0]

    def volumes(self, segmented: Path) -> FieldVolumes:
        """Return the field's volumes, lazily.

        Parameters
        ----------
        segmented : Path
            Where the segmentations of a field without label images are written, and found again.

        Raises
        ------
        FileNotFoundError, ValueError
            If a file cannot be used.
        """
        images = {
            path: read_image(path, lazy=True, **asdict(self.reading))
            for path in {p.path for p in self.images.values()}
        }
        channels: dict[str, Any] = {}
        for name, plane in self.images.items():
            image = images[plane.path]
            if not plane.names and len(image.data) != 1:
                raise MissingInput("channels", f"{plane.path} has several channels: say which shows {name}.")
            found = plane.first_in(image) if plane.names else image.data[0]
            if found is not None:
                channels[name] = found
        voxel_size = self.voxel_size or next((i.voxel_size for i in images.values() if i.voxel_size), None)
        if self.cells is None or self.nuclei is None:
            cells, nuclei = self._segmented(segmented, channels, voxel_size)
        else:
            cells, nuclei = self.cells, self.nuclei
        cell_labels, nucleus_labels = (self._labels(plane) for plane in (cells, nuclei))
        voxel_size = voxel_size or cell_labels.voxel_size
        if voxel_size is None:
            raise MissingInput(
                "voxel size", f"{self.source} does not give its voxel size: give it in µm as (Z, Y, X)."
            )
        return FieldVolumes(cell_labels.data[0], nucleus_labels.data[0], channels, voxel_size, self.source)

    def _labels(self, plane: FileChannel) -> Image:
        image = Path(next(iter(self.images.values())).path) if self.images else None
        channel = None if not plane.names else str(plane.names[0])
        return labels_beside(image, Path(plane.path), channel, self.reading, lazy=True)

    def is_segmented(self, place: Path) -> bool:
        """Return whether the segmentations of a field without label images were written before."""
        return all(file.is_file() for file in self.segmentations(place).values())

    def segmentations(self, place: Path) -> dict[str, Path]:
        """Return the files for the segmentations of a field without label images, of cells and nuclei."""
        return {what: place / f"{self.name}_{what}.ome.tiff" for what in ("cells", "nuclei")}

    def _segmented(
        self, place: Path, channels: Mapping[str, Any], voxel_size: tuple[float, float, float] | None
    ) -> tuple[FileChannel, FileChannel]:
        """Return the files of the field's segmentations; segment the field first if there are none yet."""
        missing = [name for name in REFERENCE_NAMES if name not in channels]
        if missing:
            raise MissingInput("channels", f"{self.source} has no channel that shows {' or '.join(missing)}.")
        files = self.segmentations(place)
        if not self.is_segmented(place):
            if voxel_size is None:
                raise MissingInput(
                    "voxel size", f"{self.source} does not give its voxel size: give it in µm as (Z, Y, X)."
                )
            refuse_labels(channels, self.source)
            membrane, dna = (
                finite(np.asarray(channels[name]), f"{name} of {Path(self.source).name}")[0]
                for name in REFERENCE_NAMES
            )
            for file, labels in zip(files.values(), segment_field(membrane, dna, voxel_size), strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_ome_tiff(file, {"labels": labels}, voxel_size)
        return FileChannel(str(files["cells"])), FileChannel(str(files["nuclei"]))
