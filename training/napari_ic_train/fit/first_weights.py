"""Where a phase's networks begin, where that is not at random: biases from the data, phase 2 from phase 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_integrated_cell.model.blocks import DecoderTrunk
from napari_integrated_cell.model.networks import ConditionalNetworks, ReferenceEncoder, ReferenceNetworks


@torch.no_grad()
def predict_mean(decoder: DecoderTrunk, mean: Tensor) -> None:
    """Set the decoder's last bias so that, all else at zero, it predicts ``mean`` (C,) everywhere."""
    bias = decoder.image.bias
    assert bias is not None
    bias.copy_(torch.logit(mean[: len(bias)], eps=1e-4))


@torch.no_grad()
def take_over(conditional: ConditionalNetworks, reference: ReferenceNetworks) -> None:
    """Start Enc^{r,s} and Dec^{r,s} from Enc^r and Dec^r, in place, wherever the networks agree.

    Layers of equal shape are copied. Where phase 2 has one input or output more, the part that phase 1 knows
    is: the reference channels of the first convolution and of the image, and z^r's columns of the decoder's
    projection. Deeper blocks, ŷ, z^s and the structure's channel stay as they are.
    """
    enc, dec = conditional.enc, conditional.dec
    n_structures, n_ref = enc.y.out_features, reference.enc.z_ref.out_features

    for block, known in zip(enc.blocks, reference.enc.blocks, strict=False):
        _copy(block, known)
    first, known_first = _convolution(enc.blocks[0]), _convolution(reference.enc.blocks[0])
    first.weight[:, : known_first.in_channels].copy_(known_first.weight)
    if enc.z_ref.in_features == reference.enc.z_ref.in_features:
        weight, bias = standardised_head(reference.enc)
        enc.z_ref.weight.copy_(weight)
        enc.z_ref.bias.copy_(bias)

    dec.project.weight[:, n_structures : n_structures + n_ref].copy_(reference.dec.project.weight)
    dec.project.bias.copy_(reference.dec.project.bias)
    for layer in ("norm", "activation", "blocks"):
        _copy(getattr(dec, layer), getattr(reference.dec, layer))
    n_references = reference.dec.image.out_channels
    dec.image.weight[:, :n_references].copy_(reference.dec.image.weight)
    assert dec.image.bias is not None
    assert reference.dec.image.bias is not None
    dec.image.bias[:n_references].copy_(reference.dec.image.bias)


def standardised_head(encoder: ReferenceEncoder) -> tuple[Tensor, Tensor]:
    """Weight (n_ref, F) and bias (n_ref,) of the linear layer that gives z^r, its standardisation folded in."""
    weight, bias, norm = encoder.z_ref.weight, encoder.z_ref.bias, encoder.standardise
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    return weight * scale[:, None], (bias - norm.running_mean) * scale


def _copy(network: nn.Module, known: nn.Module) -> None:
    """Copy every parameter and running statistic that both have in one shape."""
    there = known.state_dict()
    for name, tensor in network.state_dict().items():
        if name in there and there[name].shape == tensor.shape:
            tensor.copy_(there[name])


def _convolution(block: nn.Module) -> nn.Conv3d:
    convolution = block.get_submodule("conv")
    assert isinstance(convolution, nn.Conv3d)
    return convolution
