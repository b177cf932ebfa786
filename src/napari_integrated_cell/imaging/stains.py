"""Guess which channels show the membrane and the DNA from what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_integrated_cell.arrays import Floats

# The planes that are looked at, as shares of the depth; the part of each plane, and the grid it is averaged to, in
# voxels.
_PLANES = (0.3, 0.4, 0.5, 0.6, 0.7)
_WINDOW = 1024
_GRID = 256
_SMOOTHING = 1.0
# A disc has compactness 1, nuclei 0.6 to 0.9, nets 0.1 to 0.3. Nuclei have at least some voxels of the grid as radius.
_BLOB, _NUCLEUS = 0.5, 3.0
_NET = 0.4
# Of a channel that cannot be compared with others, more is asked: other structures are smaller blobs.
_SURE_BLOB, _SURE_NUCLEUS = 0.6, 6.0

# DNA covers at least so much of the nuclei, and so much of what is bright lies in them.
_FILLED, _INSIDE = 0.6, 0.8


@dataclass(frozen=True)
class Appearance:
    """What the bright part of a channel looks like, in the planes that are looked at.

    Attributes
    ----------
    compactness : float
        Radius of the largest disc inside a piece, relative to the radius of a disc of the piece's area: 1 for discs,
        near 0 for nets and shells.
    radius : float
        Radius of the largest disc inside a piece, in voxels of a grid of at most 256 x 256. Compactness and radius are
        means over the pieces, weighted by their areas.
    covered : float
        Share of the plane that is bright.
    enclosed : float
        Share of the plane that is dark and surrounded by bright parts.
    """

    compactness: float
    radius: float
    covered: float
    enclosed: float


def sample(volume: Any) -> NDArray[Any]:
    """Return the middle of five planes of a volume (Z, Y, X), at most 1024 x 1024 voxels of each. Reads no more.

    Parameters
    ----------
    volume : array, (Z, Y, X)
        May be lazy.
    """
    depth, *plane = volume.shape
    middle = tuple(slice(max((n - _WINDOW) // 2, 0), (n + _WINDOW + 1) // 2) for n in plane)
    planes = sorted({int(share * (depth - 1)) for share in _PLANES})
    return np.stack([np.asarray(volume[(z, *middle)]) for z in planes])


def appearance_of(planes: NDArray[Any]) -> Appearance | None:
    """Return what a channel looks like in some of its planes (N, Y, X); None for a channel without contrast."""
    found = [seen for plane in planes if (seen := _appearance_of_plane(plane)) is not None]
    if not found:
        return None
    return Appearance(*(float(value) for value in np.median(found, axis=0)))


def guess_stains(appearances: Sequence[Appearance | None]) -> tuple[int | None, int | None]:
    """Return the indices of the channels that look like the membrane and the DNA; None for one that is not there.

    DNA is in few compact blobs that fill a part of the cells. The membrane is a net or shells, which enclose more than
    they cover. If one of two channels is DNA, the other one may also be a net that is open at the image's border.
    """
    seen = {i: a for i, a in enumerate(appearances) if a is not None}
    dna = _dna_of(seen)
    others = {i: a for i, a in seen.items() if i != dna and a.compactness <= _NET}
    if dna is None or len(seen) != 2:
        others = {i: a for i, a in others.items() if a.enclosed >= a.covered}
    return max(others, key=lambda i: others[i].enclosed, default=None), dna


def looks_like_dna_in(planes: NDArray[Any], nuclei: NDArray[Any]) -> bool:
    """Return whether a channel fills given nuclei and little else.

    Nucleoli fill a small part of the nuclei, and vesicles lie beside them.

    Parameters
    ----------
    planes, nuclei : array, (N, Y, X)
        The same planes of the channel and of the segmentation.
    """
    inside = nuclei != 0
    if planes.shape != nuclei.shape or not inside.any() or not np.isfinite(planes).all():
        return False
    if planes.max() <= planes.min():
        return False
    bright = planes > threshold_otsu(planes)
    in_nuclei = (bright & inside).sum() >= _INSIDE * np.count_nonzero(bright)
    return bool(bright[inside].mean() >= _FILLED and in_nuclei)


def _dna_of(seen: Mapping[int, Appearance]) -> int | None:
    if len(seen) == 1:
        ((i, only),) = seen.items()
        return i if only.compactness >= _SURE_BLOB and only.radius >= _SURE_NUCLEUS else None
    cells = max((a.covered + a.enclosed for a in seen.values()), default=0.0)
    blobs = {
        i: a.compactness**2 * a.radius * (1 - a.covered / cells)
        for i, a in seen.items()
        if a.compactness >= _BLOB and a.radius >= _NUCLEUS and a.covered < cells
    }
    return max(blobs, key=lambda i: blobs[i], default=None)


def _appearance_of_plane(plane: NDArray[Any]) -> tuple[float, float, float, float] | None:
    image = _coarse(plane)
    if not np.isfinite(image).all() or image.max() <= image.min():
        return None
    bright = image > threshold_otsu(image)
    pieces, n = ndimage.label(bright)
    if n == 0:
        return None
    each = np.arange(1, n + 1)
    areas = ndimage.sum_labels(bright, pieces, each)
    depth = ndimage.distance_transform_edt(np.pad(bright, 1))[1:-1, 1:-1]
    radii = ndimage.maximum(depth, pieces, each)
    shares = areas / areas.sum()
    covered = float(bright.mean())
    return (
        float(shares @ (radii / np.sqrt(areas / np.pi))),
        float(shares @ radii),
        covered,
        float(ndimage.binary_fill_holes(bright).mean()) - covered,
    )


def _coarse(plane: NDArray[Any]) -> Floats:
    """Average a plane over blocks and smooth it."""
    block = -(-max(plane.shape) // _GRID)
    rows, columns = (max(n // block, 1) for n in plane.shape)
    part = plane[: rows * block, : columns * block].astype(np.float32)
    if min(plane.shape) >= block:
        part = part.reshape(rows, block, columns, block).mean(axis=(1, 3))
    return ndimage.gaussian_filter(part, _SMOOTHING)
