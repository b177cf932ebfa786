"""Cell and nucleus as masks, found in the posed stains of one cell."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_integrated_cell.arrays import Floats, Mask

# Thresholds of the stains, as shares of their maximum. A membrane seen face on is dark.
MEMBRANE = 0.25
DNA = 0.5
_PIECE = 0.1  # smaller pieces, relative to the largest, are not the second half of a dividing nucleus


def membrane_of(membrane: Floats) -> Mask:
    """Return where a membrane stain (Z, Y, X) is bright."""
    return membrane >= MEMBRANE * _brightest(membrane)


def nucleus_of(dna: Floats) -> Mask:
    """Return where a DNA stain (Z, Y, X) is at least half as bright as its brightest place, without specks."""
    return _without_specks(dna >= DNA * _brightest(dna))


def enclosed(shell: Mask) -> Mask:
    """Return the cell that a membrane (Z, Y, X) encloses, including the membrane's voxels.

    The membrane may have gaps: a hole is filled if it is closed in any of the three planes through it.
    """
    filled = shell.copy()
    for axis in range(3):
        planes = np.moveaxis(shell, axis, 0)
        into = np.moveaxis(filled, axis, 0)
        for plane, target in zip(planes, into, strict=True):
            if plane.any():
                target |= ndimage.binary_fill_holes(plane)
    return _without_specks(filled)


def overlap(one: Mask, other: Mask) -> float:
    """Return the intersection over union of two masks, 0 to 1; 1 if both are empty."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0


def overlaps(x_ref: Floats, decoded: Floats) -> tuple[float, float]:
    """Return the intersection over union of the cells, and of the nuclei, in two references (2, Z, Y, X)."""
    (membrane, dna), (other_membrane, other_dna) = x_ref, decoded
    cells = (enclosed(membrane_of(stain)) for stain in (membrane, other_membrane))
    return overlap(*cells), overlap(nucleus_of(dna), nucleus_of(other_dna))


def _brightest(image: Floats) -> float:
    """Return the eighth largest value, so that one hot voxel does not set the scale."""
    return max(float(np.partition(image, -8, axis=None)[-8]), 1e-6)


def _without_specks(mask: Mask) -> Mask:
    """Return the mask without pieces that are much smaller than the largest."""
    pieces, n = ndimage.label(mask)
    if n < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= _PIECE * sizes.max())[pieces]
