"""A layer without parameters that transforms latent codes to their prior's mean and covariance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MOMENTUM = 0.003
"""Smallest weight of one cell in a structure's running moments, which thus average over a few hundred cells."""
RIDGE = 0.01
"""Share of the mean variance that is added to a covariance's diagonal, so that unused dimensions stay small."""


class WhitenedByStructure(nn.Module):
    """Transform codes to mean 0 and covariance I among the cells of each structure.

    If z^s is standardised over all cells together, structures can occupy different regions, and the variation within
    a structure is small compared to the prior; if dimensions are correlated, most draws of the prior lie where no
    cell is. In both cases the decoder has seen no z^s like a draw from N(0, I). A batch has one or two cells of a
    structure, so running moments are used in training too. They get no gradient.

    Parameters
    ----------
    n_structures, n_latent : int

    Attributes
    ----------
    seen : Tensor (n_structures,)
        Number of cells so far.
    mean : Tensor (n_structures, n_latent)
    covariance : Tensor (n_structures, n_latent, n_latent)
        Running moments of each structure's codes.
    add_up : callable
        Sums a tensor over all processes that train together. With one process it returns the tensor.
    """

    seen: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, n_structures: int, n_latent: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(n_structures))
        self.register_buffer("mean", torch.zeros(n_structures, n_latent))
        # torch.eye on the meta device, where models are opened, imports torch's compiler: more than a second.
        covariance = torch.zeros(n_structures, n_latent, n_latent)
        covariance.diagonal(dim1=1, dim2=2).fill_(1)
        self.register_buffer("covariance", covariance)
        self.add_up: Callable[[Tensor], Tensor] = lambda moments: moments

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return whitened codes (N, n_latent) from codes and the probabilities (N, n_structures) of their structures.

        A code of an uncertain structure is whitened by the moments of the mixture. The whitening matrix is triangular
        (Cholesky), so that codes do not rotate while the moments change.
        """
        wide, y = z.to(self.mean.dtype), y.detach().to(self.mean.dtype)
        mean = _weighted(y, self.mean)
        covariance = _weighted(y, self.covariance + _outer(self.mean)) - _outer(mean)
        size = covariance.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).expand_as(mean)
        factor = torch.linalg.cholesky(covariance + torch.diag_embed(RIDGE * size))
        if self.training:
            self._update(wide.detach(), y)
        white = torch.linalg.solve_triangular(factor, (wide - mean)[:, :, None], upper=False)
        return white[:, :, 0].to(z.dtype)

    @torch.no_grad()
    def _update(self, z: Tensor, y: Tensor) -> None:
        n = z.shape[1]
        parts = (y.sum(0)[:, None], _weighted(y.T, z), _weighted(y.T, _outer(z)).flatten(1))
        sums = self.add_up(torch.cat(parts, 1))
        count, mean, square = sums.split((1, n, n**2), 1)
        there = count.clamp_min(torch.finfo(count.dtype).eps)
        mean = mean / there
        covariance = (square / there).unflatten(1, (n, n)) - _outer(mean)
        self.seen += count[:, 0]
        # The moments average over all cells at first, and over the last few hundred later.
        weight = torch.maximum(1 - (1 - MOMENTUM) ** count, count / (self.seen[:, None] + n))
        step = mean - self.mean
        # Covariance of two groups together: mean of their covariances, plus the spread of their means.
        apart = (weight * (1 - weight))[:, :, None] * _outer(step)
        self.covariance += weight[:, :, None] * (covariance - self.covariance) + apart
        self.mean += weight * step


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """Return sums (M, ...) of values (N, ...) by weights (M, N). Not a matrix product, which autocast would round."""
    return (weights.reshape(*weights.shape, *[1] * (values.ndim - 1)) * values).sum(1)


def _outer(vectors: Tensor) -> Tensor:
    """Return the outer product (N, d, d) of each vector of (N, d) with itself."""
    return vectors[:, :, None] * vectors[:, None, :]
