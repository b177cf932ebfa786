"""A manifest's entry becomes a cell: its files are read, each once, and the right channels taken out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.data.manifests.entry import Entry, Plane
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.reading import Image, read_image
from napari_integrated_cell.imaging.segmenting import cell_from_labels
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

STRUCTURE = "structure"


def read_cell(entry: Entry, references: Literal["stain", "segmentation"] = "stain") -> Cell:
    """The cell that an entry describes.

    Parameters
    ----------
    entry : Entry
    references : {"stain", "segmentation"}
        Leave the stains out to have the references rendered from the segmentations.

    Returns
    -------
    Cell
        Its structure's channel is called ``"structure"``.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or damaged, a channel is not there, or the masks make no cell.
    """
    wanted = {
        name: plane
        for name, plane in entry.images.items()
        if references == "stain" or name not in REFERENCE_NAMES
    }
    planes = (*wanted.values(), entry.cell, entry.nucleus)
    files = {path: read_image(path) for path in dict.fromkeys(plane.path for plane in planes)}
    found = {name: _volume(files[plane.path], plane) for name, plane in wanted.items()}
    channels = {name: volume for name, volume in found.items() if volume is not None}
    cells, nuclei = (_segmentation(files[plane.path], plane) for plane in (entry.cell, entry.nucleus))
    # The segmentation's own voxel size counts where the entry gives none and the image neither.
    sizes = (entry.voxel_size, *(file.voxel_size for file in files.values()))
    voxel_size: Any = next((size for size in sizes if size is not None), None)
    name = f"cell {entry.cell_id}"
    if entry.label is not None:
        return cell_from_labels(
            cells, entry.label, nuclei, channels, voxel_size, name=name, source=entry.path
        )
    return Cell(
        channels,
        _one(cells, "cell", half=entry.posed),
        _one(nuclei, "nucleus", half=entry.posed),
        voxel_size,
        name=name,
        source=entry.path,
    )


def _volume(image: Image, plane: Plane) -> NDArray[Any] | None:
    """The first of a plane's channels that the file has; None where it may do without."""
    if not plane.names:
        if len(image.data) != 1:
            raise ValueError(
                f"{plane.path} has {len(image.data)} channels ({', '.join(image.channel_names)}): say which."
            )
        return image.data[0]
    for choice in plane.names[:-1]:
        try:
            return image.channel(choice)
        except ValueError:
            continue
    try:
        return image.channel(plane.names[-1])
    except ValueError:
        if plane.optional:
            return None
        raise


def _segmentation(image: Image, plane: Plane) -> NDArray[Any]:
    volume = _volume(image, plane)
    if volume is None or not np.isfinite(volume).all():
        raise ValueError(f"The segmentation {plane.path} holds NaN or infinite values.")
    return volume


def _one(labels: NDArray[Any], what: str, *, half: bool) -> NDArray[np.bool_]:
    """The mask of the one cell there is.

    ``half``: a mask that was interpolated when it was posed is cut at half its height.
    """
    if half:
        return labels > labels.max() / 2
    inside = labels[labels > 0]
    if inside.size and inside.min() != inside.max():
        raise ValueError(
            f"The {what} segmentation holds {len(np.unique(inside))} labels: say which is the cell's in a "
            "column cell_label."
        )
    return labels > 0
