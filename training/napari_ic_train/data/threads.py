"""The same work on many files at once, over a line that may break."""

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
    """What ``work`` returns for each path, or why that file cannot be had.

    Anything else that goes wrong (Ctrl-C, a full disk, a line that is gone for good) stops all of it at once.
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
                    f"The connection to {source.url} is gone ({result}). What is there stays; the same command "
                    "continues."
                )
    except BaseException:
        source.stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def counting(progress: Callable[[int, int, str], None], total: int, what: str) -> Callable[[int], None]:
    """A counter of bytes for many threads, which tells ``progress`` (done, total, what)."""
    lock = Lock()
    done = 0

    def moved(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            progress(done, max(total, done), what)

    return moved
