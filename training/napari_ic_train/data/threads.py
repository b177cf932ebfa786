"""Fetch many files at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import TypeVar

from napari_ic_train.data.checksums import Unfetched
from napari_ic_train.data.source import Lost, Source

T = TypeVar("T")


def in_threads(
    workers: int, source: Source, work: Callable[[str], T], paths: Sequence[str]
) -> dict[str, T | Unfetched]:
    """Return what ``work`` returns for each path, or why the file could not be fetched.

    Any other error (Ctrl-C, a full disk, a lost connection) stops all work at once.
    """

    def attempt(path: str) -> T | Unfetched:
        try:
            return work(path)
        except Unfetched as problem:
            return problem

    found: dict[str, T | Unfetched] = {}
    lost_in_a_row = 0
    source.stop.clear()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        futures = {pool.submit(attempt, path): path for path in paths}
        for future in as_completed(futures):
            result = found[futures[future]] = future.result()
            lost_in_a_row = lost_in_a_row + 1 if isinstance(result, Lost) else 0
            if lost_in_a_row > 2 * workers:
                raise Unfetched(
                    f"The connection to {source.url} is lost ({result}): run the same command again later, it "
                    "continues."
                )
    except BaseException:
        source.stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def counting(progress: Callable[[int, int, str], None], total: int, what: str) -> Callable[[int], None]:
    """Return a counter of bytes for many threads that calls ``progress`` with (done, total, what)."""
    lock = Lock()
    done = 0

    def moved(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            progress(done, max(total, done), what)

    return moved
