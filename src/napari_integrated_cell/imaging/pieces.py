"""Keep the pieces of a mask that are the cell, and leave out specks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Mask
from napari_integrated_cell.imaging.cropping import Window, moved

__all__ = ["LeftOut", "largest_pieces", "left_out_metadata"]

# Voxels that touch at a face, an edge or a corner belong together.
_TOUCHING = np.ones((3, 3, 3), dtype=bool)
# Edge of the blocks (voxels) in which the space between pieces is skipped: the bits of a byte.
_BLOCK = 8


class LeftOut(NamedTuple):
    """What is left out of a mask.

    Attributes
    ----------
    pieces : int
        Number of pieces.
    share : float
        Their share of the mask's volume.
    """

    pieces: int
    share: float


def largest_pieces(
    mask: NDArray[Any], at_least: float = 0.1, *, inside: Mask | None = None
) -> tuple[Mask, LeftOut]:
    """Return a mask without its small pieces: a cell is its largest piece, and two daughters stay two.

    The time depends on the volume of the pieces and little on the distance between them.

    Parameters
    ----------
    mask : array of bool, (Z, Y, X)
    at_least : float
        Pieces of at least this share of the largest piece stay.
    inside : array of bool, (Z, Y, X), optional
        Only pieces that lie at least half inside this other mask stay; the others are not counted as left out.

    Returns
    -------
    kept : array of bool, (Z, Y, X)
        ``mask`` itself if nothing is left out.
    left_out : LeftOut
    """
    mask = np.asarray(mask, dtype=bool)
    pieces = _pieces(mask)
    sizes = np.array([len(where[0]) for _, where in pieces], dtype=np.int64)
    small = sizes < at_least * sizes.max(initial=0)
    ours = np.ones(len(pieces), dtype=bool)
    if inside is not None:
        shared = [int(inside[around][where].sum()) for around, where in pieces]
        ours = 2 * np.array(shared, dtype=np.int64) >= sizes
    stays, left = ours & ~small, ours & small
    left_out = LeftOut(int(left.sum()), float(sizes[left].sum() / max(sizes[ours].sum(), 1)))
    if stays.all():
        return mask, left_out
    kept = np.zeros_like(mask)
    for (around, where), stay in zip(pieces, stays, strict=True):
        if stay:
            kept[around][where] = True
    return kept, left_out


def left_out_metadata(cell: LeftOut, nucleus: LeftOut) -> dict[str, dict[str, LeftOut]]:
    """Return the entry ``"left_out"`` of a cell's metadata: what was left out of which mask; empty for nothing."""
    left_out = {what: left for what, left in (("cell", cell), ("nucleus", nucleus)) if left.pieces}
    return {"left_out": left_out} if left_out else {}


def _pieces(mask: Mask) -> list[tuple[Window, tuple[NDArray[Any], ...]]]:
    """Return each connected piece: a box around it, and the indices of its voxels in the box.

    Voxels that touch lie in blocks that touch. So the connected groups of blocks are found first, on a small grid, and
    each group is split into its pieces in its own box.
    """
    blocks = np.packbits(mask, axis=2) != 0  # blocks of eight along X
    for axis in (0, 1):
        blocks = np.logical_or.reduceat(blocks, np.arange(0, mask.shape[axis], _BLOCK), axis=axis)
    groups, _ = ndimage.label(blocks, _TOUCHING)
    found: list[tuple[Window, tuple[NDArray[Any], ...]]] = []
    for group, box in enumerate(ndimage.find_objects(groups), start=1):
        around = tuple(slice(_BLOCK * s.start, _BLOCK * s.stop) for s in box)
        inside = mask[around]
        own = groups[box] == group
        if not own.all():  # blocks of other groups in the same box
            grown = own
            for axis, n in enumerate(inside.shape):
                grown = np.repeat(grown, _BLOCK, axis=axis).take(np.arange(n), axis=axis)
            inside = inside & grown
        labels, count = ndimage.label(inside, _TOUCHING)
        for piece, part in enumerate(ndimage.find_objects(labels, count), start=1):
            z, y, x = (s.start for s in around)
            found.append((moved(part, (z, y, x)), np.nonzero(labels[part] == piece)))
    return found
