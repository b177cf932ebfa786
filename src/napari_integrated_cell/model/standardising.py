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

    With ``n_given`` numbers that come with each code, here those of z^r, codes are freed from what a straight line says
    of them by these, and the rest is whitened. A prior N(0, I) of z^s whatever z^r is takes the two for independent.
    Where z^s repeats what z^r says (that the cell divides, say), a z^s drawn for a cell in interphase may be a dividing
    cell's: a pair that the decoder has never met.

    Parameters
    ----------
    n_structures, n_latent, n_given : int

    Attributes
    ----------
    seen : Tensor (n_structures,)
        Cells so far.
    mean : Tensor (n_structures, n_given + n_latent)
    covariance : Tensor (n_structures, n_given + n_latent, n_given + n_latent)
        Running moments, by structure, of what is given and the code after it.
    add_up : callable
        Adds a tensor up over all processes that train together; just hands it back on one.
    """

    seen: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, n_structures: int, n_latent: int, n_given: int = 0) -> None:
        super().__init__()
        n = n_given + n_latent
        self.n_given = n_given
        self.register_buffer("seen", torch.zeros(n_structures))
        self.register_buffer("mean", torch.zeros(n_structures, n))
        self.register_buffer("covariance", torch.eye(n).repeat(n_structures, 1, 1))
        self.add_up: Callable[[Tensor], Tensor] = lambda moments: moments

    def forward(self, z: Tensor, y: Tensor, given: Tensor | None = None) -> Tensor:
        """Codes (N, n_latent), and the probabilities (N, n_structures) of which structure each is, to codes.

        A code of an uncertain structure is whitened by the moments of the mixture. Of all ways to whiten, the
        triangular one is taken (Cholesky): it turns no code while the moments move, and what is left of the code
        behind what is ``given``, (N, n_given), is its residual. No gradient goes to ``given``.
        """
        both = z if given is None else torch.cat((given.detach().to(z.dtype), z), 1)
        wide, y = both.to(self.mean.dtype), y.detach().to(self.mean.dtype)
        mean = _weighted(y, self.mean)
        covariance = _weighted(y, self.covariance + _outer(self.mean)) - _outer(mean)
        variance = covariance.diagonal(dim1=1, dim2=2).split((self.n_given, z.shape[1]), 1)
        size = torch.cat([part.mean(1, keepdim=True).expand_as(part) for part in variance], 1)
        factor = torch.linalg.cholesky(covariance + torch.diag_embed(RIDGE * size))
        if self.training:
            self._update(wide.detach(), y)
        white = torch.linalg.solve_triangular(factor, (wide - mean)[:, :, None], upper=False)
        return white[:, self.n_given :, 0].to(z.dtype)

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
        # Of all cells at first, of the last few hundred later on.
        weight = torch.maximum(1 - (1 - MOMENTUM) ** count, count / (self.seen[:, None] + n))
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
