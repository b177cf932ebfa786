"""Fixtures for the tests of the plugin: viewers, a stand-in model, notifications."""

from __future__ import annotations

from typing import Any

import pytest
from integrate_window import EchoModel, add_cell, opened_dock

from napari_integrated_cell.plugin.session import session_of


@pytest.fixture
def echo() -> EchoModel:
    return EchoModel()


@pytest.fixture(scope="session")
def simulated():
    """One simulated interphase cell, on an anisotropic grid as a microscope gives it."""
    from napari_integrated_cell.simulation import simulate_cell

    return simulate_cell(3, stage="interphase", voxel_size=(0.58, 0.3, 0.3)).cell


@pytest.fixture(autouse=True)
def no_memory(tmp_path, monkeypatch):
    """Tests neither read nor change the user's recent models and preferences."""
    from napari_integrated_cell.plugin import preferences

    monkeypatch.setattr(preferences, "_recent_file", lambda: tmp_path / "recent_models.json")
    monkeypatch.setattr(preferences, "_setting", lambda name, default: default)


@pytest.fixture
def notified():
    """Every notification of the test, as (severity, message)."""
    from napari.utils.notifications import notification_manager

    told: list[tuple[str, str]] = []

    def hear(event: Any) -> None:
        told.append((str(event.severity), event.message))

    notification_manager.notification_ready.connect(hear)
    yield told
    notification_manager.notification_ready.disconnect(hear)


@pytest.fixture
def viewer(make_napari_viewer, echo):
    viewer = make_napari_viewer()
    session_of(viewer).open_model = lambda source, device: echo
    return viewer


@pytest.fixture
def dock(viewer, qtbot, simulated):
    """The dock of a viewer that shows one simulated cell."""
    add_cell(viewer, simulated)
    return opened_dock(viewer)
