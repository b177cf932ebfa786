"""Read cells from an image and label images: one cell, or every cell of a field."""

from __future__ import annotations

from pathlib import Path

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.reading import read_image, read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values, segment_field
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

__all__ = ["MissingInput", "cells_of_image"]


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
) -> tuple[list[Cell], tuple[int, int, int]]:
    """Read cells from an image, from label images, or from both.

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

    Returns
    -------
    cells : list of Cell
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
    channels = {}
    if image is not None:
        stack = read_image(image, voxel_size=voxel_size)
        voxel_size = stack.voxel_size
        channels = {name: volume for name, volume in stack.named().items() if name in REFERENCE_NAMES}
        chosen = {"membrane": membrane, "dna": dna, "structure": structure}
        channels |= {name: stack.channel(channel) for name, channel in chosen.items() if channel is not None}
        if cells is None and not set(REFERENCE_NAMES) <= set(channels):
            raise MissingInput(
                "channels",
                f"{image} has the channels {', '.join(stack.channel_names)}, of which membrane and DNA were not both "
                "recognised: name them.",
            )
    if cells is not None and nuclei is not None:
        cell_labels, labels_voxel_size = read_labels(cells)
        nucleus_labels, _ = read_labels(nuclei)
        voxel_size = voxel_size or labels_voxel_size
    source = str(image or cells)
    if voxel_size is None:
        raise MissingInput(
            "voxel size", f"{source} does not give its voxel size: give it in µm as (Z, Y, X)."
        )
    if cells is None:
        cell_labels, nucleus_labels = segment_field(channels["membrane"], channels["dna"], voxel_size)
    z, y, x = cell_labels.shape
    return [
        cell_from_labels(
            cell_labels, value, nucleus_labels, channels, voxel_size, name=f"cell {value}", source=source
        )
        for value in _chosen(label, label_values(cell_labels))
    ], (z, y, x)


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
