"""A plain implementation of rendering, which blurs and splits whole volumes by scipy alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Width (µm) of the Gaussian that smooths the mask.
SURFACE_SIGMA = 0.085


def plain_dna(cell, psf):
    """Blur the nucleus mask by the point-spread."""
    return scaled(gaussian(cell.nucleus_mask.astype(np.float32), psf.sigma, cell.voxel_size))


def plain_membrane(cell, psf):
    """Split the voxels, smooth the mask, take its gradient, blur that by the rest, and average the parts."""
    parts = [
        next((k for k in (1, 2, 3) if blurred(v / k) <= s**2), 4)
        for v, s in zip(cell.voxel_size, psf.sigma, strict=True)
    ]
    voxels = [v / k for v, k in zip(cell.voxel_size, parts, strict=True)]
    mask = cell.cell_mask.astype(np.float32)
    split = ndimage.zoom(mask, parts, order=1, mode="nearest", grid_mode=True) > 0.5
    margin = [int(np.ceil(3 * smoothing(v) / v)) + 2 for v in voxels]
    inside = np.pad(split.astype(np.float32), [(m, m) for m in margin])
    inside = gaussian(inside, [smoothing(v) for v in voxels], voxels)
    squares = np.zeros_like(inside)
    for axis, step in enumerate(voxels):
        along, ahead = np.moveaxis(squares, axis, 0), np.moveaxis(inside, axis, 0)
        along[1:-1] += ((ahead[2:] - ahead[:-2]) / (2 * step)) ** 2
    rest = [np.sqrt(max(s**2 - blurred(v), 0)) for s, v in zip(psf.sigma, voxels, strict=True)]
    seen = gaussian(np.sqrt(squares), rest, voxels)
    seen = seen[tuple(slice(m, m + n) for m, n in zip(margin, split.shape, strict=True))]
    (z, a), (y, b), (x, c) = zip(cell.shape, parts, strict=True)
    return scaled(seen.reshape(z, a, y, b, x, c).mean(axis=(1, 3, 5)))


def smoothing(voxel):
    return max(SURFACE_SIGMA, voxel / 2)


def blurred(voxel):
    """Return the variance (µm²) of the surface before the point-spread: smoothing, difference quotient, voxel."""
    return smoothing(voxel) ** 2 + voxel**2 / 3 + voxel**2 / 12


def gaussian(image, sigma, voxel_size):
    widths = [s / v for s, v in zip(sigma, voxel_size, strict=True)]
    return ndimage.gaussian_filter(image, widths, mode="constant", truncate=3)


def scaled(image):
    return image / image.max() if image.any() else image
