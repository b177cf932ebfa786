"""Random numbers of a phase, the same for one process and for several that share each batch.

Processes that share a batch all draw the numbers for the whole batch, from generators in the same state, and each
keeps the rows of its own cells. So the random numbers do not depend on the number of processes.
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
        device, whole = self.generator.device, (self._total(shape[0]), *shape[1:])
        return self._mine(torch.randn(whole, generator=self.generator, device=device, dtype=dtype))

    def chance(self, n: int, share: float) -> Tensor:
        """Draw which of ``n`` cells belong to a random share of all, (n,) bool, on the generator's device."""
        device, total = self.generator.device, self._total(n)
        return self._mine(torch.rand(total, generator=self.generator, device=device) < share)

    def white_noise(self, x: Tensor) -> Tensor:
        """Draw standard normal numbers of the shape, type and device of ``x``."""
        return self.normal(tuple(x.shape), x.dtype).to(x.device)

    def shuffled(self, y: Tensor) -> Tensor:
        """Return the batch's ``y`` (N,) in random order."""
        whole = y if self.share is None else self.share.gather(y, self.share)
        order = torch.randperm(len(whole), generator=self.generator, device=self.generator.device)
        return self._mine(whole[order.to(y.device)])

    def _total(self, n: int) -> int:
        return n if self.share is None else self.share.total

    def _mine(self, whole: Tensor) -> Tensor:
        return whole if self.share is None else self.share.of(whole)
