"""Fixtures for the tests of the latent spaces."""

from __future__ import annotations

import pytest
import torch
from explore_window import tiny_model

from napari_integrated_cell.model.integrated_cell import IntegratedCell


@pytest.fixture(scope="session")
def model() -> IntegratedCell:
    torch.set_num_threads(1)
    return tiny_model()
