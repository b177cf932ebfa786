"""How a model runs: on which device, in which batches, and how it is stopped.

Importing this module imports no torch: a window can hold tokens and progress before any model is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)`` after each batch."""

T = TypeVar("T")


class Cancelled(Exception):
    """The work was stopped by its :class:`CancelToken`."""


class CancelToken:
    """Asks running work to stop; safe to use from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop before its next batch."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise :class:`Cancelled` if the work was asked to stop."""
        if self.cancelled:
            raise Cancelled("The work was cancelled.")


class Run(TypedDict, total=False):
    """How to run, as keyword arguments: images per batch, a way to stop, and where to report."""

    batch_size: int
    cancel: CancelToken | None
    progress: Progress | None


class DeviceChoice(NamedTuple):
    """A device found on this machine: its torch ``name`` and a ``label`` that tells a person what it is."""

    name: str
    label: str


def available_devices() -> list[DeviceChoice]:
    """The devices of this machine, the fastest kind first; the CPU is always the last."""
    import torch

    found = []
    if torch.cuda.is_available():
        found.append(DeviceChoice("cuda", f"GPU ({torch.cuda.get_device_name()})"))
    if torch.backends.mps.is_available():
        found.append(DeviceChoice("mps", "GPU (Apple)"))
    threads = torch.get_num_threads()
    return [*found, DeviceChoice("cpu", f"CPU ({threads} thread{'s' if threads > 1 else ''})")]


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``"auto"`` takes the fastest kind there is.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        One card of several is chosen as ``"cuda:1"``.

    Raises
    ------
    ValueError
        If this machine has no such device; the message says what it has.
    """
    import torch

    found = [choice.name for choice in available_devices()]
    if name == "auto":
        return torch.device(found[0])
    kind, _, index = name.partition(":")
    n_cards = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in found or (index and not (index.isdecimal() and int(index) < n_cards)):
        raise ValueError(f"There is no device {name!r} here: choose auto, {' or '.join(found)}.")
    return torch.device(name)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device or the machine has too little memory for what was asked."""
    if isinstance(error, MemoryError):
        return True
    # Only CUDA's has a class of its own; the CPU's and Apple's are known by their words.
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)


def batches(
    compute: Callable[[slice], T],
    total: int,
    *,
    batch_size: int = 8,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
    what: str = "",
) -> Iterator[tuple[slice, T]]:
    """Work through ``total`` items in batches, yielding each batch's slice and result as it comes.

    Where memory runs out the batch is halved and the work goes on; the size found to fit is kept.

    Parameters
    ----------
    compute : callable
        Takes a slice of the items, returns its result.
    total : int
        How many items there are.
    batch_size : int
        How many go in one batch at first.
    cancel : CancelToken, optional
        Looked at before each batch.
    progress : callable, optional
        Called as ``progress(done, total, what)`` once a batch's result has been taken.
    what : str
        What is being done, for ``progress``.

    Raises
    ------
    Cancelled
        If ``cancel`` was set.
    ValueError
        If ``batch_size`` is not positive.
    MemoryError
        If one item alone is too large for the device.
    """
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}: give 1 or more.")
    start = 0
    while start < total:
        if cancel is not None:
            cancel.raise_if_cancelled()
        part = slice(start, min(start + batch_size, total))
        fitted, result = _attempt(compute, part)
        if not fitted:
            size = part.stop - part.start
            if size == 1:
                raise MemoryError("One image alone is too large for this device: choose the CPU.")
            batch_size = size // 2
            continue
        yield part, result
        if progress is not None:
            progress(part.stop, total, what)
        start = part.stop


def _attempt(compute: Callable[[slice], T], part: slice) -> tuple[bool, T]:
    """``(True, result)``, or ``(False, None)`` where memory ran out, with torch's cache given back."""
    try:
        return True, compute(part)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler the failed batch's tensors are no longer held by the traceback.
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False, None  # type: ignore[return-value]
