"""Render reference images from segmentations: a membrane and a nucleus as a microscope shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Floats, Mask
from napari_integrated_cell.cell import Cell, checked_voxel_size

# Width (µm) of the Gaussian that smooths the mask before its gradient is taken. The shell is then 0.2 µm thick.
_SURFACE_SIGMA = 0.085
# More voxels are not rendered: a cell of 100 x 100 x 40 µm has as many at 0.08 µm.
_MOST_VOXELS = 800_000_000


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
        return _gaussian(image, self.sigma, checked_voxel_size(voxel_size))


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
    rest = tuple(np.sqrt(max(p**2 - _blurred(v), 0.0)) for p, v in zip(psf.sigma, voxels, strict=True))
    # With the margin, a mask that touches the crop's edge has a surface there too.
    inside, margin = _padded(_split(cell.cell_mask, parts), smoothing, voxels)
    inside = _gaussian(inside, smoothing, voxels)
    surface = np.zeros_like(inside)
    for axis, step in enumerate(voxels):
        surface += _difference(inside, axis, step) ** 2
    seen = _gaussian(np.sqrt(surface, out=surface), rest, voxels)
    return _scaled(_gathered(seen[margin], parts))


def render_dna(cell: Cell, psf: PointSpread = SPINNING_DISC) -> Floats:
    """Render the filled nucleus mask, blurred by ``psf``; (Z, Y, X) float32 with maximum 1."""
    return _scaled(psf.blur(cell.nucleus_mask, cell.voxel_size))


def _gaussian(image: NDArray[Any], sigma: tuple[float, ...], voxel_size: tuple[float, ...]) -> Floats:
    """Blur by a Gaussian with widths in µm."""
    in_voxels = [s / v for s, v in zip(sigma, voxel_size, strict=True)]
    return ndimage.gaussian_filter(
        np.asarray(image, dtype=np.float32), in_voxels, mode="constant", truncate=3.0
    )


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
    if max(parts) == 1:
        return mask
    return ndimage.zoom(mask.astype(np.float32), parts, order=1, mode="nearest", grid_mode=True) > 0.5


def _gathered(image: Floats, parts: list[int]) -> Floats:
    """Average over the parts of each voxel."""
    z, y, x = (n // k for n, k in zip(image.shape, parts, strict=True))
    return image.reshape(z, parts[0], y, parts[1], x, parts[2]).mean(axis=(1, 3, 5))


def _difference(image: Floats, axis: int, step: float) -> Floats:
    """Return the central difference along ``axis`` per µm, with zeros at both ends."""
    out = np.zeros_like(image)
    moved, ahead = np.moveaxis(out, axis, 0), np.moveaxis(image, axis, 0)
    moved[1:-1] = (ahead[2:] - ahead[:-2]) / np.float32(2 * step)
    return out


def _padded(
    mask: Mask, sigma: tuple[float, ...], voxel_size: tuple[float, ...]
) -> tuple[Floats, tuple[slice, ...]]:
    """Pad ``mask`` by three widths of blur; return it and the slices of the original mask."""
    room = _room(sigma, voxel_size)
    padded = np.pad(mask.astype(np.float32), [(r, r) for r in room])
    return padded, tuple(slice(r, r + n) for r, n in zip(room, mask.shape, strict=True))


def _room(sigma: tuple[float, ...], voxel_size: tuple[float, ...]) -> list[int]:
    """Return three widths of blur as voxels."""
    return [int(np.ceil(3 * s / v)) + 2 for s, v in zip(sigma, voxel_size, strict=True)]


def _scaled(image: Floats) -> Floats:
    """Divide ``image`` by its maximum, if that is positive."""
    top = float(image.max(initial=0))
    return image / np.float32(top) if top > 0 else image
