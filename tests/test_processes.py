"""Work that tells its progress and can be cancelled, and processes that share the cores of a machine."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from napari_integrated_cell.processes import (
    Cancelled,
    CancelToken,
    computed_ahead,
    progress_of_part,
    slices,
    worker_processes,
)


@pytest.mark.slow
def test_each_computes_on_one_thread_whatever_comes_after_it_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with worker_processes(1) as pool:
        np.testing.assert_allclose(pool.submit(np.linalg.inv, 2 * np.eye(3)).result(), np.eye(3) / 2)
        threads = [library["num_threads"] for library in pool.submit(threadpool_info).result()]
    assert threads
    assert set(threads) == {1}


def test_slices_cover_everything_once_and_tell_how_much_is_done() -> None:
    told: list[tuple[int, int, str]] = []
    found = [range(10)[part] for part in slices(10, 4, "counting", lambda *where: told.append(where))]
    assert [list(part) for part in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert told == [(4, 10, "counting"), (8, 10, "counting"), (10, 10, "counting")]
    assert list(slices(0, 4, "nothing")) == []


def test_slices_stop_before_the_next_one_when_cancelled() -> None:
    token = CancelToken()
    parts = slices(10, 4, "counting", cancel=token)
    assert next(parts) == slice(0, 4)
    token.cancel()
    with pytest.raises(Cancelled):
        next(parts)


def test_a_part_tells_its_place_in_the_whole_work() -> None:
    told: list[tuple[int, int, str]] = []
    for what in (None, "the whole"):
        of_part = progress_of_part(lambda *where: told.append(where), 20, 50, what)
        assert of_part is not None
        of_part(3, 10, "a part")
    assert told == [(23, 50, "a part"), (23, 50, "the whole")]
    assert progress_of_part(None, 20, 50) is None


def test_results_computed_ahead_come_in_order_and_each_error_stays_with_its_item() -> None:
    made: list[int] = []

    def items():
        for i in range(9):
            made.append(i)
            yield i

    def inverse(i: int) -> float:
        return 1 / (i - 3)

    results = computed_ahead(inverse, items(), threads=2)
    assert next(results).result() == -1 / 3
    assert made == [0, 1, 2], "few are waiting"
    rest = list(results)
    assert [r.result() for r in rest if not r.exception()] == [1 / (i - 3) for i in range(1, 9) if i != 3]
    with pytest.raises(ZeroDivisionError):
        rest[2].result()


def test_what_waits_is_dropped_where_its_results_are_no_longer_wanted() -> None:
    started: list[int] = []
    results = computed_ahead(started.append, iter(range(100)), threads=1)
    next(results).result()
    results.close()
    assert len(started) <= 3
