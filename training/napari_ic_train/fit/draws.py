"""Every random number of a phase, from one generator, whether one process draws for a batch or several share it.

Processes that share a batch all draw what a single process would, for the whole batch, and each keeps the
rows of its own cells: how many there are changes no number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The cells ``start`` to ``stop`` of the ``total`` of a batch: those that this process has.

    Attributes
    ----------
    start, stop, total : int
        Rows of the whole batch.
    gather : callable
        The whole batch's values (total, ...) from this share's (stop - start, ...).
    """

    start: int
    stop: int
    total: int
    gather: Callable[[Tensor, Share], Tensor]

    def of(self, whole: Tensor) -> Tensor:
        """Of the whole batch's values, this process's rows."""
        return whole[self.start : self.stop]


class Draws:
    """Draws for a batch, or for a share of one.

    Parameters
    ----------
    generator : torch.Generator
        Where every number comes from; all processes that share a batch have it in the same state.

    Attributes
    ----------
    share : Share or None
        Which rows of the batch the next draws are for; None for all of them.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.share: Share | None = None

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Standard normal numbers (N, ...), on the generator's device."""
        if self.share is None:
            return self._normal(shape, dtype)
        return self.share.of(self._normal((self.share.total, *shape[1:]), dtype))

    def chance(self, n: int, share: float) -> Tensor:
        """Which of ``n`` cells are among a share of all, (n,) bool, on the generator's device."""
        total = n if self.share is None else self.share.total
        drawn = torch.rand(total, generator=self.generator, device=self.generator.device) < share
        return drawn if self.share is None else self.share.of(drawn)

    def white_noise(self, x: Tensor) -> Tensor:
        """Standard normal numbers of the shape, the type and the device of ``x``."""
        return self.normal(tuple(x.shape), x.dtype).to(x.device)

    def shuffled(self, y: Tensor) -> Tensor:
        """The batch's ``y`` (N,) in random order."""
        whole = y if self.share is None else self.share.gather(y, self.share)
        order = torch.randperm(len(whole), generator=self.generator, device=self.generator.device)
        mixed = whole[order.to(y.device)]
        return mixed if self.share is None else self.share.of(mixed)

    def _normal(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        device = self.generator.device
        return torch.randn(shape, generator=self.generator, device=device, dtype=dtype)
