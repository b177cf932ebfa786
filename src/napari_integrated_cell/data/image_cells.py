"""Read cells from an image and label images: one cell, or every cell of a field."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_integrated_cell.cell import LARGEST_EDGE, SMALLEST_EDGE
from napari_integrated_cell.data.field_cells import CELLS, NUCLEI, FieldCells, FieldVolumes
from napari_integrated_cell.data.stain_checks import refuse_labels
from napari_integrated_cell.imaging.choices import MissingInput, ReadingChoices
from napari_integrated_cell.imaging.reading import Image, read_image, read_label_image
from napari_integrated_cell.imaging.segmenting import segment_field
from napari_integrated_cell.imaging.values import finite
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

__all__ = ["MissingInput", "cells_of_image", "labels_beside"]


_AS_STATED = ReadingChoices()
# Voxel sizes that differ by a larger share are not the same.
_SAME_SIZE = 0.001


def cells_of_image(
    image: Path | None,
    cells: Path | None,
    nuclei: Path | None,
    *,
    label: str | None = None,
    membrane: str | None = None,
    dna: str | None = None,
    structure: str | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    cells_channel: str | None = None,
    nuclei_channel: str | None = None,
    choices: ReadingChoices = _AS_STATED,
    on_note: Callable[[str], None] = lambda note: None,
) -> tuple[FieldCells, tuple[int, int, int]]:
    """Read cells from an image, from label images, or from both.

    The files are read plane by plane, and each cell is cut out when it is taken.

    Parameters
    ----------
    image : Path, optional
        A stack with membrane and DNA channels. Without it, cells have no channels.
    cells, nuclei : Path, optional
        Label images. Without them, the cells are segmented from the stains.
    label : str, optional
        The cell's label, or ``"all"``. May be left out if there is one cell.
    membrane, dna : str, optional
        Name or index of the channel, if it is not recognised.
    structure : str, optional
        Name or index of a further channel to keep, called ``"structure"`` in the cells.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm, if the files do not give it.
    cells_channel, nuclei_channel : str, optional
        Name or index of the channel in a label file of several channels.
    choices : ReadingChoices
        Scene, time point, axes and reader of the image, and of the label images as far as these have several too.
    on_note : callable
        Called with each sentence about what was not read or is not sound in a file.

    Returns
    -------
    cells : FieldCells
        A sequence of cells. A cell that cannot be used raises a ValueError when it is taken.
    shape : tuple of int
        Grid (Z, Y, X) of the image.

    Raises
    ------
    MissingInput
        If something is needed that is not given.
    FileNotFoundError, ValueError
        If a file cannot be read, or there is no such label.
    """
    if image is None and cells is None:
        raise MissingInput("files", "Give an image, or a label image of the cells and one of the nuclei.")
    if cells is not None and nuclei is None:
        raise MissingInput(
            "nuclei", "Give a label image of the nuclei too: a cell is centred on its nucleus."
        )
    channels: dict[str, Any] = {}
    found = ""
    given = voxel_size
    read: list[tuple[Path, Image]] = []
    if image is not None:
        stack = read_image(image, voxel_size=voxel_size, lazy="if large", **asdict(choices))
        for note in stack.notes:
            on_note(note)
        read.append((image, stack))
        voxel_size, found = stack.voxel_size, stack.size_found
        channels = _channels(stack, membrane, dna, structure)
        if cells is None and not set(REFERENCE_NAMES) <= set(channels):
            raise MissingInput(
                "channels",
                f"{image} has the channels {', '.join(stack.channel_names)}, of which membrane and DNA were not both "
                "recognised: name them.",
            )
        if cells is None:
            refuse_labels(channels, str(image))
    if cells is not None and nuclei is not None:
        of_cells = labels_beside(image, cells, cells_channel, choices, lazy="if large", voxel_size=voxel_size)
        of_nuclei = labels_beside(
            image, nuclei, nuclei_channel, choices, lazy="if large", voxel_size=voxel_size
        )
        cell_labels, nucleus_labels = of_cells.data[0], of_nuclei.data[0]
        read += [(cells, of_cells), (nuclei, of_nuclei)]
        for note in (*of_cells.notes, *of_nuclei.notes):
            on_note(note)
        voxel_size, found = voxel_size or of_cells.voxel_size, found or of_cells.size_found
    source = str(image or cells)
    if voxel_size is None:
        raise MissingInput("voxel size", f"{source} {found}: give its voxel size in µm as (Z, Y, X).")
    if given is None and (note := _differing_sizes(read, voxel_size)):
        on_note(note)
    if cells is None:
        for name, volume in channels.items():
            channels[name], note = finite(np.asarray(volume), f"{name} of {Path(source).name}")
            if note:
                on_note(note)
        cell_labels, nucleus_labels = segment_field(channels["membrane"], channels["dna"], voxel_size)
    files = {what: file.name for what, file in ((CELLS, cells), (NUCLEI, nuclei)) if file is not None}
    volumes = FieldVolumes(cell_labels, nucleus_labels, channels, voxel_size, source, files=files)
    return FieldCells(volumes, lambda present: _chosen(label, present), on_note), volumes.shape


def labels_beside(
    image: Path | None,
    labels: Path,
    channel: str | None,
    choices: ReadingChoices,
    *,
    lazy: bool | Literal["if large"] = False,
    voxel_size: tuple[float, float, float] | None = None,
) -> Image:
    """Read a label image with the choices for its image, as far as it has several scenes or times too.

    Its axes may be those of the image without channels. With a voxel size its own is not needed.

    Raises
    ------
    MissingInput, FileNotFoundError, ValueError
        As :func:`~napari_integrated_cell.imaging.reading.read_label_image`.
    """
    given: dict[str, Any] = {"channel": channel, "lazy": lazy, "voxel_size": voxel_size}
    if image is None:
        return read_label_image(labels, **given, **asdict(choices))
    tried = replace(choices, axes=None)
    for _ in range(4):
        try:
            return read_label_image(labels, **given, **asdict(tried))
        except MissingInput as error:
            if error.what == "axes" and tried.axes is None and choices.axes is not None:
                tried = replace(tried, axes=re.sub("C[0-9]*", "", choices.axes.upper()))
            elif error.what == "scene" and tried.scene is not None:
                tried = replace(tried, scene=None)
            elif error.what == "time" and tried.time is not None:
                tried = replace(tried, time=None)
            else:
                raise
    return read_label_image(labels, **given, **asdict(tried))


def _differing_sizes(read: Sequence[tuple[Path, Image]], used: tuple[float, float, float]) -> str:
    """Return a sentence if files state other voxel sizes than the one that is used; empty if none does."""
    differ = [
        any(
            edge is not None
            and SMALLEST_EDGE <= edge <= LARGEST_EDGE
            and abs(edge - other) > _SAME_SIZE * other
            for edge, other in zip(image.stated_size, used, strict=True)
        )
        for _, image in read
    ]
    if not any(differ):
        return ""
    sizes = [(path, _edges(image.stated_size)) for path, image in read]
    said = ", ".join(
        f"{path.name} {size}" for (path, size), other in zip(sizes, differ, strict=True) if other
    )
    first = next((f", of {p.name}," for (p, _), other in zip(sizes, differ, strict=True) if not other), "")
    return f"The files state different voxel sizes (Z, Y, X): {said}. {_edges(used)}{first} is used."


def _edges(size: tuple[float | None, ...]) -> str:
    return " x ".join("?" if edge is None else f"{edge:.4g}" for edge in size) + " µm"


def _channels(stack: Image, membrane: str | None, dna: str | None, structure: str | None) -> dict[str, Any]:
    """Return the channels of an image that are recognised or chosen."""
    channels = {name: volume for name, volume in stack.named().items() if name in REFERENCE_NAMES}
    chosen = {"membrane": membrane, "dna": dna, "structure": structure}
    return channels | {
        name: stack.channel(channel) for name, channel in chosen.items() if channel is not None
    }


def _chosen(label: str | None, present: list[int]) -> list[int]:
    """Return the requested labels."""
    listed = ", ".join(map(str, present))
    if label == "all" or (label is None and len(present) == 1):
        return present
    if label is None:
        raise MissingInput("label", f"The field holds the cells {listed}: choose one, or all.")
    if label.isdecimal() and int(label) in present:
        return [int(label)]
    raise ValueError(f"There is no cell {label}; the field holds {listed}.")
