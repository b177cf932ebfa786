"""Positions and models in the session, and the state of the explorer's dock when it is opened again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from explore_window import SHOWN, assert_shows, choose, drag, layers, opened, settled
from integrate_window import needs_display, press
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_integrated_cell.latent.position import Position, decode, read_positions
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.plugin.explore import actions as explore_actions
from napari_integrated_cell.plugin.scene import decoder
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]


@pytest.fixture
def session(viewer):
    return session_of(viewer)


# ------------------------------------------------------------------------------------------------ positions


def test_copy_and_paste(dock, viewer, session, qtbot, notified):
    drag(dock.sliders.rows[0], 1.0)
    there = session.scene.position
    press(qtbot, dock.positions.copy)
    assert json.loads(QApplication.clipboard().text())["weights"] == fingerprint(session.model)
    drag(dock.sliders.rows[0], -1.0)
    press(qtbot, dock.positions.paste)
    assert session.scene.position == there
    QApplication.clipboard().setText("something else")
    press(qtbot, dock.positions.paste)
    assert session.scene.position == there
    assert "not a latent position" in notified[-1][1]


def test_kept_positions_are_saved_and_opened(dock, viewer, session, qtbot, tmp_path, monkeypatch, notified):
    path = tmp_path / "positions.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    for value, name in ((1.0, "one"), (2.0, "two")):
        drag(dock.sliders.rows[0], value)
        dock.positions.kept.setEditText(name)
        press(qtbot, dock.positions.keep)
    press(qtbot, dock.positions.save)
    assert [p.name for p in read_positions(path)] == ["one", "two"]
    dock.positions.kept.activated.emit(0)
    assert dock.sliders.rows[0].slider.value() == 100
    explore_actions.change(session, kept=())
    press(qtbot, dock.positions.open)
    assert [dock.positions.kept.itemText(i) for i in range(dock.positions.kept.count())] == ["one", "two"]
    path.write_text("nothing\n")
    press(qtbot, dock.positions.open)
    assert "not a table of positions" in notified[-1][1]


def test_starting_places(dock, viewer, session, model, qtbot, notified):
    for mark in model.landmarks:
        choose(dock.origin, mark.stage)
        press(qtbot, dock.start)
        np.testing.assert_array_equal(session.scene.position.z_ref, mark.z_ref)
    assert "Metaphase" in dock.where.text()
    drag(dock.sliders.rows[0], 3.0)
    assert "moved" in dock.where.text()
    choose(dock.origin, explore_actions.DRAW)
    press(qtbot, dock.start)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position)
    before = session.scene.position
    choose(dock.origin, explore_actions.CELL)
    press(qtbot, dock.start)
    assert "no active cell" in notified[-1][1]
    assert session.scene.position is before


# ------------------------------------------------------------------------------------------------ coming and going


def test_a_dock_that_is_closed_and_opened_again_finds_everything_as_it_was(dock, viewer, session, qtbot):
    drag(dock.sliders.rows[1], 1.0)
    choose(dock.sliders.basis, False)
    dock.sliders.search.setText("1")
    dock.sliders.rows[0].lock.click()
    settled(viewer, qtbot)
    found, position = layers(viewer), session.scene.position
    viewer.window.remove_dock_widget(dock)
    assert session.key not in decoder._scenes
    session.scene.go_to(Position(position.z_ref + 1))
    qtbot.wait(300)
    np.testing.assert_allclose(found["dna"].data, decode(session.model, position, ["dna"])["dna"], atol=1e-5)
    session.scene.undo()

    again = opened(viewer, qtbot)
    assert session.scene.position is position
    assert layers(viewer) == found
    assert again.sliders.search.text() == "1"
    assert again.sliders.rows[0].lock.isChecked()
    assert again.sliders.basis.currentData() is False


def test_another_model_empties_the_dock_until_it_is_open(dock, viewer, session, qtbot):
    drag(dock.sliders.rows[1], 1.0)
    session.choose_model("/another")
    assert not dock.sliders.isEnabled()
    assert not dock.positions.keep.isEnabled()
    settled(viewer, qtbot)
    assert dock.sliders.isEnabled()
    assert_shows(viewer, session.scene.position)


def test_after_a_model_that_cannot_be_opened_the_next_one_is(dock, viewer, session, model, qtbot, notified):
    def open_model(source, device):
        if source == "/broken":
            raise ValueError("The bundle is broken.")
        return model

    session.open_model = open_model
    session.choose_model("/broken")
    qtbot.waitUntil(lambda: any("broken" in message for _, message in notified), timeout=60_000)
    assert not dock.sliders.isEnabled()
    session.choose_model("/sound")
    settled(viewer, qtbot)
    assert dock.sliders.isEnabled()


def test_a_closed_dock_opens_no_model(dock, viewer, session, qtbot):
    viewer.window.remove_dock_widget(dock)
    session.choose_model("/another")
    qtbot.wait(200)
    assert session.model is None


def test_the_keyboard_undoes(make_napari_viewer, model, qtbot):
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    session.open_model, session.scene.shown = lambda source, device: model, SHOWN
    dock = opened(viewer, qtbot)
    start, slider = session.scene.position, dock.sliders.rows[0].slider
    drag(dock.sliders.rows[0], 1.0)
    moved = session.scene.position
    viewer.window._qt_window.activateWindow()
    slider.setFocus()
    qtbot.waitUntil(slider.hasFocus, timeout=60_000)
    qtbot.keySequence(slider, QKeySequence(QKeySequence.StandardKey.Undo))
    assert session.scene.position == start
    qtbot.keySequence(slider, QKeySequence(QKeySequence.StandardKey.Redo))
    assert session.scene.position == moved


def test_a_closed_dock_goes(dock, viewer):
    viewer.window.remove_dock_widget(dock)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    with pytest.raises(RuntimeError):
        dock.isVisible()
