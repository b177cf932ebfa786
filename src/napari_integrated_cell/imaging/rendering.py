"""Render reference images from segmentations: a membrane and a nucleus as a microscope shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from napari_integrated_cell.arrays import Floats, Mask
from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.imaging.gaussians import gaussian_weights, weighted

# Width (µm) of the Gaussian that smooths the mask before its gradient is taken. The shell is then 0.2 µm thick.
_SURFACE_SIGMA = 0.085
# More voxels are not rendered: a cell of 100 x 100 x 40 µm has as many at 0.08 µm.
_MOST_VOXELS = 800_000_000
# Voxels, after splitting, that are rendered together: they stay in the processor's cache.
_VOXELS_AT_ONCE = 250_000


@dataclass(frozen=True)
class PointSpread:
    """A microscope's point-spread function as a Gaussian.

    Parameters
    ----------
    sigma : tuple of float
        Standard deviations (Z, Y, X) in µm.
    """

    sigma: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.sigma) != 3 or not all(np.isfinite(s) and s >= 0 for s in self.sigma):
            raise ValueError(
                f"The point-spread {self.sigma!r} is not valid: give three widths (Z, Y, X) in µm, none negative."
            )

    def blur(self, image: NDArray[Any], voxel_size: tuple[float, float, float]) -> Floats:
        """Blur ``image`` (Z, Y, X) by the point-spread, on the same grid, with zeros outside."""
        widths = [s / v for s, v in zip(self.sigma, checked_voxel_size(voxel_size), strict=True)]
        # Simulated cells depend on every bit of this: another order of sums gives another cell for a seed.
        return ndimage.gaussian_filter(
            np.asarray(image, dtype=np.float32), widths, mode="constant", truncate=3.0
        )


#: Spinning-disc confocal with a 1.25 NA water-immersion objective, the microscope of section 3.1. Diffraction
#: gives widths of 0.24 µm along Z (0.88 λ / (n - √(n² - NA²)) at half maximum) and 0.10 µm in the plane
#: (0.51 λ / NA) at λ = 0.55 µm. Light through other pinholes, depth in the sample and a Z step of 0.29 µm widen both.
SPINNING_DISC = PointSpread((0.42, 0.14, 0.14))


def render_references(cell: Cell, psf: PointSpread = SPINNING_DISC) -> dict[str, Floats]:
    """Render membrane and DNA from the cell's masks.

    Parameters
    ----------
    cell : Cell
        Only its masks are used.
    psf : PointSpread
        The microscope's blur.

    Returns
    -------
    dict of str to array, each (Z, Y, X) float32
        ``"membrane"``: the cell mask's surface, a shell about 0.2 µm thick; ``"dna"``: the filled nucleus. Both are
        blurred by the point-spread and scaled to a maximum of 1.
    """
    return {"membrane": render_membrane(cell, psf), "dna": render_dna(cell, psf)}


def render_membrane(cell: Cell, psf: PointSpread = SPINNING_DISC) -> Floats:
    """Render the surface of the cell mask, blurred by ``psf``; (Z, Y, X) float32 with maximum 1.

    The surface is the gradient length of the slightly smoothed mask, so every µm² of it is equally bright in every
    direction. The smoothing, the difference quotient and the voxels blur the surface already; this blur is subtracted
    from the point-spread. Voxels that are too coarse for this are split, and averaged at the end.
    """
    parts = [_parts(v, p) for v, p in zip(cell.voxel_size, psf.sigma, strict=True)]
    voxels = tuple(v / k for v, k in zip(cell.voxel_size, parts, strict=True))
    smoothing = tuple(_smoothing(v) for v in voxels)
    count = math.prod(
        n * k + 2 * r for n, k, r in zip(cell.shape, parts, _room(smoothing, voxels), strict=True)
    )
    if count > _MOST_VOXELS:
        listed = " x ".join(f"{v:g}" for v in cell.voxel_size)
        raise ValueError(
            f"To render {cell.name} at {listed} µm (Z, Y, X), {count:.2g} voxels are needed: check the voxel size, or "
            "give an image of larger voxels."
        )
    # With the margin, a mask that touches the crop's edge has a surface there too.
    room = _room(smoothing, voxels)
    inside = np.pad(_split(cell.cell_mask, parts), [(r, r) for r in room])
    smooth = [
        gaussian_weights(n, s / v, "constant")
        for n, s, v in zip(inside.shape, smoothing, voxels, strict=True)
    ]
    # The last blur, the cut of the margin and the mean over the parts of each voxel are one matrix along each axis. The
    # outermost voxels have no gradient.
    rest = [np.sqrt(max(p**2 - _blurred(v), 0.0)) / v for p, v in zip(psf.sigma, voxels, strict=True)]
    gather = [
        (_gathering(n, k, r) @ gaussian_weights(m, w, "constant"))[:, 1:-1]
        for n, k, r, m, w in zip(cell.shape, parts, room, inside.shape, rest, strict=True)
    ]
    seen = np.zeros(cell.shape, np.float32)
    at_once = max(1, _VOXELS_AT_ONCE * cell.shape[1] // inside.size)
    for first in range(0, cell.shape[1], at_once):
        rows = slice(first, first + at_once)
        shell = _reached(gather[1], rows)
        around = slice(shell.start, shell.stop + 2)
        near = _reached(smooth[1], around)
        if inside[:, near].any():
            smoothed = weighted(inside[:, near], smooth[0], smooth[1][around, near], smooth[2])
            surface = _gradient_length(smoothed, voxels)
            seen[:, rows] = weighted(surface, gather[0], gather[1][rows, shell], gather[2])
    return _scaled(seen)


def render_dna(cell: Cell, psf: PointSpread = SPINNING_DISC) -> Floats:
    """Render the filled nucleus mask, blurred by ``psf``; (Z, Y, X) float32 with maximum 1."""
    widths = [s / v for s, v in zip(psf.sigma, cell.voxel_size, strict=True)]
    blur = (gaussian_weights(n, w, "constant") for n, w in zip(cell.shape, widths, strict=True))
    return _scaled(weighted(cell.nucleus_mask, *blur))


def _smoothing(voxel: float) -> float:
    """Return the width (µm) of the Gaussian that smooths the mask, for voxels of this size."""
    return max(_SURFACE_SIGMA, voxel / 2)


def _blurred(voxel: float) -> float:
    """Return the surface's variance (µm²) before the point-spread: smoothing, difference quotient, voxel."""
    return _smoothing(voxel) ** 2 + voxel**2 / 3 + voxel**2 / 12


