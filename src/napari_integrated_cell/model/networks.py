"""The eight networks of Tables S1-S8, for any box, depth and width.

Choices where the tables leave something open (see :mod:`.blocks` for the convolutions):

- "1024 FC" at the head of a decoder means 1024 channels on the smallest grid ((1, 1, 2) in the paper's box).
- The final "1 CONV" or "K+1 CONV" of DecD leaves several positions ((1, 1, 2) in the paper's box), whose logits are
  averaged. With ``dec_d_head="linear"`` the last layer is linear on all features, as in the published code.
- Encoders and discriminators return logits, for stable cross entropies; "SIGMOID" and "SOFTMAX" are computed where
  they are used. Decoders return the sigmoid, and their ``logits`` method the values before it.
- A PReLU has one slope. A LeakyReLU has slope 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from napari_integrated_cell.model.blocks import LEAK, DecoderTrunk, EncoderTrunk, down
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.standardising import WhitenedByStructure


class ConditionalCode(NamedTuple):
    """Output of Enc^{r,s} (equation 7): y (N, K), z^r (N, n_ref) and z^s (N, n_struct)."""

    y_logits: Tensor
    z_ref: Tensor
    z_struct: Tensor


class ReferenceEncoder(EncoderTrunk):
    """Enc^r (equation 1, Table S1): from reference images (N, R, Z, Y, X) to z^r (N, n_ref).

    With ``config.latent_norm`` z^r is standardised by the batch's mean and variance in training, by the running ones
    otherwise.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.n_references, config.enc_ref_widths)
        self.z_ref = nn.Linear(self.n_features, config.n_ref)
        self.standardise = nn.BatchNorm1d(config.n_ref, affine=False) if config.latent_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """Return z^r (N, n_ref) of reference images (N, R, Z, Y, X)."""
        z_ref = self.z_ref(self.features(x))
        return z_ref if self.standardise is None else self.standardise(z_ref)


class ConditionalEncoder(EncoderTrunk):
    """Enc^{r,s} (equation 7, Table S5): from images (N, R + 1, Z, Y, X), structure last, to ŷ, ẑ^r, z^s.

    With ``config.struct_norm`` z^s is whitened among the cells of each structure, weighted by ŷ.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.n_references + 1, config.enc_cond_widths)
        self.y = nn.Linear(self.n_features, config.n_structures)
        self.z_ref = nn.Linear(self.n_features, config.n_ref)
        self.z_struct = nn.Linear(self.n_features, config.n_struct)
        self.standardise = (
            WhitenedByStructure(config.n_structures, config.n_struct) if config.struct_norm else None
        )

    def forward(self, x: Tensor) -> ConditionalCode:
        """Return label logits and both latent positions of images (N, R + 1, Z, Y, X)."""
        features = self.features(x)
        code = ConditionalCode(self.y(features), self.z_ref(features), self.z_struct(features))
        if self.standardise is None:
            return code
        return code._replace(z_struct=self.standardise(code.z_struct, code.y_logits.softmax(1)))


class ReferenceDecoder(DecoderTrunk):
    """Dec^r (equation 2, Table S2): from z^r (N, n_ref) to reference images (N, R, Z, Y, X) in (0, 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.n_ref, config.n_references)

    def logits(self, z_ref: Tensor) -> Tensor:
        """Return images before the sigmoid, (N, R, Z, Y, X), for a cross entropy on logits."""
        return self.image_logits(z_ref)

    def forward(self, z_ref: Tensor) -> Tensor:
        """Return reference images x̂^r (N, R, Z, Y, X) in (0, 1)."""
        return self.logits(z_ref).sigmoid()


