"""Latent codes brought to their prior's mean and width, by layers that learn nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MOMENTUM = 0.01
"""Weight of one cell in a structure's running moments: they are those of its last hundred cells or so."""
EPS = 1e-5


def standardised(n_latent: int) -> nn.BatchNorm1d:
    """A batch normalisation without parameters: mean 0 and variance 1 in every dimension, over all cells."""
    return nn.BatchNorm1d(n_latent, affine=False)


class StandardisedByStructure(nn.Module):
    """Codes brought to mean 0 and variance 1 in every dimension among the cells of each structure.

    Standardised over all cells alike, z^s can tell structures apart by where each lies, and then leaves what
    a structure's own cells differ in little of the prior's width: a z^s drawn from N(0, I) is one that the
    decoder has met for no structure. Of a structure's cells a batch holds one or two, so running moments serve
    in training as well; no gradient goes through them.

    Parameters
    ----------
    n_structures, n_latent : int

    Attributes
    ----------
    mean, variance : Tensor (n_structures, n_latent)
        Running moments of the codes, by structure.
    add_up : callable
        Adds a tensor up over all processes that train together; just hands it back on one.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, n_structures: int, n_latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_structures, n_latent))
        self.register_buffer("variance", torch.ones(n_structures, n_latent))
        self.add_up: Callable[[Tensor], Tensor] = lambda moments: moments

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Codes (N, n_latent), and the probabilities (N, n_structures) of which structure each is, to codes.

        A code of an uncertain structure is standardised by the moments of the mixture.
        """
        with torch.autocast(z.device.type, enabled=False):
            wide, y = z.to(self.mean.dtype), y.detach().to(self.mean.dtype)
            mean = y @ self.mean
            variance = (y @ (self.variance + self.mean.square()) - mean.square()).clamp_min(EPS)
            if self.training:
                self._update(wide.detach(), y)
            return ((wide - mean) * variance.rsqrt()).to(z.dtype)

    @torch.no_grad()
    def _update(self, z: Tensor, y: Tensor) -> None:
        count, mean, square = self.add_up(torch.cat((y.sum(0)[:, None], y.T @ z, y.T @ z.square()), 1)).split(
            (1, z.shape[1], z.shape[1]), 1
        )
        there = count.clamp_min(EPS)
        mean, square = mean / there, square / there
        weight = 1 - (1 - MOMENTUM) ** count
        step = mean - self.mean
        variance = square - mean.square()
        # Of two groups' cells together: the mean of their variances, and what their means are apart.
        self.variance += weight * (variance - self.variance) + weight * (1 - weight) * step.square()
        self.mean += weight * step
