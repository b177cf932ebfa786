"""Latent codes brought to their prior's mean and covariance, by layers that learn nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MOMENTUM = 0.003
"""Least weight of one cell in a structure's running moments: they are those of its last few hundred cells."""
RIDGE = 0.01
"""Added to every covariance's diagonal, of the mean variance: a dimension that says next to nothing stays small."""


def standardised(n_latent: int) -> nn.BatchNorm1d:
    """A batch normalisation without parameters: mean 0 and variance 1 in every dimension, over all cells."""
    return nn.BatchNorm1d(n_latent, affine=False)


class WhitenedByStructure(nn.Module):
    """Codes brought to mean 0 and covariance I among the cells of each structure.

    Standardised over all cells alike, z^s can tell structures apart by where each lies, and then leaves what
    a structure's own cells differ in little of the prior's width; dimensions that go together leave most of the
    prior's draws empty. Either way a z^s drawn from N(0, I) is one that the decoder has met for no structure. Of a
    structure's cells a batch holds one or two, so running moments serve in training as well; no gradient goes
    through them.

    Parameters
    ----------
    n_structures, n_latent : int

    Attributes
    ----------
    seen : Tensor (n_structures,)
        Cells so far.
    mean : Tensor (n_structures, n_latent)
    covariance : Tensor (n_structures, n_latent, n_latent)
        Running moments of the codes, by structure.
    add_up : callable
        Adds a tensor up over all processes that train together; just hands it back on one.
    """

    seen: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, n_structures: int, n_latent: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(n_structures))
        self.register_buffer("mean", torch.zeros(n_structures, n_latent))
        self.register_buffer("covariance", torch.eye(n_latent).repeat(n_structures, 1, 1))
        self.add_up: Callable[[Tensor], Tensor] = lambda moments: moments

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Codes (N, n_latent), and the probabilities (N, n_structures) of which structure each is, to codes.

        A code of an uncertain structure is whitened by the moments of the mixture. Of all ways to whiten, the
        triangular one is taken (Cholesky): it turns no code while the moments move.
        """
        wide, y = z.to(self.mean.dtype), y.detach().to(self.mean.dtype)
        mean = _weighted(y, self.mean)
        covariance = _weighted(y, self.covariance + _outer(self.mean)) - _outer(mean)
        size = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        factor = torch.linalg.cholesky(covariance + RIDGE * size * torch.eye(z.shape[1]).to(covariance))
        if self.training:
            self._update(wide.detach(), y)
        white = torch.linalg.solve_triangular(factor, (wide - mean)[:, :, None], upper=False)
        return white[:, :, 0].to(z.dtype)

    @torch.no_grad()
    def _update(self, z: Tensor, y: Tensor) -> None:
        n_latent = z.shape[1]
        parts = (y.sum(0)[:, None], _weighted(y.T, z), _weighted(y.T, _outer(z)).flatten(1))
        sums = self.add_up(torch.cat(parts, 1))
        count, mean, square = sums.split((1, n_latent, n_latent**2), 1)
        there = count.clamp_min(torch.finfo(count.dtype).eps)
        mean = mean / there
        covariance = (square / there).unflatten(1, (n_latent, n_latent)) - _outer(mean)
        self.seen += count[:, 0]
        # Of all cells at first, of the last few hundred later on.
        weight = torch.maximum(1 - (1 - MOMENTUM) ** count, count / (self.seen[:, None] + n_latent))
        step = mean - self.mean
        # Of two groups' cells together: the mean of their covariances, and what their means are apart.
        apart = (weight * (1 - weight))[:, :, None] * _outer(step)
        self.covariance += weight[:, :, None] * (covariance - self.covariance) + apart
        self.mean += weight * step


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """Sums (M, ...) of values (N, ...) by weights (M, N): no product of matrices, which autocast would round."""
    return (weights.reshape(*weights.shape, *[1] * (values.ndim - 1)) * values).sum(1)


def _outer(vectors: Tensor) -> Tensor:
    """The outer product (N, d, d) of each vector of (N, d) with itself."""
    return vectors[:, :, None] * vectors[:, None, :]
