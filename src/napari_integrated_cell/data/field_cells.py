"""The cells of a field, each read from its part of the field when it is asked for."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.data.field_survey import MARGIN, CellPlace, FieldSurvey
from napari_integrated_cell.data.stain_checks import (
    channels_of_labels,
    refuse_intensities,
    with_broken_shares,
)
from napari_integrated_cell.imaging.cropping import read_part
from napari_integrated_cell.imaging.segmenting import cell_from_labels
from napari_integrated_cell.imaging.values import finite, replacement

IN_MEMORY = 256 << 20
"""A field of at most this many bytes is held in memory. The planes of a larger one are kept in a file."""

CELLS, NUCLEI = "cells", "nuclei"


@dataclass(frozen=True, eq=False)
class FieldVolumes:
    """The segmentations and the channels of a field, (Z, Y, X) each: arrays in memory, in files, or lazy.

    Attributes
    ----------
    voxel_size : tuple of float
        (Z, Y, X) in µm.
    source : str
        The file that the cells come from.
    not_stains : tuple of str
        Channels that are left out because they hold labels.
    broken : mapping of str to array
        The channels with NaN or infinite values, as they were before these were replaced.
    files : mapping of str to str
        Names of the files of the ``"cells"`` and the ``"nuclei"``, for messages.
    """

    cells: Any
    nuclei: Any
    channels: Mapping[str, Any]
    voxel_size: tuple[float, float, float]
    source: str = ""
    not_stains: tuple[str, ...] = ()
    broken: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.cells.shape) != 3:
            raise ValueError(f"The cell labels have shape {self.cells.shape}: give a volume (Z, Y, X).")
        for what, volume in {"nucleus labels": self.nuclei, **self.channels}.items():
            if tuple(volume.shape) != self.shape:
                raise ValueError(
                    f"The cell labels have shape {self.shape} but the {what} {tuple(volume.shape)}: give both on one "
                    "(Z, Y, X) grid."
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid (Z, Y, X) of the field."""
        z, y, x = self.cells.shape
        return int(z), int(y), int(x)

    @property
    def nbytes(self) -> int:
        """Bytes of all volumes."""
        return sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in self._all.values())

    @property
    def _all(self) -> dict[str, Any]:
        return {
            CELLS: self.cells,
            NUCLEI: self.nuclei,
            **{_channel(n): v for n, v in self.channels.items()},
        }

    def surveyed(
        self,
        keep_in: Path | None = None,
        on_note: Callable[[str], None] = lambda note: None,
        *,
        in_memory: int = IN_MEMORY,
    ) -> tuple[FieldSurvey, FieldVolumes]:
        """Read the field plane by plane; return the survey of its labels, and the field as it is cheap to cut from.

        Every plane is read once. A small field is then in memory. Of a larger one, the planes are written to files.

        Parameters
        ----------
        keep_in : Path, optional
            Where to write the files. They take :attr:`nbytes`. By default they vanish with the result.
        on_note : callable, optional
            Called with a sentence about the values of each channel; empty if they are sound.
        in_memory : int
            Bytes up to which a field is small.

        Raises
        ------
        OSError
            If the files cannot be written.
        ValueError
            If a file is damaged, a channel shows nothing, or the cells or nuclei are a stain and no labels.
        """
        if not_stains := channels_of_labels(self.channels):
            stains = {name: volume for name, volume in self.channels.items() if name not in not_stains}
            for name in not_stains:
                on_note(f"The channel {self._called(name)} holds labels, not a stain: it is not used.")
            return replace(self, channels=stains, not_stains=not_stains).surveyed(
                keep_in, on_note, in_memory=in_memory
            )
        for what, labels in ((CELLS, self.cells), (NUCLEI, self.nuclei)):
            refuse_intensities(labels, self.files.get(what, f"The label image of the {what}"))
        survey = FieldSurvey(self.shape)
        volumes = self._all
        broken: dict[str, Any] = {}
        if self.nbytes <= in_memory:
            volumes = {name: np.asarray(volume) for name, volume in volumes.items()}
            for name in self.channels:
                sound, note = finite(volumes[_channel(name)], self._called(name))
                if note:
                    broken[name] = volumes[_channel(name)]
                volumes[_channel(name)] = sound
                on_note(note)
            for z in range(self.shape[0]):
                survey.add(z, volumes[CELLS][z], volumes[NUCLEI][z])
            return survey, self._with(volumes, broken)
        folder = Path(keep_in or tempfile.mkdtemp(prefix="napari-ic-"))
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: PlaneFile.beside(folder, i, volume) for i, (name, volume) in enumerate(volumes.items())}
        for z in range(self.shape[0]):
            planes = {name: np.asarray(volume[z]) for name, volume in volumes.items()}
            survey.add(z, planes[CELLS], planes[NUCLEI])
            for name, plane in planes.items():
                kept[name].append(plane)
        for name in self.channels:
            value, note = replacement(kept[_channel(name)], self._called(name))
            if note:
                broken[name] = kept[_channel(name)]
            kept[_channel(name)] = replace(kept[_channel(name)], in_place_of_nan=value)
            on_note(note)
        found = self._with(kept, broken)
        if keep_in is None:
            weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
        return survey, found

    def cell_at(self, place: CellPlace) -> Cell:
        """Read one cell.

        Returns
        -------
        Cell
            As :func:`~napari_integrated_cell.imaging.segmenting.cell_from_labels` cuts it out of the whole field.

        Raises
        ------
        ValueError
            As that function.
        """
        cells, nuclei = (read_part(volume, place.window) for volume in (self.cells, self.nuclei))
        cell = cell_from_labels(
            cells,
            place.label,
            nuclei,
            {name: read_part(volume, place.window) for name, volume in self.channels.items()},
            self.voxel_size,
            margin=MARGIN,
            name=f"cell {place.label}",
            source=self.source,
        )
        z, y, x = (o + w.start for o, w in zip(cell.offset, place.window, strict=True))
        cell = replace(cell, offset=(z, y, x))
        if self.not_stains:
            cell = replace(cell, metadata={**cell.metadata, "not_stains": self.not_stains})
        a, b, c = (slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
        return with_broken_shares(
            cell, {name: read_part(raw, (a, b, c)) for name, raw in self.broken.items()}
        )

    def _with(self, volumes: Mapping[str, Any], broken: Mapping[str, Any]) -> FieldVolumes:
        channels = {name: volumes[_channel(name)] for name in self.channels}
        return replace(self, cells=volumes[CELLS], nuclei=volumes[NUCLEI], channels=channels, broken=broken)

    def _called(self, channel: str) -> str:
        return f"{channel} of {Path(self.source).name}"


def _channel(name: str) -> str:
    return f"channel {name}"


@dataclass(frozen=True)
class PlaneFile:
    """A volume (Z, Y, X) in a file of raw planes. It is opened for each part that is read.

    NaN and infinite values are read as ``in_place_of_nan``.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_place_of_nan: Any = None

    @classmethod
    def beside(cls, folder: Path, number: int, volume: Any) -> PlaneFile:
        """Return an empty file in a folder, for a volume of this shape and type."""
        path = folder / f"{number}.planes"
        path.write_bytes(b"")
        return cls(str(path), tuple(volume.shape), np.dtype(volume.dtype))

    def append(self, plane: NDArray[Any]) -> None:
        """Write the next plane (Y, X)."""
        with open(self.path, "ab") as file:
            file.write(np.ascontiguousarray(plane, self.dtype).tobytes())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, window: Any) -> NDArray[Any]:
        # A map that stays open counts as memory of this process, plane after plane.
        part = np.array(np.memmap(self.path, self.dtype, "r", shape=self.shape)[window])
        value = self.in_place_of_nan
        return part if value is None else np.where(np.isfinite(part), part, value)


class FieldCells(Sequence[Cell]):
    """Cells of a field. Each is read when it is taken, and not kept.

    Parameters
    ----------
    labels : callable
        Takes all labels of the field, in order, and returns those of the cells that are wanted.
    on_note : callable, optional
        Called with each sentence about values that are not sound.

    Attributes
    ----------
    shape : tuple of int
        Grid (Z, Y, X) of the field.
    """

    def __init__(
        self,
        volumes: FieldVolumes,
        labels: Callable[[list[int]], list[int]],
        on_note: Callable[[str], None] = lambda note: None,
    ) -> None:
        survey, near = volumes.surveyed(on_note=lambda note: on_note(note) if note else None)
        self.shape = volumes.shape
        self._volumes = near
        self.places = [survey.place(label, volumes.voxel_size) for label in labels(survey.labels)]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> list[Cell]: ...
    def __getitem__(self, index: int | slice) -> Cell | list[Cell]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._volumes.cell_at(self.places[index])

    def name(self, index: int) -> str:
        """Return a cell's name without reading it."""
        return f"cell {self.places[index].label}"
