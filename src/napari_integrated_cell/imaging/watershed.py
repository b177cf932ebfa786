"""Seeded watershed: find nuclei in the DNA, and grow each to its cell's membrane.

It runs on a grid of about 0.5 µm, which is fine enough for a cell's outline and fast enough for a click. Masks are
returned on the image's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Doubles, Floats, Indices, Labels, Mask
from napari_integrated_cell.imaging.intensity import above_background
from napari_integrated_cell.imaging.resampling import grid_affine, resample
from napari_integrated_cell.processes import CancelToken, Progress

# In µm: voxel size of the working grid, smoothing of both stains, smallest distance between two nuclei's centres.
_GRID = 0.5
_SMOOTHING = 0.5
_APART = 5.0
# Smaller bright spots (µm³) are debris. The smallest condensed chromatin of a hiPSC has about 200 µm³.
_DEBRIS = 40.0
# Two regions are joined if their border is darker than this share of the membrane's brightness.
_NO_MEMBRANE = 0.4


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Cells and nuclei on the working grid, and the mapping to the image's grid.

    Attributes
    ----------
    cells, nuclei : array of int32
        Labels from 1 on the working grid. Its voxels are blocks of image voxels.
    block : array of int, (3,)
        Number of image voxels (Z, Y, X) in a block.
    shape : tuple of int
        The image's grid (Z, Y, X).
    voxel_size : tuple of float
        The image's voxel size (Z, Y, X) in µm.
    """

    cells: Labels
    nuclei: Labels
    block: Indices
    shape: tuple[int, ...]
    voxel_size: tuple[float, float, float]

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self.cells.max(initial=0))

    def label_near(self, point: Indices, distance: float) -> int:
        """Return the cell at an index (z, y, x) of the image, the nearest within ``distance`` µm, or 0."""
        at = np.asarray(point) // self.block
        here = int(self.cells[tuple(at)])
        filled = np.argwhere(self.cells > 0)
        if here or len(filled) == 0:
            return here
        away = np.linalg.norm((filled - at) * self.block * self.voxel_size, axis=1)
        nearest = int(away.argmin())
        return int(self.cells[tuple(filled[nearest])]) if away[nearest] <= distance else 0

    def masks(self, label: int) -> tuple[tuple[slice, ...], Mask, Mask]:
        """Return a cell's place in the image, and the masks of the cell and of its nucleus there."""
        coarse = ndimage.find_objects((self.cells == label).astype(np.uint8))[0]
        around = tuple(
            slice(max((s.start - 1) * int(b), 0), min((s.stop + 1) * int(b), n))
            for s, b, n in zip(coarse, self.block, self.shape, strict=True)
        )
        cell = self._fine(self.cells == label, around)
        return around, cell, self._fine(self.nuclei == label, around) & cell

    def _fine(self, mask: Mask, around: tuple[slice, ...]) -> Mask:
        """Interpolate a mask of the working grid onto a part of the image's grid."""
        z, y, x = (s.stop - s.start for s in around)
        offset = around[0].start, around[1].start, around[2].start
        size, middle = self.block * self.voxel_size, (self.block - 1) / 2 / self.block
        working = grid_affine(tuple(size), tuple(middle))
        return resample(mask, working, np.eye(4), grid_affine(self.voxel_size, offset), (z, y, x)) > 0.5


