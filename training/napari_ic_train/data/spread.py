"""Work over many batches: here one after the other, on dask's workers here, or on a cluster anywhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from napari_integrated_cell.processes import THREADS

Item = TypeVar("Item")
Work = Callable[[Sequence[Item]], object]

INSTALL = "install it with pip install 'napari-integrated-cell[train]'"
PATIENCE = 60.0
"""Seconds that a scheduler may take to answer, and then to have a worker."""
AHEAD = 2
"""Batches on the way for every thread that works: one that is worked on, one that is waiting there."""


def spread(
    work: Work[Item],
    batches: Iterable[Sequence[Item]],
    *,
    workers: int = 1,
    threads: int = 1,
    scheduler: str | None = None,
) -> Iterator[tuple[Sequence[Item], str | None]]:
    """Do ``work(batch)`` for every batch, in any order, with few batches on the way at any time.

    A batch whose worker dies is done again by another. One that takes several workers with it is done item by
    item, and the item that goes on doing so is given up.

    Parameters
    ----------
    work : callable
        What it returns is dropped: results go where the work puts them, not through the scheduler.
    batches : iterable of sequences
        Taken as they are needed.
    workers, threads : int
        Processes on this machine, and threads in each. One of each needs no dask.
    scheduler : str, optional
        Address of a dask scheduler to work on instead, e.g. ``tcp://node7:8786``.

    Yields
    ------
    batch : sequence
    trouble : str or None
        Why it was given up, None when it was done.

    Raises
    ------
    ImportError
        If dask is needed and not installed.
    ValueError
        If there is no scheduler at the address, or it has no workers.
    """
    if scheduler is None and workers == threads == 1:
        for batch in batches:
            work(batch)
            yield batch, None
        return
    with _client(workers, threads, scheduler) as client:
        yield from _in_flight(client, work, batches)


def _in_flight(
    client: Any, work: Work[Item], batches: Iterable[Sequence[Item]]
) -> Iterator[tuple[Sequence[Item], str | None]]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    to_come, again, suspects = iter(batches), list[Sequence[Item]](), list[Sequence[Item]]()
    on_the_way: dict[Any, Sequence[Item]] = {}
    done = as_completed(loop=client.loop)
    while True:
        room = AHEAD * max(1, sum(client.nthreads().values())) - len(on_the_way)
        for _ in range(room):
            batch = again.pop() if again else next(to_come, None)
            if batch is None:
                break
            future = client.submit(work, batch, pure=False)
            on_the_way[future] = batch
            done.add(future)
        if not on_the_way:
            break
        future = next(done)
        batch = on_the_way.pop(future)
        try:
            future.result()
        except KilledWorker:
            if len(batch) == 1:
                suspects.append(batch)
            else:
                again += [batch[i : i + 1] for i in range(len(batch))]
        else:
            yield batch, None
    # A worker takes with it whatever waits there: only an item that is alone is known to be the culprit.
    for batch in suspects:
        try:
            client.submit(work, batch, pure=False).result()
        except KilledWorker:
            yield batch, "Every worker that tried it died, most likely for want of memory."
        else:
            yield batch, None


@contextmanager
def _client(workers: int, threads: int, scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler at the address, or of a cluster of this machine's own."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(
            f"Several workers need dask.distributed: {INSTALL}, or use one worker and one thread."
        ) from error
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"There is no dask scheduler at {scheduler}: start one with `dask scheduler`."
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError as error:
                raise ValueError(
                    f"The scheduler at {scheduler} has no workers: start some with `dask worker {scheduler}`."
                ) from error
            yield client
        return
    with (
        _environment_kept(),
        dask.config.set(
            {
                # dask dismisses for good a worker that is not back some seconds after it died. One that starts slowly
                # and dies again would be, then the next, until none is left to wait for.
                "distributed.deploy.lost-worker-timeout": "52 weeks",
                # dask would also have every large array's memory go back to the system at once (its
                # MALLOC_TRIM_THRESHOLD_), and come again page by page: a fifth of the time that cells take.
                "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1),
            }
        ),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=workers > 1,
            memory_limit=0,  # what is on the way is bounded here; a worker stopped at its share would stay so
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what dask does to this process's environment: what its workers are to find there it leaves behind."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
