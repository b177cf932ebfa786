"""Random numbers of a phase, the same for one process and for several that share each batch.

Processes that share a batch all draw the numbers for the whole batch, from generators in the same state, and each
keeps the rows of its own cells. So the number of processes changes no random number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The rows of a batch that this process computes: ``start`` to ``stop`` of ``total``.

    Attributes
    ----------
    start, stop, total : int
        Rows of the whole batch.
    gather : callable
        Returns the whole batch's values (total, ...) from this share's values (stop - start, ...).
    """

    start: int
    stop: int
    total: int
    gather: Callable[[Tensor, Share], Tensor]

    def of(self, whole: Tensor) -> Tensor:
        """Return this process's rows of the whole batch's values."""
        return whole[self.start : self.stop]


class RandomDraws:
    """Draws random numbers for a batch, or for a share of one.

    Parameters
    ----------
    generator : torch.Generator
        The source of every number. All processes that share a batch have it in the same state.

    Attributes
    ----------
    share : Share or None
        The rows of the batch that the next draws are for; None for all rows.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.share: Share | None = None

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Draw standard normal numbers (N, ...), on the generator's device."""
        if self.share is None:
            return self._normal(shape, dtype)
        return self.share.of(self._normal((self.share.total, *shape[1:]), dtype))

    def chance(self, n: int, share: float) -> Tensor:
        """Draw which of ``n`` cells belong to a random share of all, (n,) bool, on the generator's device."""
        total = n if self.share is None else self.share.total
        drawn = torch.rand(total, generator=self.generator, device=self.generator.device) < share
        return drawn if self.share is None else self.share.of(drawn)

    def white_noise(self, x: Tensor) -> Tensor:
        """Draw standard normal numbers of the shape, type and device of ``x``."""
        return self.normal(tuple(x.shape), x.dtype).to(x.device)

    def shuffled(self, y: Tensor) -> Tensor:
        """Return the batch's ``y`` (N,) in random order."""
        whole = y if self.share is None else self.share.gather(y, self.share)
        order = torch.randperm(len(whole), generator=self.generator, device=self.generator.device)
        mixed = whole[order.to(y.device)]
        return mixed if self.share is None else self.share.of(mixed)

    def _normal(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        device = self.generator.device
        return torch.randn(shape, generator=self.generator, device=device, dtype=dtype)
