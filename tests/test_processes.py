"""Processes that share the cores of a machine."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from napari_integrated_cell.processes import worker_processes


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