class ConditionalDecoder(DecoderTrunk):
    """Dec^{r,s} (equation 12, Table S6): from y, z^r, z^s to images (N, R + 1, Z, Y, X) in (0, 1), structure last.

    ``y`` (N, K) is a one-hot label or the probabilities ŷ. It is multiplied by ``config.label_scale``.
    """

    def __init__(self, config: ModelConfig) -> None:
        n_latent = config.n_structures + config.n_ref + config.n_struct
        super().__init__(config, n_latent, config.n_references + 1)
        self.label_scale = config.label_scale

    def logits(self, y: Tensor, z_ref: Tensor, z_struct: Tensor, channels: slice = slice(None)) -> Tensor:
        """Return images before the sigmoid, (N, R + 1, Z, Y, X), for a cross entropy on logits.

        ``channels`` selects some of the channels, which is faster.
        """
        return self.image_logits(torch.cat((self.label_scale * y, z_ref, z_struct), dim=1), channels)

    def structure(self, y: Tensor, z_ref: Tensor, z_struct: Tensor) -> Tensor:
        """Return x̂^s alone, (N, Z, Y, X) in (0, 1): the last channel of :meth:`forward`."""
        return self.logits(y, z_ref, z_struct, slice(-1, None))[:, 0].sigmoid()

    def forward(self, y: Tensor, z_ref: Tensor, z_struct: Tensor) -> Tensor:
        """Return images x̂^{r,s} (N, R + 1, Z, Y, X) in (0, 1)."""
        return self.logits(y, z_ref, z_struct).sigmoid()


class EncodingDiscriminator(nn.Module):
    """EncD^r and EncD^s (Tables S3, S7): from latent positions (N, n_latent) to logits (N, n_out)."""

    def __init__(self, config: ModelConfig, n_latent: int, n_out: int) -> None:
        super().__init__()
        widths = config.enc_d_widths
        layers: list[nn.Module] = []
        for level, (a, b) in enumerate(pairwise((n_latent, *widths))):
            layers.append(nn.Linear(a, b))
            if config.enc_d_norm and level > 0:
                layers.append(nn.BatchNorm1d(b))
            layers.append(nn.LeakyReLU(LEAK))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_out))

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (N, n_out)."""
        return self.layers(z)


class DecodingDiscriminator(nn.Module):
    """DecD^r and DecD^{r,s} (Tables S4, S8): from images (N, n_channels, Z, Y, X) to logits (N, n_out).

    ``n_channels`` is R in phase 1 and R + 1 in phase 2. ``n_out`` is 1 in phase 1 (equation 6) and K + 1 in phase 2,
    "generated" last (equation 14). In training, white noise of standard deviation ``noise_sigma`` is added to the
    images (section 3.2). ``white_noise`` draws it in the images' shape; a trainer can replace it, to repeat a run.
    """

    def __init__(self, config: ModelConfig, n_channels: int, n_out: int) -> None:
        super().__init__()
        self.noise_sigma = config.dec_d_noise
        self.white_noise: Callable[[Tensor], Tensor] = torch.randn_like
        reference = n_channels == config.n_references
        first_norm = config.dec_d_ref_first_norm if reference else config.dec_d_cond_first_norm
        widths = config.dec_d_widths
        self.blocks = nn.Sequential(
            *(
                down(a, b, nn.LeakyReLU(LEAK), norm=first_norm or level > 0)
                for level, (a, b) in enumerate(pairwise((n_channels, *widths)))
            )
        )
        self.head: nn.Module
        if config.dec_d_head == "conv":
            self.head = nn.Conv3d(widths[-1], n_out, 4, 2, 1)
        else:
            self.head = nn.Linear(widths[-1] * math.prod(config.grids(len(widths))[-1]), n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, n_out)."""
        if self.training and self.noise_sigma > 0:
            x = x + self.noise_sigma * self.white_noise(x)
        features = self.blocks(x)
        if isinstance(self.head, nn.Conv3d):
            return self.head(features).mean(dim=(2, 3, 4))
        return self.head(features.flatten(1))


class ReferenceNetworks(NamedTuple):
    """The four networks of phase 1 (section 2.1)."""

    enc: ReferenceEncoder
    dec: ReferenceDecoder
    enc_d: EncodingDiscriminator
    dec_d: DecodingDiscriminator


class ConditionalNetworks(NamedTuple):
    """The four networks of phase 2 (section 2.2)."""

    enc: ConditionalEncoder
    dec: ConditionalDecoder
    enc_d: EncodingDiscriminator
    dec_d: DecodingDiscriminator


def model_networks(
    config: ModelConfig,
) -> tuple[ReferenceEncoder, ReferenceDecoder, ConditionalEncoder, ConditionalDecoder]:
    """Return the networks of a trained model: Enc^r, Dec^r, Enc^{r,s} and Dec^{r,s}, with PyTorch's initial weights."""
    return (
        ReferenceEncoder(config),
        ReferenceDecoder(config),
        ConditionalEncoder(config),
        ConditionalDecoder(config),
    )


