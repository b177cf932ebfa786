"""A plain implementation of resampling, which rests on scipy alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def plain_resample(image, source_grid, source_to_target, target_grid, target_shape, order=1):
    """Resample by the general affine transform of scipy, after a Gaussian along each axis that shrinks."""
    to_source = np.linalg.inv(source_to_target @ source_grid) @ target_grid
    source = image.astype(np.float32)
    if order:
        sigma = np.maximum(np.linalg.norm(to_source[:3, :3], axis=1) - 1, 0) / 2
        source = ndimage.gaussian_filter(source, np.where(sigma < 0.15, 0, sigma), mode="nearest", truncate=3)
    return ndimage.affine_transform(
        source, to_source, output_shape=target_shape, output=np.float32, order=order, mode="grid-constant"
    )
