"""Plain implementations that the package is compared with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from measuring import replaced
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import norm

from napari_integrated_cell.imaging import placing, pose, resampling, watershed
from napari_integrated_cell.imaging.rendering import SPINNING_DISC
from napari_integrated_cell.model import inference
from napari_integrated_cell.model.integrated_cell import IntegratedCell

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "examples"))
from plain_rendering import plain_dna, plain_membrane
from plain_resampling import plain_resample
from plain_simulation import plain_simulation

__all__ = ["plain_simulation"]


def resample(
    image: NDArray[Any],
    source_grid: Any,
    source_to_target: Any,
    target_grid: Any,
    target_shape: tuple[int, int, int],
    order: int = 1,
) -> NDArray[np.float32]:
    """Resample each channel by the general affine transform of scipy, after a Gaussian along each axis that shrinks."""
    volumes = image.reshape(-1, *image.shape[-3:])
    found = [
        plain_resample(v, source_grid, source_to_target, target_grid, target_shape, order) for v in volumes
    ]
    return np.stack(found).reshape(*image.shape[:-3], *target_shape)


def within(mask: NDArray[Any], distance: float, voxel_size: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return the voxels at most ``distance`` µm from a mask, by a distance transform."""
    return ndimage.distance_transform_edt(~mask, sampling=voxel_size) <= distance


def dilated(mask: NDArray[Any], distance: float, voxel_size: tuple[float, ...]) -> NDArray[np.bool_]:
    """Dilate a mask by a Gaussian of the whole volume."""
    sigma = [distance / v for v in voxel_size]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest", truncate=3)
    return mask | (blurred > norm.cdf(-1))


RENDERED = {
    "membrane": partial(plain_membrane, psf=SPINNING_DISC),
    "dna": partial(plain_dna, psf=SPINNING_DISC),
}


@contextmanager
def plain_package() -> Iterator[None]:
    """Make the package resample, dilate, render and infer by the plain implementations."""
    with ExitStack() as stack:
        for module in (pose, watershed, resampling):
            stack.enter_context(replaced(module, "resample", resample))
        stack.enter_context(replaced(placing, "within", within))
        stack.enter_context(replaced(pose, "dilated", dilated))
        stack.enter_context(replaced(pose, "_RENDERED", RENDERED))
        stack.enter_context(replaced(inference, "applies", lambda network, x: False))
        yield


def algorithm_3(model: IntegratedCell, x_ref: torch.Tensor) -> dict[str, NDArray[Any]]:
    """Run Algorithm 3 as printed: encode once, then decode each structure in the default memory layout."""
    with torch.inference_mode(), inference.plain_layers():
        z_ref = model.enc_ref(x_ref)
        return {name: structure(model, index, z_ref) for index, name in enumerate(model.config.structures)}


def structure(model: IntegratedCell, index: int, z_ref: torch.Tensor) -> NDArray[Any]:
    """Decode one structure and all its reference channels, and keep the structure."""
    config = model.config
    with torch.inference_mode(), inference.plain_layers():
        y = torch.zeros(1, config.n_structures)
        y[0, index] = 1
        return model.dec_cond(y, z_ref, torch.zeros(1, config.n_struct))[:, -1].numpy()


def write(path: Path, volumes: NDArray[Any]) -> None:
    """Write (C, Z, Y, X) by tifffile, on one thread, row by row."""
    tifffile.imwrite(
        path,
        volumes,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 4},
        maxworkers=1,
    )
