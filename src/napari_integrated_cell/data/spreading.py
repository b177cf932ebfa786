"""Work on many batches: in this process, in dask workers on this machine, or on a cluster."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from napari_integrated_cell.processes import THREADS

Item = TypeVar("Item")
Work = Callable[[Sequence[Item]], Any]

_NO_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
PATIENCE = 60.0
"""Seconds to wait for the scheduler, and then for its first worker."""
AHEAD = 2
"""Submitted batches per thread: one that is worked on and one that waits."""


def spread(
    work: Work[Item],
    batches: Iterable[Sequence[Item]],
    *,
    workers: int = 1,
    threads: int = 1,
    scheduler: str | None = None,
    on_result: Callable[[Any], None] | None = None,
) -> Iterator[tuple[Sequence[Item], str | None]]:
    """Run ``work(batch)`` for every batch, in any order. Few batches are submitted at any time.

    If a worker dies, another one does its batch again. If several workers die of a batch, its items are done one by
    one, and an item that kills several workers is given up.

    Parameters
    ----------
    work : callable
        It writes large results itself: what it returns passes through the scheduler.
    batches : iterable of sequences
        Iterated as batches are needed.
    workers, threads : int
        Processes on this machine, and threads in each. One process with one thread needs no dask.
    scheduler : str, optional
        Address of a dask scheduler to use instead, e.g. ``tcp://node7:8786``.
    on_result : callable, optional
        Called in this process with what ``work`` returned, before its batch is yielded.

    Yields
    ------
    batch : sequence
    trouble : str or None
        Why the batch was given up; None if it was done.

    Raises
    ------
    ImportError
        If dask is needed and not installed.
    ValueError
        If there is no scheduler at the address, or it has no workers.
    """
    take = on_result or (lambda result: None)
    if scheduler is None and workers == threads == 1:
        for batch in batches:
            take(work(batch))
            yield batch, None
        return
    with _client(workers, threads, scheduler) as client:
        yield from _in_flight(client, work, batches, take)


def _in_flight(
    client: Any, work: Work[Item], batches: Iterable[Sequence[Item]], take: Callable[[Any], None]
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
            result = future.result()
        except KilledWorker:
            if len(batch) == 1:
                suspects.append(batch)
            else:
                again += [batch[i : i + 1] for i in range(len(batch))]
        else:
            take(result)
            yield batch, None
    # All items that wait on a worker are lost when it dies. Only an item that runs alone is known to be the cause.
    for batch in suspects:
        try:
            result = client.submit(work, batch, pure=False).result()
        except KilledWorker:
            yield batch, "Every worker that tried it died, most likely of lack of memory."
        else:
            take(result)
            yield batch, None


@contextmanager
def _client(workers: int, threads: int, scheduler: str | None) -> Iterator[Any]:
    """Yield a client of the scheduler at the address, or of a new cluster on this machine."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(
            "Several workers need dask.distributed: install it with pip install 'napari-integrated-cell[train]', "
            "or use one worker and one thread."
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
        # LocalCluster warns if another one has its usual port, and then takes another port.
        warnings.catch_warnings(action="ignore"),
        dask.config.set(
            {
                # After this time dask gives up a worker that died and has not restarted. A worker that starts slowly
                # and dies again would be given up, then the next one, until none is left.
                "distributed.deploy.lost-worker-timeout": "52 weeks",
                # This replaces dask's setting MALLOC_TRIM_THRESHOLD_, which returns the memory of every large array to
                # the system at once. Getting it back page by page takes a fifth of the time for a cell.
                "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1),
                # Ctrl-C in a terminal reaches the workers too. This process decides what stops.
                "distributed.worker.preload": [_NO_CTRL_C] if workers > 1 else [],
            }
        ),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=workers > 1,
            memory_limit=0,  # few batches are submitted; a worker paused at a limit would not go on
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Restore the environment variables that dask sets in this process for its workers."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
