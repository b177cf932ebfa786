"""Read the cell of a table's entry from its files, and place it in the model's box."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.data.entry import STRUCTURE, Entry, FileChannel
from napari_integrated_cell.data.stain_checks import channels_of_labels, with_broken_shares
from napari_integrated_cell.imaging.footprint import fit_in_box, footprint_of
from napari_integrated_cell.imaging.frame import Box, Pose
from napari_integrated_cell.imaging.labels import checked_labels
from napari_integrated_cell.imaging.pieces import largest_pieces, left_out_metadata
from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.imaging.reading import Image, read_image
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values
from napari_integrated_cell.imaging.stacks import computed
from napari_integrated_cell.imaging.values import finite

POSED = "posed"
"""Key in a cell's metadata: its images lie in the model's box already."""


def read_entry(
    entry: Entry, channels: Collection[str] | None = None, *, structure_needed: bool = False
) -> Cell:
    """Read the cell of an entry. Each of its files is read once.

    Parameters
    ----------
    channels : collection of str, optional
        Which channels to read; all if left out. A reference channel that is not read is rendered from the
        segmentation later.
    structure_needed : bool
        Whether a structure channel must be there. If there is no image of the structure, its segmentation is
        used.

    Returns
    -------
    Cell
        The structure's channel is called ``"structure"``. NaN and infinite voxels of an image became its background.
        Specks of the masks are left out, unless the images were posed before.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or damaged, a channel is missing or mostly NaN, or the masks make no cell.
    """
    wanted = {name: plane for name, plane in entry.images.items() if channels is None or name in channels}
    if structure_needed:
        shown = wanted.get(STRUCTURE) or entry.structure_segmentation
        if shown is None:
            raise ValueError("The row names no image of the structure.")
        wanted[STRUCTURE] = replace(shown, optional=False)
    planes = (*wanted.values(), entry.cell, entry.nucleus)
    files = {path: _read(path) for path in dict.fromkeys(plane.path for plane in planes)}
    found = {name: _volume(files[plane.path], name, plane) for name, plane in wanted.items()}
    raw = {name: volume for name, volume in found.items() if volume is not None}
    not_stains = () if entry.posed else channels_of_labels(raw)
    raw = {name: volume for name, volume in raw.items() if name not in not_stains}
    images = {name: _finite(volume, name) for name, volume in raw.items()}
    broken = {name: volume for name, volume in raw.items() if images[name] is not volume}
    cells, nuclei = (_labels(files[plane.path], plane, entry.posed) for plane in (entry.cell, entry.nucleus))
    # The segmentation's own voxel size is used if neither the entry nor the image gives one.
    sizes = (entry.voxel_size, *(file.voxel_size for file in files.values()))
    voxel_size: Any = next((size for size in sizes if size is not None), None)
    facts: dict[str, Any] = {"name": f"cell {entry.name}", "source": entry.path}
    if entry.posed:  # interpolated masks are cut at half their height
        cell_mask, nucleus_mask = cells > cells.max() / 2, nuclei > nuclei.max() / 2
        return Cell(images, cell_mask, nucleus_mask, voxel_size, metadata={POSED: True}, **facts)
    label = entry.label
    if label is None:
        present = label_values(cells)
        if len(present) > 1:
            raise ValueError(
                f"The cell segmentation holds {len(present)} labels: give the cell's label in a column cell_label."
            )
        if len(present) == 0 or len(label_values(nuclei)) <= 1:
            cell_mask, of_cell = largest_pieces(cells > 0)
            nucleus_mask, of_nucleus = largest_pieces(nuclei > 0)
            left_out = left_out_metadata(of_cell, of_nucleus)
            cell = Cell(images, cell_mask, nucleus_mask, voxel_size, metadata=left_out, **facts)
            return _checked(cell, not_stains, broken)
        label = present[0]
    return _checked(cell_from_labels(cells, label, nuclei, images, voxel_size, **facts), not_stains, broken)


def pose_in_box(cell: Cell, box: Box) -> Pose:
    """Return the pose of a cell in the model's box.

    The images of a posed package are neither rotated nor mirrored again: their centre is put at the box's centre.
    """
    pose = pose_of(cell, box)
    if not cell.metadata.get(POSED):
        return pose
    centre = (np.asarray(cell.shape) - 1) / 2 * np.asarray(cell.voxel_size)
    to_box = np.eye(4)
    to_box[:3, 3] = box.centre - centre
    outside, extent, overhang = fit_in_box(cell, footprint_of(cell), np.eye(3), centre, box.size)
    return replace(
        pose,
        to_box=to_box,
        angle=0.0,
        flips=(False, False),
        outside=outside,
        extent=extent,
        overhang=overhang,
    )


def _read(path: str) -> Image:
    """Read an image. Small files are read by our own planes, which takes a third of the time of a library."""
    image = read_image(path, lazy="if large")
    return replace(image, data=computed(image.data))


def _volume(image: Image, name: str, plane: FileChannel) -> NDArray[Any] | None:
    """Return the first of a plane's channels that the file has; None if there is none and it is optional."""
    if not plane.names:
        if len(image.data) != 1:
            raise ValueError(
                f"{plane.path} has {len(image.data)} channels ({', '.join(image.channel_names)}): say which one to use."
            )
        return image.data[0]
    found = plane.first_in(image)
    # The first of several channels that are recognised.
    return image.named().get(name) if found is None else found


def _finite(volume: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an image in which NaN and infinite voxels became the background."""
    return volume if np.isfinite(volume).all() else finite(volume, name)[0]


def _checked(cell: Cell, not_stains: tuple[str, ...], broken: dict[str, NDArray[Any]]) -> Cell:
    """Return a cell that knows which of its field's channels are no stains, and which hold NaN or infinite values."""
    if not_stains:
        cell = replace(cell, metadata={**cell.metadata, "not_stains": not_stains})
    here = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
    return with_broken_shares(cell, {name: raw[here] for name, raw in broken.items()})


def _labels(image: Image, plane: FileChannel, posed: bool) -> NDArray[Any]:
    """Return a segmentation: whole numbers, or an interpolated mask if the images were posed before."""
    volume = _volume(image, "segmentation", replace(plane, optional=False))
    if volume is None or not np.isfinite(volume).all():
        raise ValueError(f"The segmentation {plane.path} holds NaN or infinite values.")
    return volume if posed else checked_labels(volume, plane.path)
