"""Fixtures of the tests of fitting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_training import ToyCells, toy_config

from napari_ic_train.fit.trainer import fit_conditional, fit_reference


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both phases, unbroken."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    fit_reference(ToyCells(), toy_config(), out, device="cpu")
    fit_conditional(ToyCells(), toy_config(), out, device="cpu")
    return out