def segment(
    membrane: NDArray[Any],
    dna: NDArray[Any],
    voxel_size: tuple[float, float, float],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Segmentation:
    """Segment cells and nuclei from two stains (Z, Y, X) with voxels of ``voxel_size`` µm.

    ``progress`` is told of the steps, and ``cancel`` asked before each.
    """

    def begin(step: int, what: str) -> None:
        if cancel is not None:
            cancel.raise_if_cancelled()
        if progress is not None:
            progress(step, 4, what)

    block = np.maximum(np.rint(_GRID / np.asarray(voxel_size)), 1).astype(int)
    size = block * voxel_size
    begin(0, "smoothing")
    m, d = (_coarse(stain, block, size) for stain in (membrane, dna))
    begin(1, "finding nuclei")
    nuclei = _nuclei(d, size)
    begin(2, "finding cells")
    cells = _cells(m, nuclei, size)
    begin(3, "joining cells")
    return Segmentation(*_joined(cells, nuclei, m), block, membrane.shape, voxel_size)


def _coarse(stain: NDArray[Any], block: Indices, size: Doubles) -> Floats:
    """Average a stain over blocks, subtract the background and smooth."""
    short = [(-n) % b for n, b in zip(stain.shape, block, strict=True)]
    if any(short):
        stain = np.pad(stain, [(0, s) for s in short], mode="edge")
    for axis in (2, 1, 0):  # the contiguous axis first, which is fastest
        split = [*stain.shape[:axis], stain.shape[axis] // block[axis], block[axis], *stain.shape[axis + 1 :]]
        stain = stain.reshape(split).mean(axis=axis + 1, dtype=np.float32)
    return ndimage.gaussian_filter(above_background(stain), _SMOOTHING / size)


def _nuclei(dna: Floats, size: Doubles) -> Labels:
    """Label the nuclei."""
    from skimage.feature import peak_local_max
    from skimage.filters import threshold_otsu
    from skimage.segmentation import watershed

    if dna.max(initial=0) <= 0:
        return np.zeros(dna.shape, dtype=np.int32)
    # Condensed chromatin is several times brighter than interphase nuclei. With square roots Otsu keeps both.
    root = np.sqrt(dna)
    inside = root > threshold_otsu(root)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside, sampling=size), 1.0 / size)
    mask, apart = inside.astype(np.int32), _ball(_APART, size)
    middles = peak_local_max(depth, footprint=apart, labels=mask, exclude_border=False)
    seeds = np.zeros(dna.shape, dtype=np.int32)
    seeds[tuple(middles.T)] = np.arange(1, len(middles) + 1)
    labels = watershed(-depth, seeds, mask=inside)
    # The edge of each nucleus is at half of its own brightness.
    values = np.arange(1, len(middles) + 1)
    bright = [np.percentile(dna[labels == value], 75) for value in values]
    half = 0.5 * np.array([np.inf, *bright])
    labels[dna < half[labels]] = 0
    volumes = np.bincount(labels.ravel(), minlength=len(values) + 1) * np.prod(size)
    return _renumbered(np.where(volumes[labels] >= _DEBRIS, labels, 0))


def _cells(membrane: Floats, nuclei: Labels, size: Doubles) -> Labels:
    """Grow each nucleus up to the membrane. The background grows from the first and the last plane."""
    from skimage.segmentation import watershed

    background = int(nuclei.max(initial=0)) + 1
    seeds = nuclei.copy()
    # If a nucleus lies at the first or last plane, its cell is cut off there: this part is not background.
    near = ndimage.binary_dilation(nuclei > 0, _ball(2.0, size))
    for plane in (0, -1):
        seeds[plane][~near[plane]] = background
    cells = watershed(membrane, seeds)
    return np.where(cells == background, 0, cells).astype(np.int32)


def _joined(cells: Labels, nuclei: Labels, membrane: Floats) -> tuple[Labels, Labels]:
    """Join regions without a membrane between them (a nucleus that was split in two, anaphase)."""
    first, second, between = [], [], []
    for axis in (1, 2):  # in the plane only: the membrane above and below cells is darker
        a, b, m = (np.moveaxis(image, axis, 0) for image in (cells, cells, membrane))
        border = a[:-1] != b[1:]
        first.append(a[:-1][border])
        second.append(b[1:][border])
        between.append(np.maximum(m[:-1], m[1:])[border])
    one, other, brightness = (np.concatenate(part) for part in (first, second, between))
    if len(one) == 0:
        return cells, nuclei
    threshold = _NO_MEMBRANE * float(np.median(brightness))
    pairs = np.stack([np.minimum(one, other), np.maximum(one, other)])
    table = np.arange(int(cells.max()) + 1)
    for low, high in np.unique(pairs[:, pairs[0] > 0], axis=1).T:
        if np.median(brightness[(pairs[0] == low) & (pairs[1] == high)]) < threshold:
            table[table == table[high]] = table[low]
    joined = _renumbered(table[cells])
    return joined, np.where(nuclei > 0, joined, 0).astype(np.int32)


def _ball(radius: float, size: Doubles) -> Mask:
    """Return the voxels of ``size`` µm within ``radius`` µm of the central one."""
    reach = [np.arange(-int(radius / s), int(radius / s) + 1) * s for s in size]
    z, y, x = np.meshgrid(*reach, indexing="ij")
    return z**2 + y**2 + x**2 <= radius**2


def _renumbered(labels: NDArray[Any]) -> Labels:
    """Renumber labels to 1, 2, 3, ... without gaps."""
    values = np.unique(labels)
    values = values[values != 0]
    table = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.int32)
    table[values] = np.arange(1, len(values) + 1)
    return table[labels]
