"""Preparing on a real dask cluster of two worker processes on this machine, one of which dies in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import distributed
import pytest
from tiny_cells import assert_equal, prepared, write_tiny

from napari_ic_train.data import prepare as preparing
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.data import spreading
from napari_integrated_cell.data.spreading import spread

pytestmark = pytest.mark.slow
N_CELLS = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"), N_CELLS, {7: {"crop_raw": "gone.ome.tif"}})


@pytest.fixture(scope="module")
def local(dataset, tmp_path_factory) -> CellStore:
    return prepared(dataset, tmp_path_factory.mktemp("local"))


@pytest.fixture
def scheduler() -> Iterator[str]:
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def workers(scheduler, tmp_path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers as on two machines: separate processes, which are not restarted."""
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        scheduler,
        "--no-nanny",
        "--nthreads",
        "1",
    ]
    quiet = {**os.environ, "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical"}
    started = [
        subprocess.Popen(
            [*command, "--no-dashboard", "--local-directory", str(tmp_path / name)],
            env=quiet,
            stderr=subprocess.DEVNULL,
        )
        for name in ("one", "two")
    ]
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_a_worker_killed_in_the_middle_costs_no_cell(dataset, local, scheduler, workers, tmp_path):
    counts: list[int] = []

    def kill_one(done: int, total: int, what: str) -> None:
        counts.append(done)
        if done >= 8 and workers[0].poll() is None:
            os.kill(workers[0].pid, signal.SIGKILL)
            workers[0].wait()

    store = prepared(dataset, tmp_path / "store", batch=2, scheduler=scheduler, progress=kill_one)
    assert workers[0].returncode == -signal.SIGKILL
    assert workers[1].poll() is None, "the other one did the rest"
    assert counts[-1] == N_CELLS
    assert_equal(store, local)
    assert store.report["CellId"].tolist() == ["1007"]


def test_a_cluster_may_continue_what_one_process_began(
    dataset, local, scheduler, workers, tmp_path, monkeypatch
):
    def stop(done: int, total: int, what: str) -> None:
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(dataset, tmp_path / "store", progress=stop)
    monkeypatch.setattr(preparing, "posed_entry", None)  # in this process: only the workers pose cells
    counts: list[int] = []
    store = prepared(
        dataset, tmp_path / "store", scheduler=scheduler, progress=lambda done, *_: counts.append(done)
    )
    assert counts[0] == 12
    assert_equal(store, local)


def test_two_processes_of_ones_own_make_the_same_store_and_leave_the_environment_as_it_was(
    dataset, local, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    before = dict(os.environ)
    assert_equal(prepared(dataset, tmp_path, workers=2), local)
    assert dict(os.environ) == before


def test_threads_make_the_same_store(dataset, local, tmp_path):
    assert_equal(prepared(dataset, tmp_path, threads=2), local)


def test_an_address_without_a_scheduler_and_a_scheduler_without_workers_are_said(
    dataset, scheduler, tmp_path, monkeypatch
):
    monkeypatch.setattr(spreading, "PATIENCE", 1.0)
    with pytest.raises(ValueError, match=r"no dask scheduler at tcp://127\.0\.0\.1:1"):
        prepared(dataset, tmp_path / "a", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="has no workers"):
        prepared(dataset, tmp_path / "b", scheduler=scheduler)


def test_without_dask_several_workers_are_refused_and_one_is_enough(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"napari-integrated-cell\[train\]"):
        prepared(dataset, tmp_path / "a", workers=2)
    assert len(prepared(dataset, tmp_path / "b")) == N_CELLS - 1


def die_at_three(numbers: list[int]) -> None:
    if 3 in numbers:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(300)
def test_an_item_that_kills_its_workers_is_given_up_and_its_batch_is_not():
    batches = [list(range(start, start + 5)) for start in (0, 5, 10)]
    # As on a machine where a worker takes longer to come back than dask waits for it.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1 ms"}):
        settled = [(list(batch), trouble) for batch, trouble in spread(die_at_three, batches, workers=2)]
    lost = [batch for batch, trouble in settled if trouble]
    assert lost == [[3]]
    assert sorted(number for batch, _ in settled for number in batch) == list(range(15))


def test_few_batches_are_on_the_way_at_any_time():
    taken = 0

    def counted() -> Iterator[list[int]]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield [number]

    most = 0
    for settled, _ in enumerate(spread(len, counted(), workers=1, threads=2)):
        most = max(most, taken - settled)
    assert most <= 2 * spreading.AHEAD
    assert taken == 40
