"""One manifest entry as a posed image and as the row that the store's table keeps of it (section 3.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.data.manifests import Entry
from napari_ic_train.data.recipe import Recipe
from napari_ic_train.data.segmented import STRUCTURE, read_cell
from napari_ic_train.data.splits import fraction_of, split_of
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.footprint import fit_in_box, footprint_of
from napari_integrated_cell.imaging.pose import Box, Pose, pose_of, posed_references, posed_structure
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

CHANNELS = (*REFERENCE_NAMES, STRUCTURE)


def posed_entry(entry: Entry, recipe: Recipe) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """A manifest's entry, read, posed, normalised and masked.

    Returns
    -------
    image : array, (3, Z, Y, X) float32 in [0, 1]
        Membrane, DNA, structure.
    row : dict
        What the store's table keeps: what the cell is, which side of the split it is on, its pose, and
        everything measured on the way.

    Raises
    ------
    OSError, ValueError
        If its files cannot be read, make no cell, or show nothing in one of the channels.
    """
    stained = recipe.references == "stain" or (
        recipe.references == "mixed" and fraction_of(entry.cell_id, recipe.seed + 1) < 0.5
    )
    cell = read_cell(entry, "stain" if stained else "segmentation")
    pose = as_it_lies(cell, recipe.box) if entry.posed else pose_of(cell, recipe.box)
    image = np.concatenate([posed_references(cell, pose), posed_structure(cell, STRUCTURE, pose)[None]])
    for name, volume in zip(CHANNELS, image, strict=True):
        if not volume.any():
            raise ValueError(
                f"Its {name} channel shows nothing above background within the cell and the box."
            )
    stains = [name for name in REFERENCE_NAMES if name in cell.channels]
    said = {
        "CellId": entry.cell_id,
        "structure": entry.structure,
        "stage": entry.stage,
        "cell_stage": entry.stage_code,
        "field": entry.field or entry.cell_id,
        "plate": entry.plate or "",
        "split": split_of(recipe.group_of(entry), recipe.seed, recipe.test_fraction),
        "outlier": entry.outlier,
        "edge": entry.edge,
        "references": {0: "segmentation", len(REFERENCE_NAMES): "stain"}.get(len(stains), ", ".join(stains)),
        "structure_image": "segmentation" if entry.structure_segmented else "stain",
        "path": entry.path,
    }
    return image, {**said, **measured(cell, pose)}


def measured(cell: Cell, pose: Pose) -> dict[str, Any]:
    """The cell's volumes in µm³, and its pose: all of :class:`Pose`, so that any cell can be laid back."""
    z, y, x = pose.extent
    over_z, over_y, over_x = pose.overhang
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
        "extent_z": z,
        "extent_y": y,
        "extent_x": x,
        "overhang_z": over_z,
        "overhang_y": over_y,
        "overhang_x": over_x,
        "nucleus_gap": pose.nucleus_gap,
        "to_box": pose.to_box.ravel().tolist(),
    }


def as_it_lies(cell: Cell, box: Box) -> Pose:
    """The pose of an image that was posed before: its middle to the box's middle, neither turned nor flipped."""
    middle = (np.asarray(cell.shape) - 1) / 2 * np.asarray(cell.voxel_size)
    to_box = np.eye(4)
    to_box[:3, 3] = box.centre - middle
    outside, extent, overhang = fit_in_box(cell, footprint_of(cell), np.eye(3), middle, box.size)
    return replace(
        pose_of(cell, box),
        to_box=to_box,
        angle=0.0,
        flips=(False, False),
        outside=outside,
        extent=extent,
        overhang=overhang,
    )
