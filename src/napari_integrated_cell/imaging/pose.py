"""Rotate a cell into the model's box and back, by one rigid affine (section 3.1).

A pose is one rotation about Z, flips of Y and X, and one translation, in µm. Intensities are interpolated once on
the way into the box and once on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats, Mask
from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.imaging.cropping import Window, extent_of_mask, grown
from napari_integrated_cell.imaging.footprint import (
    fit_in_box,
    footprint_of,
    major_axis,
    nucleus_centre,
    rotation,
    skewness,
)
from napari_integrated_cell.imaging.frame import NEAR_ROUND, NEAR_SYMMETRIC, PAPER_BOX, Box, Pose
from napari_integrated_cell.imaging.intensity import above_background, dilated, normalise, scaled_to_one
from napari_integrated_cell.imaging.rendering import render_dna, render_membrane
from napari_integrated_cell.imaging.resampling import grid_affine, resample

__all__ = [
    "MASK_TOLERANCE",
    "NEAR_ROUND",
    "NEAR_SYMMETRIC",
    "PAPER_BOX",
    "Box",
    "Pose",
    "check_memory",
    "normalise",
    "pose_of",
    "posed_channels",
    "posed_mask",
    "posed_references",
    "posed_structure",
    "to_box",
    "to_image",
]

#: Distance (µm) by which masks are dilated. The membrane stain lies on both sides of the cell mask's edge, and the
#: DNA stain is blurred across the nucleus's edge: without dilation half of the one and the rim of the other are cut.
MASK_TOLERANCE = 0.3
# A smaller skewness is a rounding error and flips nothing.
_SYMMETRIC = 1e-9
# More weights are not computed to pose a cell: they would take several GB. Voxels of 0.0075 µm need as many.
_MOST_WEIGHTS = 200_000_000
_RENDERED = {"membrane": render_membrane, "dna": render_dna}


def pose_of(cell: Cell, box: Box = PAPER_BOX) -> Pose:
    """Return the pose of ``cell`` in ``box`` as section 3.1 describes it.

    The principal axis of the footprint (the cell mask seen from above) gives the rotation about Z that turns the major
    axis onto X. The nucleus's centre of mass, not rounded to a voxel, is moved to the box's centre. Y and X are each
    flipped if the cell mask is negatively skewed along them; Z is never flipped. Everything is computed in µm, so
    anisotropic voxels do not change angles.

    Parameters
    ----------
    cell : Cell
    box : Box
        The model's box.

    Returns
    -------
    Pose
        :attr:`Pose.warnings` reports a cell longer than the box, an uncertain rotation or flip, and a nucleus in two
        places. None of these raises an error.

    Raises
    ------
    ValueError
        As :func:`check_memory`.
    """
    check_memory(cell, box)
    footprint = footprint_of(cell)
    angle, footprint_ratio = major_axis(footprint.points, None, cell.voxel_size[1:])
    _, volume_ratio = major_axis(footprint.points, footprint.voxels, cell.voxel_size[1:])
    skew_y, skew_x = skewness(footprint.points @ rotation(angle).T, footprint.voxels)
    flips = (skew_y < -_SYMMETRIC, skew_x < -_SYMMETRIC)
    linear = np.eye(3)
    linear[1:, 1:] = np.diag([-1.0 if flip else 1.0 for flip in flips]) @ rotation(angle)

    centre, gap = nucleus_centre(cell)
    in_image = centre + grid_affine(cell.voxel_size, cell.offset)[:3, 3]
    to_box = np.eye(4)
    to_box[:3, :3] = linear
    to_box[:3, 3] = box.centre - linear @ in_image

    outside, extent, overhang = fit_in_box(cell, footprint, linear, centre, box.size)
    return Pose(
        to_box=to_box,
        box=box,
        angle=float(np.degrees(angle)),
        flips=flips,
        flip_margins=(abs(skew_y), abs(skew_x)),
        elongation=min(footprint_ratio, volume_ratio),
        outside=outside,
        extent=extent,
        overhang=overhang,
        nucleus_gap=gap,
    )


def check_memory(cell: Cell, box: Box) -> None:
    """Raise a ValueError if the voxels of a cell are so small that posing it in ``box`` would take several GB."""
    taps = [2 + 3 * max(box.voxel_size / v - 1, 0) for v in cell.voxel_size[1:]]
    if math.prod(taps) * math.prod(box.shape[1:]) > _MOST_WEIGHTS:
        listed = " x ".join(f"{v:g}" for v in cell.voxel_size)
        raise ValueError(
            f"To pose {cell.name} at {listed} µm (Z, Y, X), several GB of memory are needed: check the voxel size, or "
            "give an image of larger voxels."
        )


def to_box(
    image: NDArray[Any],
    voxel_size: tuple[float, float, float],
    pose: Pose,
    *,
    offset: tuple[int, int, int] = (0, 0, 0),
    order: int = 1,
) -> Floats:
    """Resample an image into the model's box, antialiased if the box's voxels are larger than the image's.

    Parameters
    ----------
    image : array, (Z, Y, X), or (C, Z, Y, X) for several channels of one image
    voxel_size : tuple of float
        Of the image, (Z, Y, X) in µm.
    pose : Pose
    offset : tuple of int
        Index of the image's first voxel in the image of the pose (a cell's ``offset``).
    order : int
        1, linear, for intensities; 0 for labels and masks.

    Returns
    -------
    array, ``([C,] *pose.box.shape)`` float32
    """
    grid = grid_affine(checked_voxel_size(voxel_size), offset)
    return resample(_volume(image), grid, pose.to_box, pose.box.grid, pose.box.shape, order)


def to_image(
    volume: NDArray[Any],
    pose: Pose,
    shape: tuple[int, int, int],
    voxel_size: tuple[float, float, float],
    *,
    offset: tuple[int, int, int] = (0, 0, 0),
    order: int = 1,
) -> Floats:
    """Resample a box volume onto an image's grid by the inverse affine; zero outside the box.

    Parameters
    ----------
    volume : array, ``pose.box.shape``, or with a leading axis for several channels
    pose : Pose
    shape : tuple of int
        The grid (Z, Y, X) of the image, or of a crop that begins at ``offset``.
    voxel_size : tuple of float
        Of the image, (Z, Y, X) in µm.
    offset : tuple of int
        Index of the crop's first voxel in the image of the pose.
    order : int
        1, linear, for intensities; 0 for labels and masks.

    Returns
    -------
    array, ``([C,] *shape)`` float32
    """
    volume = _volume(volume)
    if volume.shape[-3:] != pose.box.shape:
        raise ValueError(
            f"The volume has shape {volume.shape} but the pose's box has {pose.box.shape}: give a volume in the box."
        )
    grid = grid_affine(checked_voxel_size(voxel_size), offset)
    return resample(volume, pose.box.grid, pose.from_box, grid, shape, order)


def posed_references(cell: Cell, pose: Pose, *, ceiling: float = 100.0) -> Floats:
    """Return the model's reference image of a cell: membrane and DNA, posed and normalised (section 3.1).

    A channel that the cell lacks is rendered from its mask (:mod:`napari_integrated_cell.imaging.rendering`). All
    channels are then processed alike: subtract the most populous intensity, set negative voxels to zero, mask (membrane
    by the cell, DNA by the nucleus, both dilated by :data:`MASK_TOLERANCE`), resample once, scale to 1.

    Parameters
    ----------
    cell : Cell
        Its ``"membrane"`` and ``"dna"`` channels are stains and may show neighbouring cells.
    pose : Pose
    ceiling : float
        Percentile of the positive voxels in the box that becomes 1. The paper scales to 1 and does not say how. The
        default is the brightest voxel after antialiasing; 99.9 is robust to hot pixels.

    Returns
    -------
    array, (2, Z, Y, X) float32 in [0, 1]
        Membrane, DNA.
    """
    return posed_channels(cell, ("membrane", "dna"), pose, ceiling=ceiling)


def posed_structure(cell: Cell, name: str, pose: Pose, *, ceiling: float = 100.0) -> Floats:
    """Return one structure's channel, posed and normalised like :func:`posed_references` and masked by the cell.

    Parameters
    ----------
    cell : Cell
    name : str
        The channel's name in ``cell.channels``.
    pose : Pose
    ceiling : float
        As in :func:`posed_references`.

    Returns
    -------
    array, (Z, Y, X) float32 in [0, 1]

    Raises
    ------
    ValueError
        If the cell has no such channel; the message lists those it has.
    """
    return posed_channels(cell, (name,), pose, ceiling=ceiling)[0]


def posed_image(cell: Cell, channel: str, pose: Pose) -> Floats:
    """Return membrane, DNA and one channel of a cell, posed and normalised: the input of Enc^{r,s} (equation 7).

    Returns
    -------
    array, (3, Z, Y, X) float32 in [0, 1]

    Raises
    ------
    ValueError
        If the cell has no such channel; the message lists the channels it has.
    """
    return np.concatenate([posed_references(cell, pose), posed_structure(cell, channel, pose)[None]])


def posed_channels(cell: Cell, names: Sequence[str], pose: Pose, *, ceiling: float = 100.0) -> Floats:
    """Return channels posed and normalised as :func:`posed_references` and :func:`posed_structure` do, at once.

    Parameters
    ----------
    cell : Cell
    names : sequence of str
        ``"membrane"`` and ``"dna"``, which are rendered if the cell lacks them, and structures' names in
        ``cell.channels``. Each name once.
    pose : Pose
    ceiling : float
        As in :func:`posed_references`.

    Returns
    -------
    array, (``len(names)``, Z, Y, X) float32 in [0, 1]

    Raises
    ------
    ValueError
        If the cell has no such structure; the message lists the channels it has.
    """
    for name in names:
        if name not in (*_RENDERED, *cell.channels):
            have = ", ".join(cell.channels) or "none"
            raise ValueError(f"{cell.name!r} has no channel {name!r}; its channels are: {have}.")
    posed: dict[str, Floats] = {}
    # Each mask is dilated once, and the channels that it masks are resampled together.
    of_nucleus = [name for name in names if name == "dna"]
    of_cell = [name for name in names if name != "dna"]
    for together, mask in ((of_cell, cell.cell_mask), (of_nucleus, cell.nucleus_mask)):
        if not together:
            continue
        around, wide = _dilated(cell, mask)
        masked = np.empty((len(together), *wide.shape), np.float32)
        for name, image in zip(together, masked, strict=True):
            np.multiply(_image_of(cell, name, around), wide, out=image)
        found = to_box(masked, cell.voxel_size, pose, offset=_offset(cell, around))
        posed.update(
            (name, scaled_to_one(image, ceiling)) for name, image in zip(together, found, strict=True)
        )
    return np.stack([posed[name] for name in names])


def posed_mask(cell: Cell, pose: Pose) -> Floats:
    """Return the share of each box voxel inside the cell mask, which is dilated by :data:`MASK_TOLERANCE`.

    Returns
    -------
    array, (Z, Y, X) float32 in [0, 1]
    """
    around, wide = _dilated(cell, cell.cell_mask)
    return np.clip(to_box(wide, cell.voxel_size, pose, offset=_offset(cell, around)), 0, 1)


def _dilated(cell: Cell, mask: Mask) -> tuple[Window, Mask]:
    """Return the part of a cell's crop that contains a mask after dilation, and the dilated mask there."""
    z, y, x = (int(np.ceil(2 * MASK_TOLERANCE / v)) + 1 for v in cell.voxel_size)
    extent = extent_of_mask(mask)
    assert extent is not None  # a cell has no empty masks
    around = grown(extent, (z, y, x), mask.shape)
    return around, dilated(mask[around], MASK_TOLERANCE, cell.voxel_size)


def _image_of(cell: Cell, name: str, around: Window) -> Floats:
    """Return a channel in ``around``: its intensities above the background, or as rendered from the masks there."""
    if name in cell.channels:
        return above_background(cell.channels[name], around)
    cell_mask, nucleus_mask = cell.cell_mask[around], cell.nucleus_mask[around]
    return _RENDERED[name](Cell({}, cell_mask, nucleus_mask, cell.voxel_size, cell.name))


def _offset(cell: Cell, around: Window) -> tuple[int, int, int]:
    """Return the index of the first voxel of a part of a crop, in the source image."""
    z, y, x = (first + part.start for first, part in zip(cell.offset, around, strict=True))
    return z, y, x


def _volume(image: NDArray[Any]) -> NDArray[Any]:
    image = np.asarray(image)
    if image.ndim not in (3, 4):
        raise ValueError(
            f"The image has {image.ndim} dimensions: give one volume (Z, Y, X), or (C, Z, Y, X)."
        )
    return image
