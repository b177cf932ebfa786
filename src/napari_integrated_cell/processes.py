"""Work spread over a machine's cores: one process for each, and one thread in each."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def worker_processes(n: int | None = None) -> ProcessPoolExecutor:
    """A pool of ``n`` fresh processes, by default as many as there are cores, that compute on one thread each.

    Left to themselves, BLAS and OpenMP start a thread for every core in every process, and these wait for one another:
    two processes on two cores then get half as much done as two with one thread each.
    """
    # Fresh: a fork of a process that has started threads (torch, Qt) can hang.
    return ProcessPoolExecutor(
        n or os.cpu_count(), mp_context=multiprocessing.get_context("spawn"), initializer=_on_one_thread
    )


def _on_one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # libraries that came with whatever started this process
    os.environ.update(dict.fromkeys(THREADS, "1"))  # and those yet to come
