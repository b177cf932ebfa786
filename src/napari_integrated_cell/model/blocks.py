"""Building blocks of the networks of Tables S1-S8: down- and up-convolutions, encoder and decoder trunks.

A convolution with an arrow in the tables has kernel 4, stride 2, padding 1 and a bias. Downwards, n voxels become
floor(n / 2). Upwards, ``output_padding`` restores the lost voxel of an odd grid. In the paper's box Y is 96, 48, 24,
12, 6, 3, 1 in the encoder and 1, 3, 6, ..., 96 in the decoder.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_integrated_cell.model.config import ModelConfig, Shape

LEAK = 0.2

_TAPS = torch.tensor([[3, 1], [2, 0]])
"""Kernel entries (of a kernel of 4 with stride 2) of the two neighbours of an even voxel, and of an odd voxel."""


def down(n_in: int, n_out: int, activation: nn.Module, *, norm: bool = True) -> nn.Sequential:
    """Return CONV ↓, BNORM, activation."""
    layers: list[tuple[str, nn.Module]] = [("conv", nn.Conv3d(n_in, n_out, 4, 2, 1))]
    if norm:
        layers.append(("norm", nn.BatchNorm3d(n_out)))
    return nn.Sequential(OrderedDict([*layers, ("activation", activation)]))


def up(n_in: int, n_out: int, grid: Shape, target: Shape) -> nn.ConvTranspose3d:
    """Return CONV ↑ from ``grid`` to ``target``, one voxel longer along axes where ``target`` is odd."""
    z, y, x = (big - 2 * small for small, big in zip(grid, target, strict=True))
    return nn.ConvTranspose3d(n_in, n_out, 4, 2, 1, output_padding=(z, y, x))


def up_by_sub_pixels(step: nn.ConvTranspose3d, x: Tensor, channels: slice = slice(None)) -> Tensor:
    """Return some output channels of the convolution ``step`` of :func:`up` for ``x`` (N, n_in, Z, Y, X).

    Each voxel of ``x`` becomes 2 x 2 x 2 voxels, and each of these is a sum over 2 x 2 x 2 neighbours with its own
    kernel entries. One convolution of kernel 2 and stride 1 computes the eight voxels as channels, which are then
    moved to their places (sub-pixel convolution, Shi et al., 2016). For few channels this is several times faster on
    a CPU. The sums are the same, in another order. Returns (N, channels, 2 Z, 2 Y, 2 X), one voxel longer where the
    step has an output padding.
    """
    kernel, bias = step.weight[:, channels], step.bias
    n_in, n_out = kernel.shape[:2]
    # (out, in, parity of z, tap, parity of y, tap, parity of x, tap), the parities to channels
    kernel = kernel.transpose(0, 1)[:, :, _TAPS][:, :, :, :, _TAPS][:, :, :, :, :, :, _TAPS]
    kernel = kernel.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(8 * n_out, n_in, 2, 2, 2)
    kernel = kernel.contiguous(memory_format=torch.channels_last_3d)
    biases = None if bias is None else bias[channels].repeat_interleave(8)
    parts = _convolved(x, kernel, biases).unflatten(1, (n_out, 2, 2, 2))
    grid = [2 * n + extra for n, extra in zip(x.shape[2:], step.output_padding, strict=True)]
    whole = x.new_empty(len(x), n_out, *grid)
    for z, y, x_ in product((0, 1), repeat=3):
        target = whole[:, :, z::2, y::2, x_::2]
        depth, height, width = target.shape[2:]
        target.copy_(parts[:, :, z, y, x_, z : z + depth, y : y + height, x_ : x_ + width])
    return whole


def _convolved(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with stride 1 and padding 1, with oneDNN if it is available.

    By itself PyTorch runs a single small image on a kernel that takes five times as long.
    """
    if len(x) == 1 and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        ones = (1, 1, 1)
        return torch.mkldnn_convolution(x, kernel, bias, ones, ones, ones, 1)
    return F.conv3d(x, kernel, bias, padding=1)


class EncoderTrunk(nn.Module):
    """Down-blocks of Enc^r and Enc^{r,s}, with ``n_features`` output values per image for the heads."""

    def __init__(self, config: ModelConfig, n_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [n_channels, *widths]
        self.blocks = nn.Sequential(*(down(a, b, nn.PReLU()) for a, b in pairwise(channels)))
        self.n_features = widths[-1] * math.prod(config.grids(len(widths))[-1])

    def features(self, x: Tensor) -> Tensor:
        """Return the flat features (N, n_features) of images (N, C, Z, Y, X)."""
        return self.blocks(x).flatten(1)


class DecoderTrunk(nn.Module):
    """FC, BNORM, PRELU, then up-blocks to the box: the common part of Dec^r and Dec^{r,s}."""

    def __init__(self, config: ModelConfig, n_latent: int, n_channels: int) -> None:
        super().__init__()
        widths = config.dec_widths
        grids = config.grids(len(widths))[::-1]
        self.grid = grids[0]
        self.project = nn.Linear(n_latent, widths[0] * math.prod(self.grid))
        self.norm = nn.BatchNorm3d(widths[0])
        self.activation = nn.PReLU()
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        conv=up(a, b, grids[level], grids[level + 1]),
                        norm=nn.BatchNorm3d(b),
                        activation=nn.PReLU(),
                    )
                )
                for level, (a, b) in enumerate(pairwise(widths))
            )
        )
        self.image = up(widths[-1], n_channels, grids[-2], grids[-1])

    def image_logits(self, latent: Tensor, channels: slice = slice(None)) -> Tensor:
        """Decode latent positions (N, n_latent) to (N, n_channels, Z, Y, X), or some channels, before the sigmoid."""
        smallest = self.project(latent).unflatten(1, (-1, *self.grid))
        features = self.blocks(self.activation(self.norm(smallest)))
        if features.device.type == "cpu" and not torch.is_grad_enabled():
            return up_by_sub_pixels(self.image, features, channels)
        return self.image(features)[:, channels]
