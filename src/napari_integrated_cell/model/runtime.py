"""Choose a device and run a model on batches. Importing this module imports no torch."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar

from napari_integrated_cell.processes import Cancelled, CancelToken, Progress, progress_of_part

if TYPE_CHECKING:
    import torch

__all__ = [
    "CancelToken",
    "Cancelled",
    "DeviceChoice",
    "Progress",
    "RunOptions",
    "available_devices",
    "batches",
    "choose_device",
    "has_bf16",
    "is_out_of_memory",
    "part_of_run",
]

T = TypeVar("T")


class RunOptions(TypedDict, total=False):
    """Keyword arguments of every method that runs a model: batch size, cancelling and progress."""

    batch_size: int
    cancel: CancelToken | None
    progress: Progress | None


def part_of_run(run: RunOptions, before: int, total: int) -> RunOptions:
    """Return options with progress for a part of ``total`` steps, after ``before`` steps."""
    return {**run, "progress": progress_of_part(run.get("progress"), before, total)}


class DeviceChoice(NamedTuple):
    """A device of this machine: its torch ``name`` and a ``label`` for people."""

    name: str
    label: str


def available_devices() -> list[DeviceChoice]:
    """Return the devices of this machine, the fastest kind first and the CPU last."""
    import torch

    found = []
    if torch.cuda.is_available():
        found.append(DeviceChoice("cuda", f"GPU ({torch.cuda.get_device_name()})"))
    if torch.backends.mps.is_available():
        found.append(DeviceChoice("mps", "GPU (Apple)"))
    threads = torch.get_num_threads()
    return [*found, DeviceChoice("cpu", f"CPU ({threads} thread{'s' if threads > 1 else ''})")]


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``"auto"`` is the fastest kind on this machine.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        ``"cuda:1"`` is the second of several cards.

    Raises
    ------
    ValueError
        If this machine has no such device. The message lists its devices.
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


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` has bf16 arithmetic; other devices emulate it slowly."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        answers = [getattr(torch.cpu, name)() for name in asked if hasattr(torch.cpu, name)]
        return any(answers) or not answers
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` means that a device or the machine ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    # Only CUDA has its own error class. The CPU and Apple devices raise a RuntimeError with these words.
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
    """Compute ``total`` items in batches and yield the slice and the result of each batch.

    If memory runs out, the batch size is halved and kept for the rest.

    Parameters
    ----------
    compute : callable
        Takes a slice of the items and returns its result.
    total : int
        Number of items.
    batch_size : int
        Number of items in the first batch.
    cancel : CancelToken, optional
        Checked before each batch.
    progress : callable, optional
        Called as ``progress(done, total, what)`` after the caller has used a batch's result.
    what : str
        Name of the step, for ``progress``.

    Raises
    ------
    Cancelled
        If ``cancel`` was set.
    ValueError
        If ``batch_size`` is not positive.
    MemoryError
        If the device has too little memory for a single item.
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
    """Return ``(True, result)``, or ``(False, None)`` and an emptied cache if memory ran out."""
    try:
        return True, compute(part)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Here, outside the handler, the traceback no longer keeps the failed batch's tensors alive.
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False, None  # type: ignore[return-value]
