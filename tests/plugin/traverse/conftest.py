"""Fixtures for the tests of the dock Mitosis traversal: a tiny model with landmarks and a window on it."""

from __future__ import annotations

import pytest
from traverse_window import opened, tiny_model

from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.plugin.session import session_of


@pytest.fixture(scope="session")
def walker() -> IntegratedCell:
    return tiny_model()


@pytest.fixture
def viewer(make_napari_viewer, walker):
    viewer = make_napari_viewer()
    session_of(viewer).open_model = lambda source, device: walker
    return viewer


@pytest.fixture
def dock(viewer, qtbot):
    return opened(viewer, qtbot)
