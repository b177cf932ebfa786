"""Long work: report its progress, cancel it, and spread it over the cores of a machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)`` after each part of the work."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Cancelled(Exception):
    """The work was stopped through its :class:`CancelToken`."""


class CancelToken:
    """A request to stop running work. Every method is safe in any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop before its next part."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise :class:`Cancelled` if the work was asked to stop."""
        if self.cancelled:
            raise Cancelled("The work was cancelled.")


def slices(
    n: int, size: int, what: str, progress: Progress | None = None, cancel: CancelToken | None = None
) -> Iterator[slice]:
    """Yield slices of ``size`` out of ``n``; check ``cancel`` before each, and report the progress after it."""
    for start in range(0, n, size):
        if cancel is not None:
            cancel.raise_if_cancelled()
        part = slice(start, min(start + size, n))
        yield part
        if progress is not None:
            progress(part.stop, n, what)


def progress_of_part(
    progress: Progress | None, before: int, total: int, what: str | None = None
) -> Progress | None:
    """Return the progress of a part of a work of ``total`` steps, which begins after ``before`` steps.

    ``what`` names the whole work; left out, the name that the part gives. Without ``progress`` the result is None.
    """
    if progress is None:
        return None
    return lambda done, _, of_part: progress(before + done, total, what or of_part)


def computed_ahead(compute: Callable[[S], T], items: Iterable[S], threads: int = 2) -> Iterator[Future[T]]:
    """Yield the future of each item's result, in order, while other threads compute the next ones.

    The items are made in the calling thread. At most ``threads`` results are computed or waiting, apart from the one
    that the caller holds.
    """
    waiting = deque[Future[T]]()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > threads:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown()


def worker_processes(n: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of ``n`` new processes that compute on one thread each; by default one process per core.

    Without this limit, BLAS and OpenMP start a thread per core in every process, and these threads wait for one
    another: two processes on two cores are then half as fast as two processes with one thread each.
    """
    # Not forked: a fork of a process that has started threads (torch, Qt) can hang.
    return ProcessPoolExecutor(
        n or os.cpu_count(), mp_context=multiprocessing.get_context("spawn"), initializer=_on_one_thread
    )


def _on_one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # libraries that are already loaded
    os.environ.update(dict.fromkeys(THREADS, "1"))  # libraries that are loaded later
