"""Mean intensities of the training cells: first biases of the decoders, and weights of the structures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.data.training_cells import Cells
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.model.blocks import DecoderTrunk

CELLS_FOR_MEAN = 256
CELLS_PER_STRUCTURE = 64


def mean_intensity(cells: Cells) -> Tensor:
    """Return the mean of every channel, (R + 1,), over some cells spread evenly over the data."""
    return _mean(cells, np.arange(len(cells)), CELLS_FOR_MEAN)


@torch.no_grad()
def predict_mean(decoder: DecoderTrunk, mean: Tensor) -> None:
    """Set the decoder's last bias so that it predicts ``mean`` (C,) in every voxel if its other inputs are zero."""
    bias = decoder.image.bias
    assert bias is not None
    bias.copy_(torch.logit(mean[: len(bias)], eps=1e-4))


def structure_intensity(cells: Cells, n_structures: int) -> Tensor:
    """Return the mean of each structure's channel, (K,), over some of its cells.

    A structure without cells gets the mean of the others.
    """
    labels = np.asarray(cells.labels)
    intensity = torch.full((n_structures,), torch.nan)
    for structure in np.unique(labels):
        intensity[structure] = _mean(cells, np.flatnonzero(labels == structure), CELLS_PER_STRUCTURE)[-1]
    return intensity.where(~intensity.isnan(), intensity.nanmean())


def inverse_intensity_weights(intensity: Tensor) -> Tensor:
    """Return the weight of each structure's channel in L_x, (K,), with a mean of 1.

    Weights are the inverse of :func:`structure_intensity`, so that bright structures do not dominate faint ones.
    """
    inverse = 1 / intensity.clip(1e-6)
    return inverse / inverse.mean()


def _mean(cells: Cells, among: Indices, most: int) -> Tensor:
    """Return the mean of every channel over at most ``most`` of some cells, spread evenly among them."""
    chosen = among[np.unique(np.linspace(0, len(among) - 1, min(most, len(among))).astype(np.int64))]
    return torch.stack([cells.images(np.array([i]))[0].mean(dim=(1, 2, 3)) for i in chosen]).mean(0)
