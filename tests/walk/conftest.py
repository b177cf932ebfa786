from __future__ import annotations

import pytest
import torch
from walk_models import CHOSEN, save_walker

from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.walk.traversal import Traversal, stop_at_stage, walk

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return save_walker(tmp_path_factory.mktemp("model") / "walker")


@pytest.fixture(scope="module")
def model(bundle):
    return load_model(bundle, device="cpu")


@pytest.fixture(scope="module")
def traversal(model):
    stops = [stop_at_stage(model, name) for name in ("interphase", "prophase-1", "metaphase")]
    return Traversal(model, walk(stops, 5), CHOSEN)
