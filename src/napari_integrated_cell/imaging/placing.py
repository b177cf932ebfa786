"""Place volumes of the model's box over the cell in its image, and join the cells of an image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.field_canvas import FieldCanvas
from napari_integrated_cell.imaging.intensity import within
from napari_integrated_cell.imaging.pose import Pose, to_image
from napari_integrated_cell.imaging.writing import (
    ChannelVolumes,
    FileType,
    check_tiff_path,
    quantised,
    quantised_volumes,
)

# A field shows each prediction up to this distance from the cell's mask, in µm. It keeps the blur of a membrane
# structure, and a cell hardly writes into its neighbours.
FIELD_DILATION = 0.5


class Predicted(Protocol):
    """A cell with volumes in the model's box: an :class:`~napari_integrated_cell.integration.Integration`."""

    @property
    def cell(self) -> Cell:
        """The cell, with its place in its image."""

    @property
    def pose(self) -> Pose:
        """The affine between the image and the box."""

    @property
    def in_box(self) -> ChannelVolumes:
        """The volumes, each (Z, Y, X) in the box of ``pose``."""

    def description_for(self, dtype: FileType) -> str:
        """Return the sentences that a file with the volumes states."""


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


def to_cell_image(integration: Predicted) -> ChannelVolumes:
    """Return references and predicted structures on the cell's own grid, cut at the cell's dilated mask.

    Returns
    -------
    dict of str to array of float32, (Z, Y, X)
        The channels of ``in_box``, with the grid and voxel size of ``integration.cell``.
    """
    cell = integration.cell
    here, around = placed(integration.in_box, cell, integration.pose)
    whole = {name: np.zeros(cell.shape, np.float32) for name in here}
    for name, volume in here.items():
        whole[name][around] = volume
    return ChannelVolumes(whole, cell.voxel_size)


def to_field(
    integrations: Iterable[Predicted], shape: tuple[int, int, int], dtype: type[np.generic] = np.float32
) -> dict[str, NDArray[Any]]:
    """Place integrated cells back in the image that they were cut from. Where cells overlap, the brighter one stays.

    Parameters
    ----------
    integrations : iterable of Integration
        Cells of one image. They are consumed one at a time.
    shape : tuple of int
        Grid (Z, Y, X) of that image.
    dtype : numpy type
        Type of the result. In an integer type, the largest value means an intensity of 1. ``uint8`` and
        ``uint16`` need less memory than ``float32``.

    Returns
    -------
    dict of str to array, (Z, Y, X)
        The channels of ``in_box``, with the image's grid and voxel size.

    Raises
    ------
    ValueError
        If a cell does not fit into ``shape``, or the cells have several voxel sizes.
    """
    field: dict[str, NDArray[Any]] = {}
    for integration in integrations:
        cell = integration.cell
        if not isinstance(field, ChannelVolumes):
            field = ChannelVolumes({}, cell.voxel_size)
        check_in_field(cell, shape, field.voxel_size)
        volumes, around = placed(integration.in_box, cell, integration.pose)
        window = tuple(slice(o + s.start, o + s.stop) for o, s in zip(cell.offset, around, strict=True))
        for name, volume in volumes.items():
            target = field.setdefault(name, np.zeros(shape, dtype))[window]
            np.maximum(target, quantised(volume, dtype), out=target)
    return field


def save_field(
    path: str | os.PathLike[str],
    integrations: Iterable[Predicted],
    shape: tuple[int, int, int],
    *,
    overwrite: bool = True,
    dtype: FileType = "uint16",
) -> Path:
    """Write integrated cells of one image as one OME-TIFF on the image's grid. The image is not held in memory.

    The parameters are those of :func:`to_field` and of
    :meth:`~napari_integrated_cell.integration.Integration.save`. There must be at least one cell.
    """
    path = Path(path)
    check_tiff_path(path, overwrite)
    first: Predicted | None = None
    with FieldCanvas(shape, path.parent, dtype) as canvas:
        for integration in integrations:
            first = first or integration
            check_in_field(integration.cell, shape, first.cell.voxel_size)
            volumes, around = placed(integration.in_box, integration.cell, integration.pose)
            z, y, x = (o + s.start for o, s in zip(integration.cell.offset, around, strict=True))
            canvas.paste(quantised_volumes(volumes, dtype), (z, y, x))
        if first is None:
            raise ValueError("There is no integrated cell to write.")
        return canvas.write(path, first.cell.voxel_size, first.description_for(dtype))
