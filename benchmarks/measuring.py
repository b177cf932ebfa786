"""Time calls in turn, and find what the machine allows."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table. All times are in seconds for one item.

    Attributes
    ----------
    task : str
    now : float
        Time of the package.
    plain : float, optional
        Time of a plain implementation, measured in turn with ``now``.
    limit : float, optional
        Least time that this machine needs, from a measurement in this run.
    bound : str
        What the limit is made of.
    """

    task: str
    now: float
    plain: float | None = None
    limit: float | None = None
    bound: str = ""

    @property
    def ratio(self) -> float:
        """How many times as fast as the plain implementation."""
        return math.nan if self.plain is None else self.plain / self.now

    @property
    def share(self) -> float:
        """Share of the machine's limit that is reached."""
        return math.nan if self.limit is None else self.limit / self.now


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median time of each call. The calls alternate, so that a busy moment affects all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


@cache
def flops_per_second(bf16: bool = False) -> float:
    """Return the floating-point operations a second of a large matrix product on all threads, in float32 or bf16."""
    import torch

    a = torch.randn(3000, 3000).to(torch.bfloat16 if bf16 else torch.float32)
    with torch.inference_mode():
        return 2 * 3000**3 / medians({"gemm": lambda: a @ a}, 7)["gemm"]


@cache
def bytes_per_second() -> float:
    """Return the bytes a second of a copy of a large array, read and written."""
    import numpy as np

    source = np.ones(64 << 20, np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / medians({"copy": lambda: np.copyto(target, source)}, 7)["copy"]


def flops_of(compute: Callable[[], object]) -> float:
    """Return the floating-point operations of the matrix products and convolutions in a call."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        compute()
    return float(counter.get_total_flops())


@contextmanager
def replaced(module: Any, name: str, value: object) -> Iterator[None]:
    """Replace an attribute for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
