"""How much light the training cells hold: of every channel, and of every structure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.fit.batches import Cells, Indices

CELLS_FOR_MEAN = 256
CELLS_FOR_LIGHT = 64


def mean_intensity(cells: Cells) -> Tensor:
    """Mean of every channel, (R + 1,), over some cells spread evenly over the data."""
    return _mean(cells, np.arange(len(cells)), CELLS_FOR_MEAN)


def structure_light(cells: Cells, n_structures: int) -> Tensor:
    """Mean intensity of each structure's channel, (K,), over some of its cells; their mean where it has none."""
    labels = np.asarray(cells.labels)
    light = torch.full((n_structures,), torch.nan)
    for structure in np.unique(labels):
        light[structure] = _mean(cells, np.flatnonzero(labels == structure), CELLS_FOR_LIGHT)[-1]
    return light.where(~light.isnan(), light.nanmean())


def weights_by_light(light: Tensor, how: Literal["inverse", "dimmed"]) -> Tensor:
    """Weight of each structure's channel, (K,), so that bright structures do not drown faint ones in L_x.

    Parameters
    ----------
    light : Tensor, (K,)
        As :func:`structure_light` measures it.
    how : {"inverse", "dimmed"}
        By the inverse of the light, with a mean of 1; or bright structures alone, down to the median's light: what
        is faint and predictable is not raised above what is faint and varies.
    """
    light = light.clip(1e-6)
    if how == "dimmed":
        return (light.median() / light).clamp(max=1)
    return (1 / light) / (1 / light).mean()


def _mean(cells: Cells, among: Indices, most: int) -> Tensor:
    """Mean of every channel over at most so many of some cells, spread evenly among them."""
    chosen = among[np.unique(np.linspace(0, len(among) - 1, min(most, len(among))).astype(np.int64))]
    return torch.stack([cells.images(np.array([i]))[0].mean(dim=(1, 2, 3)) for i in chosen]).mean(0)