def reference_networks(config: ModelConfig) -> ReferenceNetworks:
    """Return Enc^r, Dec^r, EncD^r and DecD^r with PyTorch's initial weights; see :func:`initialise`."""
    return ReferenceNetworks(
        ReferenceEncoder(config),
        ReferenceDecoder(config),
        EncodingDiscriminator(config, config.n_ref, 1),
        DecodingDiscriminator(config, config.n_references, 1),
    )


def conditional_networks(config: ModelConfig) -> ConditionalNetworks:
    """Return Enc^{r,s}, Dec^{r,s}, EncD^s and DecD^{r,s} with PyTorch's initial weights; see :func:`initialise`."""
    n_out = config.n_structures + 1
    return ConditionalNetworks(
        ConditionalEncoder(config),
        ConditionalDecoder(config),
        EncodingDiscriminator(config, config.n_struct, n_out),
        DecodingDiscriminator(config, config.n_references + 1, n_out),
    )


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw a network's initial weights in place from ``generator``.

    Convolutions: N(0, 0.02) with bias 0. Batch normalisation: weight N(1, 0.02) with bias 0 (Radford et al., 2015).
    Linear layers: uniform within 1 / sqrt(inputs), PyTorch's default. PReLU: 0.25. The draws are made on the
    generator's device, so a CPU generator gives the same weights on every device.
    """

    def draw(parameter: Tensor) -> Tensor:
        return torch.empty(parameter.shape, dtype=parameter.dtype, device=generator.device)

    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.weight.copy_(draw(module.weight).normal_(0.0, 0.02, generator=generator))
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm3d)):
            if module.affine:
                module.weight.copy_(draw(module.weight).normal_(1.0, 0.02, generator=generator))
                module.bias.zero_()
            module.reset_running_stats()
        elif isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            module.weight.copy_(draw(module.weight).uniform_(-bound, bound, generator=generator))
            module.bias.copy_(draw(module.bias).uniform_(-bound, bound, generator=generator))
        elif isinstance(module, nn.PReLU):
            module.weight.fill_(0.25)


def describe(config: ModelConfig) -> dict[str, dict[str, Any]]:
    """Return layers, output shapes and parameter counts of all eight networks, without allocating weights.

    Returns
    -------
    dict
        For each network (``enc_ref``, ``dec_ref``, ``enc_d_ref``, ``dec_d_ref``, ``enc_cond``, ``dec_cond``,
        ``enc_d_cond``, ``dec_d_cond``): ``parameters``, their number, and ``layers`` in the order of computation,
        each with ``name``, ``type``, ``output_shape`` (without batch axis) and ``parameters``.
    """
    n_ref, n_struct, n_references = config.n_ref, config.n_struct, config.n_references
    with torch.device("meta"):
        reference, conditional = reference_networks(config), conditional_networks(config)
        images = {n: torch.empty(2, n, *config.box) for n in (n_references, n_references + 1)}
        z_ref, z_struct, y = (torch.empty(2, n) for n in (n_ref, n_struct, config.n_structures))
    inputs: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "enc_ref": (reference.enc, (images[n_references],)),
        "dec_ref": (reference.dec, (z_ref,)),
        "enc_d_ref": (reference.enc_d, (z_ref,)),
        "dec_d_ref": (reference.dec_d, (images[n_references],)),
        "enc_cond": (conditional.enc, (images[n_references + 1],)),
        "dec_cond": (conditional.dec, (y, z_ref, z_struct)),
        "enc_d_cond": (conditional.enc_d, (z_struct,)),
        "dec_d_cond": (conditional.dec_d, (images[n_references + 1],)),
    }
    described = {}
    for name, (network, arguments) in inputs.items():
        with _recorded(network) as layers:
            network.eval()(*arguments)
        described[name] = {"layers": layers, "parameters": sum(p.numel() for p in network.parameters())}
    return described


@contextmanager
def _recorded(network: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that gets one entry per leaf layer when ``network`` computes."""
    layers: list[dict[str, Any]] = []

    def record(name: str, module: nn.Module, output: Tensor) -> None:
        layers.append(
            {
                "name": name,
                "type": type(module).__name__,
                "output_shape": list(output.shape[1:]),
                "parameters": sum(p.numel() for p in module.parameters()),
            }
        )

    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: record(name, module, output))
        for name, module in network.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()
