"""Fixtures for the tests of the dock Latent explorer: a tiny model, a session and a window on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from explore_window import SHOWN, opened, tiny_model

from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.plugin.explore.dock import ExploreWidget
from napari_integrated_cell.plugin.session import Session, session_of
from napari_integrated_cell.plugin.tasks import Task, Tasks


@pytest.fixture(scope="session")
def model() -> IntegratedCell:
    torch.set_num_threads(1)
    return tiny_model()


@pytest.fixture
def session(model: IntegratedCell) -> Session:
    """A session without a window, whose tasks are done at once."""
    session = Session(open_model=lambda source, device: model, tasks=Tasks(execute=Task.__call__))
    session.scene.shown = SHOWN
    return session


@pytest.fixture
def viewer(make_napari_viewer: Any, model: IntegratedCell) -> Any:
    viewer = make_napari_viewer()
    session_of(viewer).open_model = lambda source, device: model
    session_of(viewer).scene.shown = SHOWN
    return viewer


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> ExploreWidget:
    return opened(viewer, qtbot)
