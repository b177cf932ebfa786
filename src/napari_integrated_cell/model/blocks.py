"""Building blocks of the networks of Tables S1-S8: down- and up-convolutions, encoder and decoder trunks.

A convolution with an arrow in the tables has kernel 4, stride 2, padding 1 and a bias. Downwards, n voxels become
floor(n / 2). Upwards, ``output_padding`` restores the lost voxel of an odd grid. In the paper's box Y is 96, 48, 24,
12, 6, 3, 1 in the encoder and 1, 3, 6, ..., 96 in the decoder.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from napari_integrated_cell.model import inference
from napari_integrated_cell.model.backward import PReLU, up_to_image
from napari_integrated_cell.model.config import ModelConfig, Shape

LEAK = 0.2


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


class EncoderTrunk(nn.Module):
    """Down-blocks of Enc^r and Enc^{r,s}, with ``n_features`` output values per image for the heads."""

    def __init__(self, config: ModelConfig, n_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [n_channels, *widths]
        self.blocks = nn.Sequential(*(down(a, b, PReLU()) for a, b in pairwise(channels)))
        self.n_features = widths[-1] * math.prod(config.grids(len(widths))[-1])

    def features(self, x: Tensor) -> Tensor:
        """Return the flat features (N, n_features) of images (N, C, Z, Y, X)."""
        if not inference.applies(self, x):
            return self.blocks(x).flatten(1)
        return inference.through(self.blocks, x).float().flatten(1)


class DecoderTrunk(nn.Module):
    """FC, BNORM, PRELU, then up-blocks to the box: the common part of Dec^r and Dec^{r,s}."""

    def __init__(self, config: ModelConfig, n_latent: int, n_channels: int) -> None:
        super().__init__()
        widths = config.dec_widths
        grids = config.grids(len(widths))[::-1]
        self.grid = grids[0]
        self.project = nn.Linear(n_latent, widths[0] * math.prod(self.grid))
        self.norm = nn.BatchNorm3d(widths[0])
        self.activation = PReLU()
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        conv=up(a, b, grids[level], grids[level + 1]),
                        norm=nn.BatchNorm3d(b),
                        activation=PReLU(),
                    )
                )
                for level, (a, b) in enumerate(pairwise(widths))
            )
        )
        self.image = up(widths[-1], n_channels, grids[-2], grids[-1])

    def image_logits(self, latent: Tensor, channels: slice = slice(None)) -> Tensor:
        """Decode latent positions (N, n_latent) to (N, n_channels, Z, Y, X), or some channels, before the sigmoid."""
        smallest = self.project(latent).unflatten(1, (-1, *self.grid))
        features = self.activation(self.norm(smallest))
        if not inference.applies(self, features):
            return up_to_image(self.image, self.blocks(features))[:, channels]
        return inference.up_by_sub_pixels(self.image, inference.through(self.blocks, features), channels)
