"""Turn a table's entry into a posed image and a row of the store's table (section 3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_ic_train.data.recipe import Recipe
from napari_ic_train.data.splits import SHAPE, fraction_of, split_of
from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.data.entry import STRUCTURE, Entry
from napari_integrated_cell.data.entry_cell import pose_in_box, read_entry
from napari_integrated_cell.imaging.pose import Pose, posed_channels
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

CHANNELS = (*REFERENCE_NAMES, STRUCTURE)


def posed_entry(entry: Entry, recipe: Recipe) -> tuple[Floats, dict[str, Any]]:
    """Read, pose, normalise and mask the cell of an entry.

    Returns
    -------
    image : array, (3, Z, Y, X) float32 in [0, 1]
        Membrane, DNA, structure. The last is zero if the entry has no structure.
    row : dict
        For the store's table: what the cell is, its side of the split, its pose and its measures.

    Raises
    ------
    OSError, ValueError
        If its files cannot be read, make no cell, or one of the channels shows nothing.
    """
    stained = recipe.references == "stain" or (
        recipe.references == "mixed" and fraction_of(entry.cell_id, recipe.seed + 1) < 0.5
    )
    shown = CHANNELS if entry.structure else REFERENCE_NAMES
    wanted = shown if stained else shown[len(REFERENCE_NAMES) :]
    cell = read_entry(entry, wanted, structure_needed=bool(entry.structure))
    pose = pose_in_box(cell, recipe.box)
    image = np.zeros((len(CHANNELS), *recipe.box.shape), np.float32)
    image[: len(shown)] = posed_channels(cell, shown, pose)
    for name, volume in zip(shown, image, strict=False):
        if not volume.any():
            raise ValueError(
                f"Its {name} channel shows nothing above the background inside the cell and the box."
            )
    stains = [name for name in REFERENCE_NAMES if name in cell.channels]
    said = {
        "CellId": entry.cell_id,
        "structure": entry.structure or None,
        "stage": entry.stage or None,
        "cell_stage": entry.stage_code or None,
        "field": entry.field or entry.cell_id,
        "plate": entry.plate,
        "split": split_of(recipe.group_of(entry), recipe.seed, recipe.test_fraction)
        if entry.structure
        else SHAPE,
        "outlier": entry.outlier,
        "edge": entry.edge,
        "references": {0: "segmentation", len(REFERENCE_NAMES): "stain"}.get(len(stains), ", ".join(stains)),
        "structure_image": _structure_image(entry),
        "path": entry.path,
    }
    return image, {**said, **measured(cell, pose)}


def _structure_image(entry: Entry) -> str | None:
    if not entry.structure:
        return None
    return "segmentation" if entry.structure_segmented else "stain"


def measured(cell: Cell, pose: Pose) -> dict[str, Any]:
    """Return the cell's volumes in µm³, and all fields of its pose."""
    along_axes = {
        f"{name}_{axis}": value
        for name, values in (("extent", pose.extent), ("overhang", pose.overhang))
        for axis, value in zip("zyx", values, strict=True)
    }
    return {
        "cell_volume": cell.volume,
        "nucleus_volume": cell.nucleus_volume,
        "angle": pose.angle,
        "flip_y": pose.flips[0],
        "flip_x": pose.flips[1],
        "flip_margin_y": pose.flip_margins[0],
        "flip_margin_x": pose.flip_margins[1],
        "elongation": pose.elongation,
        "outside": pose.outside,
        **along_axes,
        "nucleus_gap": pose.nucleus_gap,
        "to_box": pose.to_box.ravel().tolist(),
    }
