"""The label logits of Enc^{r,s} (equation 7), and what the structure's channel adds to them."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.model import inputs
from napari_integrated_cell.model.inference import on_device, plain_layers
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import RunOptions, batches


def label_logits(
    model: IntegratedCell, x: ArrayLike | Tensor, **run: Unpack[RunOptions]
) -> tuple[Floats, Floats]:
    """Return the logits of ŷ, and their difference to those of the same cell without its structure.

    The difference leaves out what the shape of cell and nucleus alone does to the logits.

    Parameters
    ----------
    model : IntegratedCell
        A trained model with K structures.
    x : array (N, R + 1, Z, Y, X)
        Images as for :meth:`~napari_integrated_cell.model.integrated_cell.IntegratedCell.classify`.
    **run
        Keyword arguments of every method of the model.

    Returns
    -------
    logits : array of float32, (N, K)
        In the order of ``model.config.structures``. Their softmax is ŷ.
    added : array of float32, (N, K)
        The logits, less those of the same image with an empty structure channel.
    """
    images = inputs.images(x, (*model.config.references, "structure"), model.config)
    device = model.device

    def step(part: slice) -> tuple[Floats, Floats]:
        with torch.inference_mode(), plain_layers(model.exact):
            shown = images[part]
            empty = shown.clone()
            empty[:, -1] = 0
            logits, without = (model.enc_cond(on_device(i, device)).y_logits.float() for i in (shown, empty))
            return logits.cpu().numpy(), (logits - without).cpu().numpy()

    logits, added = zip(
        *(found for _, found in batches(step, len(images), what="Classifying cells", **run)), strict=True
    )
    return np.concatenate(logits), np.concatenate(added)
