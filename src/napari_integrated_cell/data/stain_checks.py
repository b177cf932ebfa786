"""Check that channels are stains with values where the cell is, and that label images are no stains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.labels import looks_like_intensities, looks_like_labels
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

# A cell with more NaN or infinite voxels in a channel is refused.
_MOST_BROKEN = 0.5


def channels_of_labels(channels: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of membrane and DNA channels (Z, Y, X) that hold labels or a mask. A few planes are read."""
    return tuple(
        name for name, volume in channels.items() if name in REFERENCE_NAMES and looks_like_labels(volume)
    )


def refuse_labels(channels: Mapping[str, Any], source: str) -> None:
    """Raise an error if cells are to be segmented from channels that hold labels.

    Raises
    ------
    MissingInput
        If membrane or DNA holds labels or a mask.
    """
    if labels := channels_of_labels(channels):
        some = "channels" if len(labels) > 1 else "channel"
        raise MissingInput(
            "files",
            f"The {some} {' and '.join(labels)} of {source} {'hold' if len(labels) > 1 else 'holds'} labels: give "
            "label images of the cells and of the nuclei, and no labels as stains.",
        )


def refuse_intensities(labels: Any, name: str) -> None:
    """Raise a ValueError if a label image (Z, Y, X) is a stain. ``name`` begins the message; a few planes are read."""
    if looks_like_intensities(labels):
        raise ValueError(
            f"{name} holds intensities, not labels: give a segmentation, with one integer per cell or nucleus."
        )


def with_broken_shares(cell: Cell, raw: Mapping[str, Any]) -> Cell:
    """Return a cell that knows which share of its voxels was NaN or infinite in a channel.

    Parameters
    ----------
    raw : mapping of str to array, (Z, Y, X)
        Channels on the cell's grid before NaN and infinite values were replaced.

    Returns
    -------
    Cell
        Its metadata have the shares above 0 by channel, called ``"broken"``.

    Raises
    ------
    ValueError
        If more than half of the cell's voxels were NaN or infinite in a channel.
    """
    shares = {name: float((~np.isfinite(image[cell.cell_mask])).mean()) for name, image in raw.items()}
    for name, share in shares.items():
        if share > _MOST_BROKEN:
            raise ValueError(
                f"The channel {name} is NaN or infinite in {share:.0%} of the voxels of {cell.name}: give an image "
                "with values there, or leave out the cell."
            )
    broken = {name: share for name, share in shares.items() if share}
    return replace(cell, metadata={**cell.metadata, "broken": broken}) if broken else cell
