"""The losses of "Building a 3D Integrated Cell": equations 3-6, 8-11, 13 and 14 as functions of logits.

Every loss is a mean over all its terms (equation 4: over all voxels, channels and cells of the batch). It takes logits,
because ``log(sigmoid(u))`` of a rounded sigmoid loses digits that the gradient needs. It is computed in float32 or
better, also if the networks ran in a lower precision.

In phase 1 a discriminator predicts whether its input is *observed* or *generated* (`source_loss`), in phase 2 which
structure it shows, or *gen* (`structure_loss`). `encoding_discriminator_loss`, `decoding_discriminator_loss` and
`decoder_deception_loss` combine these terms for both phases; text and published code differ by a factor of one half
there.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from napari_ic_train.config import LossScaling


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return H(û, u) of equation 4 with û = sigmoid(logits).

    Parameters
    ----------
    logits : Tensor of any shape
        û before its sigmoid.
    target : Tensor of the same shape
        u, in [0, 1].

    Returns
    -------
    Tensor
        The mean over all elements, a scalar.
    """
    logits = _at_least_float32(logits)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def reconstruction_loss(
    logits: Tensor, x: Tensor, *, last_channel_weight: float = 1.0, cell_weights: Tensor | None = None
) -> Tensor:
    """Return L_x of equations 3 and 13: H(x̂, x) over all voxels and channels of (N, C, Z, Y, X) images.

    Parameters
    ----------
    logits : Tensor (N, C, Z, Y, X)
        x̂ before its sigmoid.
    x : Tensor (N, C, Z, Y, X)
        In [0, 1].
    last_channel_weight : float
        Weight of the last channel (in phase 2 the structure) relative to each other channel, scaled to a mean weight
        of 1. In the paper all channels have the same weight.
    cell_weights : Tensor (N,), optional
        Further weight of each cell's last channel; 1 in the paper.
    """
    logits = _at_least_float32(logits)
    weight = logits.new_ones(x.shape[:2])
    weight[:, -1] = last_channel_weight
    weight /= weight[0].mean()
    if cell_weights is not None:
        weight[:, -1] *= cell_weights.to(weight)
    weight = weight.view(*weight.shape, *(1 for _ in x.shape[2:]))
    return _ImageCrossEntropy.apply(logits, x.to(logits.dtype), weight)


class _ImageCrossEntropy(torch.autograd.Function):
    """The mean of weight * H(sigmoid(u), x), in half as many passes over the images as PyTorch's own."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        # H = softplus(u) - u x, and its derivative sigmoid(u) - x. Above 50 softplus(u) is u in float64 too.
        terms = F.softplus(u, threshold=50).addcmul_(u, x, value=-1)
        ctx.save_for_backward(u.sigmoid().sub_(x), weight)
        return (terms.mean(tuple(range(2, u.ndim)), keepdim=True) * weight).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        difference, weight = ctx.saved_tensors
        return difference * (weight * (gradient / difference.numel())), None, None


def latent_loss(z_hat: Tensor, z: Tensor) -> Tensor:
    """Return L_ẑr of equation 8: the mean squared error between ẑ^r and phase 1's z^r, both (N, n_ref)."""
    return F.mse_loss(_at_least_float32(z_hat), z.to(_at_least_float32(z_hat).dtype))


def structure_loss(logits: Tensor, y: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return -LogSoftMax(û, y) of equations 9, 10, 11 and 14, averaged over the batch.

    Parameters
    ----------
    logits : Tensor (N, K) or (N, K + 1)
        One score per structure; a discriminator has one more, the last, for *gen*.
    y : Tensor (N,), int64
        The structure's index, counted from 0 (the paper counts from 1); K means *gen*.
    class_weights : Tensor (K,), optional
        Weight of the cells of each structure; 1 in the paper.
    """
    logits = _at_least_float32(logits)
    if class_weights is None:
        return F.cross_entropy(logits, y)
    # cross_entropy's own `weight` divides by the sum of the batch's weights: parts of a batch would not add up.
    return (F.cross_entropy(logits, y, reduction="none") * class_weights.to(logits)[y]).mean()


def source_loss(logits: Tensor, *, observed: bool) -> Tensor:
    """Return H(v̂, v) of equations 5 and 6, with v = 1 for observed and v = 0 for generated.

    ``logits`` is v̂ before its sigmoid, (N, 1).
    """
    return binary_cross_entropy(logits, torch.full_like(logits, float(observed)))


def encoding_discriminator_loss(
    generated: Tensor, observed: Tensor, scaling: LossScaling = "paper"
) -> Tensor:
    """Return L_EncD: equation 5 (phase 1), or equation 11 as Algorithm 2 sums it (phase 2).

    Parameters
    ----------
    generated : Tensor
        Loss on draws from the prior, with target *gen*.
    observed : Tensor
        Loss on the encoder's embeddings, with target *observed* in phase 1, their structure in phase 2.
    scaling : {"paper", "paper-code"}
        The published code takes half of the sum.
    """
    loss = generated + observed
    return loss / 2 if scaling == "paper-code" else loss


def decoding_discriminator_loss(
    observed: Tensor, decoded: Tensor, generated: Tensor, scaling: LossScaling = "paper"
) -> Tensor:
    """Return L_DecD: equations 6 and 14 as Algorithms 1 and 2 sum them.

    Reconstructed and generated images both have the target *gen* and share one weight, so their mean is used, in the
    text as in the published code.

    Parameters
    ----------
    observed : Tensor
        Loss on real images, with target *observed* in phase 1, their structure in phase 2.
    decoded, generated : Tensor
        Loss on reconstructed and on generated images, with target *gen*.
    scaling : {"paper", "paper-code"}
        The published code takes half of the sum.
    """
    loss = observed + (decoded + generated) / 2
    return loss / 2 if scaling == "paper-code" else loss


def decoder_deception_loss(decoded: Tensor, generated: Tensor, scaling: LossScaling = "paper") -> Tensor:
    """Return L_DecD in the decoder's loss (Algorithms 1 and 2): both kinds of image should look observed.

    Parameters
    ----------
    decoded, generated : Tensor
        Loss on reconstructed and generated images, with target *observed* (phase 1) or the structure that they were
        made for (phase 2).
    scaling : {"paper", "paper-code"}
        The published code takes half of the sum.

    Notes
    -----
    The encoder's counterpart has no function of its own: it is `source_loss` or `structure_loss` of the embeddings with
    target *gen*. Algorithm 2 prints that line without the minus sign of all the others
    ("L_EncD^s ← LogSoftMax(Ŷ_obs, Y_gen)"), which would train the encoder against its aim. We treat that as a
    misprint, and also the superscripts of equations 15 and 16, where discriminators of phase 2 appear in phase 1.
    """
    loss = decoded + generated
    return loss / 2 if scaling == "paper-code" else loss
