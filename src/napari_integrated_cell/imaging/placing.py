"""Place volumes of the model's box over the cell in its image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.intensity import within
from napari_integrated_cell.imaging.pose import Pose, to_image

# A field shows each prediction up to this distance from the cell's mask, in µm. It keeps the blur of a membrane
# structure, and a cell hardly writes into its neighbours.
FIELD_DILATION = 0.5


def placed(
    in_box: Mapping[str, Floats], cell: Cell, pose: Pose
) -> tuple[dict[str, Floats], tuple[slice, ...]]:
    """Return volumes of the model's box on the cell's own grid, cut at the cell's dilated mask.

    Parameters
    ----------
    in_box : mapping of str to array, (Z, Y, X)
        Volumes in the box of ``pose``.

    Returns
    -------
    volumes : dict of str to array of float32, (Z, Y, X)
        Only the part of the cell's grid that is not empty.
    around : tuple of slice
        Where they lie in the cell's crop.
    """
    near = within(cell.cell_mask, FIELD_DILATION, cell.voxel_size)
    (around,) = ndimage.find_objects(near.astype(np.uint8))
    near = near[around]
    z, y, x = (first + s.start for first, s in zip(cell.offset, around, strict=True))
    stacked = np.stack(list(in_box.values()))
    volumes = to_image(stacked, pose, near.shape, cell.voxel_size, offset=(z, y, x))
    volumes *= near
    return dict(zip(in_box, volumes, strict=True)), around


def check_in_field(cell: Cell, shape: tuple[int, int, int], voxel_size: tuple[float, float, float]) -> None:
    """Raise a ValueError if a cell does not fit into an image of this shape (Z, Y, X) and voxel size (µm)."""
    if not np.allclose(cell.voxel_size, voxel_size):
        raise ValueError(
            f"{cell.name!r} has a voxel size of {cell.voxel_size} µm, but a cell before it {voxel_size} "
            "µm: give the cells of one image."
        )
    if any(o < 0 or o + n > whole for o, n, whole in zip(cell.offset, cell.shape, shape, strict=True)):
        raise ValueError(
            f"{cell.name!r}, of shape {cell.shape} at {cell.offset}, does not fit into an image of shape "
            f"{tuple(shape)}: give the shape of the image that it was cut from."
        )
