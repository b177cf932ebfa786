"""What the networks of Tables S1-S8 are built of: a step down, a step up, and the trunks they add up to.

A convolution marked with an arrow has kernel 4, stride 2, padding 1 and a bias. Down, n voxels become
floor(n / 2); up, the lost voxel of an odd level comes back through ``output_padding``. In the paper's box Y
goes 96, 48, 24, 12, 6, 3, 1 and, in the decoder, 1, 3, 6, ..., 96.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from napari_integrated_cell.model.config import Grid, ModelConfig, n_voxels

LEAK = 0.2


def down(n_in: int, n_out: int, activation: nn.Module, *, norm: bool = True) -> nn.Sequential:
    """CONV ↓, BNORM, activation."""
    layers: list[tuple[str, nn.Module]] = [("conv", nn.Conv3d(n_in, n_out, 4, 2, 1))]
    if norm:
        layers.append(("norm", nn.BatchNorm3d(n_out)))
    return nn.Sequential(OrderedDict([*layers, ("activation", activation)]))


def up(n_in: int, n_out: int, grid: Grid, target: Grid) -> nn.ConvTranspose3d:
    """CONV ↑ from ``grid`` to ``target``, one voxel longer where ``target`` is odd."""
    z, y, x = (big - 2 * small for small, big in zip(grid, target, strict=True))
    return nn.ConvTranspose3d(n_in, n_out, 4, 2, 1, output_padding=(z, y, x))


class EncoderTrunk(nn.Module):
    """Down-blocks shared by Enc^r and Enc^{r,s}; ``n_features`` values per image are left for the heads."""

    def __init__(self, config: ModelConfig, n_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [n_channels, *widths]
        self.blocks = nn.Sequential(*(down(a, b, nn.PReLU()) for a, b in pairwise(channels)))
        self.n_features = widths[-1] * n_voxels(config.grids(len(widths))[-1])

    def features(self, x: Tensor) -> Tensor:
        """Images (N, C, Z, Y, X) to flat features (N, n_features)."""
        return self.blocks(x).flatten(1)


class DecoderTrunk(nn.Module):
    """FC, BNORM, PRELU, then up-blocks to the box: what Dec^r and Dec^{r,s} share."""

    def __init__(self, config: ModelConfig, n_latent: int, n_channels: int) -> None:
        super().__init__()
        widths = config.dec_widths
        grids = config.grids(len(widths))[::-1]
        self.grid = grids[0]
        self.project = nn.Linear(n_latent, widths[0] * n_voxels(self.grid))
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

    def image_logits(self, latent: Tensor) -> Tensor:
        """Latent positions (N, n_latent) to images (N, n_channels, Z, Y, X) before the sigmoid."""
        smallest = self.project(latent).unflatten(1, (-1, *self.grid))
        return self.image(self.blocks(self.activation(self.norm(smallest))))