def _parts(voxel: float, sigma: float) -> int:
    """Return into how many parts to split a voxel so that its blur stays below ``sigma`` µm; at most four."""
    return next((k for k in (1, 2, 3) if _blurred(voxel / k) <= sigma**2), 4)


def _split(mask: Mask, parts: list[int]) -> Mask:
    """Split every voxel of ``mask``, and interpolate its outline."""
    # A part lies between its voxel and a neighbour. The weights of the two are whole numbers of 1 / (2 parts). Counted
    # in these, half of the whole is exact.
    share, whole = mask.astype(np.int16), 1
    for axis, count in enumerate(parts):
        if count == 1:
            continue
        whole *= 2 * count
        padded = np.pad(share, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before, after = (padded.take(range(i, i + share.shape[axis]), axis) for i in (0, 2))
        between = []
        for part in range(count):
            beyond = 2 * part + 1 - count
            between.append(
                (2 * count - abs(beyond)) * share + abs(beyond) * (before if beyond < 0 else after)
            )
        shape = [n * (count if a == axis else 1) for a, n in enumerate(share.shape)]
        share = np.stack(between, axis + 1).reshape(shape)
    return share > whole / 2


def _reached(matrix: Any, rows: slice) -> slice:
    """Return the columns from the first to the last in which some rows of a sparse matrix have values."""
    columns = matrix[rows].indices
    return slice(int(columns.min()), int(columns.max()) + 1)


def _gradient_length(image: Floats, step: tuple[float, ...]) -> Floats:
    """Return the length of the gradient per µm, by central differences; without the outermost voxels."""
    squares: list[Floats] = []
    for axis, width in enumerate(step):
        before, after = (
            image[tuple(part if a == axis else slice(1, -1) for a in range(3))]
            for part in (slice(None, -2), slice(2, None))
        )
        difference = after - before
        difference *= np.float32(0.5 / width)
        difference *= difference
        squares.append(difference)
    total = squares[0]
    total += squares[1]
    total += squares[2]
    return np.sqrt(total, out=total)


def _gathering(count: int, parts: int, margin: int) -> Any:
    """Return, as a sparse matrix of float32, the mean over the parts of each of ``count`` voxels inside a margin."""
    places = margin + np.arange(count * parts)
    values = np.full(count * parts, 1 / parts, np.float32)
    first = np.arange(0, count * parts + 1, parts)
    return sparse.csr_array((values, places, first), shape=(count, count * parts + 2 * margin))


def _room(sigma: tuple[float, ...], voxel_size: tuple[float, ...]) -> list[int]:
    """Return three widths of blur as voxels."""
    return [int(np.ceil(3 * s / v)) + 2 for s, v in zip(sigma, voxel_size, strict=True)]


def _scaled(image: Floats) -> Floats:
    """Divide ``image`` by its maximum, if that is positive."""
    top = float(image.max(initial=0))
    return image / np.float32(top) if top > 0 else image
