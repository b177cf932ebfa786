"""Measure a structure in a posed cell: its amount, the number of objects, and their place in the cell.

The masks of the cell and its nucleus come from the reference channels. Observed and generated cells are therefore
measured in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Doubles, Floats, Mask, Reals

MEMBRANE_LEVEL = 0.15
DNA_LEVEL = 0.3
STRUCTURE_LEVEL = 0.3
"""Thresholds of the membrane, the nucleus and the structure, as shares of the channel's maximum."""
NUCLEAR_SHELLS, CYTOPLASMIC_SHELLS, HEIGHTS = 2, 4, 4
SMALLEST_OBJECT = 2
"""In voxels."""

FEATURES: tuple[str, ...] = (
    "volume above threshold",
    "object count",
    "share of the largest object",
    "mean intensity",
    "variation of intensity",
    "share in the inner nucleus",
    "share in the outer nucleus",
    *(f"share in cytoplasm, shell {i + 1} of {CYTOPLASMIC_SHELLS}" for i in range(CYTOPLASMIC_SHELLS)),
    *(f"share at height {i + 1} of {HEIGHTS}" for i in range(HEIGHTS)),
)
"""Names of the features. Shells lie between nucleus and membrane, heights between bottom and top of the cell."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The cell in the box, and its regions.

    Attributes
    ----------
    cell : array of bool, (Z, Y, X)
    shell : array of int, (Z, Y, X)
        Inner and outer nucleus, then the cytoplasm's shells from nucleus to membrane; -1 outside the cell.
    height : array of int, (Z, Y, X)
        Level between the cell's bottom and top; -1 outside the cell.
    """

    cell: Mask
    shell: NDArray[np.int8]
    height: NDArray[np.int8]


def masks_of(references: Reals) -> tuple[Mask, Mask]:
    """Return the masks (Z, Y, X) of cell and nucleus in membrane and DNA images (2, Z, Y, X).

    The cell is the volume that the membrane encloses, in 3D or in a plane of Z. The nucleus is bright in the DNA.
    """
    membrane, dna = references
    nucleus = dna > DNA_LEVEL * max(float(dna.max()), 1e-6)
    shell = (membrane > MEMBRANE_LEVEL * max(float(membrane.max()), 1e-6)) | nucleus
    cell = ndimage.binary_fill_holes(shell)
    for z, plane in enumerate(shell):
        cell[z] |= ndimage.binary_fill_holes(plane)
    labels, n = ndimage.label(cell)
    if n > 1:
        cell = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return cell, nucleus & cell


def regions_of(references: Reals) -> Regions:
    """Return the regions of the cell in membrane and DNA images (2, Z, Y, X)."""
    cell, nucleus = masks_of(references)
    shell = np.full(cell.shape, -1, np.int8)
    height = np.full(cell.shape, -1, np.int8)
    if cell.any():
        to_membrane = ndimage.distance_transform_edt(np.pad(cell, 1))[1:-1, 1:-1, 1:-1]
        cytoplasm = cell & ~nucleus
        if nucleus.any():
            depth = ndimage.distance_transform_edt(np.pad(nucleus, 1))[1:-1, 1:-1, 1:-1]
            shell[nucleus] = np.where(depth[nucleus] > depth.max() / 2, 0, 1)
            to_nucleus = ndimage.distance_transform_edt(~nucleus)
        else:
            to_nucleus = to_membrane.max() - to_membrane + 1
        fraction = to_nucleus / (to_nucleus + to_membrane)
        bins = np.minimum((fraction * CYTOPLASMIC_SHELLS).astype(int), CYTOPLASMIC_SHELLS - 1)
        shell[cytoplasm] = NUCLEAR_SHELLS + bins[cytoplasm]
        planes = np.flatnonzero(cell.any((1, 2)))
        z = np.arange(len(cell))
        level = ((z - planes[0]) * HEIGHTS // (planes[-1] - planes[0] + 1)).clip(0, HEIGHTS - 1)
        height = np.where(cell, level[:, None, None], -1).astype(np.int8)
    return Regions(cell, shell, height)


def features_of(structure: Reals, regions: Regions) -> Doubles:
    """Return the :data:`FEATURES` of a structure's image (Z, Y, X) in a cell.

    The image is scaled to a maximum of 1 inside the cell, like the store's images. Volumes are shares of the cell's
    volume. All features are 0 if the image is dark in the whole cell.
    """
    found = np.zeros(len(FEATURES))
    values = structure[regions.cell].astype(np.float64)
    most = values.max(initial=0)
    if most <= 0:
        return found
    values /= most
    mask = (structure >= STRUCTURE_LEVEL * most) & regions.cell
    labels, n = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    total = values.sum()
    found[:5] = (
        mask.sum() / len(values),
        (sizes >= SMALLEST_OBJECT).sum(),
        sizes.max() / sizes.sum(),
        values.mean(),
        values.std() / values.mean(),
    )
    shells = np.bincount(regions.shell[regions.cell], values, NUCLEAR_SHELLS + CYTOPLASMIC_SHELLS)
    heights = np.bincount(regions.height[regions.cell], values, HEIGHTS)
    found[5:] = np.concatenate([shells, heights]) / total
    return found


def cell_features(image: Reals) -> Doubles:
    """Return the :data:`FEATURES` of a posed cell (3, Z, Y, X): membrane, DNA, structure."""
    return features_of(image[2], regions_of(image[:2]))


def coarse(volume: Reals, longest: int = 16) -> Floats:
    """Return the means of cubic blocks of a volume (..., Z, Y, X), at most ``longest`` along an axis, flattened."""
    edge = -(-max(volume.shape[-3:]) // longest)
    small: Reals = np.asarray(volume, np.float32)
    for axis in (-3, -2, -1):
        size = small.shape[axis]
        starts = np.arange(0, size, edge)
        counts = np.diff(np.append(starts, size)).astype(np.float32)
        shape = [1] * small.ndim
        shape[axis] = -1
        small = np.add.reduceat(small, starts, axis=axis) / counts.reshape(shape)
    return small.reshape(-1)
