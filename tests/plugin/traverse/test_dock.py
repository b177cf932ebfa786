"""The walk of the dock "Mitosis traversal": its layers, its playhead, the dock itself."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
from integrate_window import needs_display
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget
from traverse_window import (
    BETWEEN,
    Gate,
    assert_drawn,
    checked,
    choose,
    decoded,
    drawn,
    layers_of,
    made,
    opened,
    planned,
)

from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.plugin.layers.place import Place
from napari_integrated_cell.plugin.layers.volumes import is_volume
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.traverse import actions as traverse_actions
from napari_integrated_cell.plugin.traverse.layers import AHEAD
from napari_integrated_cell.plugin.traverse.state import CELL
from napari_integrated_cell.walk.traversal import stop_at_cell

pytestmark = [pytest.mark.gui, needs_display]


# The layers.


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_each_frame_is_what_the_library_decodes(dock, viewer, qtbot, ndisplay):
    viewer.dims.ndisplay = ndisplay
    shown = made(viewer, dock, qtbot)
    layers = layers_of(viewer)
    assert list(layers) == ["membrane", "dna", "fibrillarin", "TOM20"]
    for frame in (0, 7, 40, 23):
        shown.go_to(frame)
        assert_drawn(viewer, shown, frame)
    assert not any(is_volume(layer) for layer in layers.values())
    for layer in layers.values():
        assert layer.data.shape == (41, *shown.traversal.model.config.box)
        assert layer.axis_labels == ("t", "z", "y", "x")
        assert [str(unit) for unit in layer.units] == ["pixel"] + ["micrometer"] * 3
        np.testing.assert_allclose(layer.scale, (1, *shown.traversal.voxel_size))


@pytest.mark.slow
def test_each_frame_of_the_demo_models_walk(viewer, qtbot):
    from napari_integrated_cell.model.bundle import load_model

    session = session_of(viewer)
    session.open_model = lambda source, device: load_model("demo", device="cpu")
    session.traverse.plan = replace(session.traverse.plan, steps=2, budget=10)
    dock = opened(viewer, qtbot)
    shown = made(viewer, dock, qtbot)
    assert len(shown.frames.kept) == shown.frames.capacity < len(shown.traversal)
    for frame in (0, 3, len(shown.traversal) - 1):
        shown.go_to(frame)
        decoded(viewer, qtbot)
        assert_drawn(viewer, shown, frame)
    assert "trained on simulated cells" in viewer.canvas.overlays.text.text


def test_contrast_is_one_for_the_whole_walk(dock, viewer, qtbot):
    shown = made(viewer, dock, qtbot)
    before = {name: tuple(layer.contrast_limits) for name, layer in layers_of(viewer).items()}
    stops = np.stack([shown.traversal.decoded(t) for t in shown.traversal.walk.at])
    for channel, name in enumerate(shown.traversal.channels):
        low, high = before[name]
        assert low < high <= stops[:, channel].max()
        assert high >= np.percentile(stops[:, channel].reshape(len(stops), -1), 99.9, axis=1).max() * 0.999
    shown.go_to(33)
    decoded(viewer, qtbot)
    assert {name: tuple(layer.contrast_limits) for name, layer in layers_of(viewer).items()} == before


def test_layers_lie_where_the_session_places_the_box(dock, viewer, qtbot):
    affine = np.array([[1, 0, 0, 3], [0, 0, -1, 40], [0, 1, 0, -7], [0, 0, 0, 1.0]])
    session_of(viewer).scene.place = Place(affine)
    made(viewer, dock, qtbot)
    for layer in layers_of(viewer).values():
        voxel_size = layer.scale[-1]
        for corner in ([0, 0, 0], [3, 5, 7]):
            expected = affine @ [*(np.array(corner) * voxel_size), 1]
            np.testing.assert_allclose(layer.data_to_world([2, *corner]), [2, *expected[:3]])


def test_a_walk_lies_with_volumes_that_have_no_time(viewer, qtbot):
    viewer.add_image(np.zeros((16, 24, 32)), scale=(1.268,) * 3, units=("µm",) * 3, name="image")
    dock = opened(viewer, qtbot)
    shown = made(viewer, dock, qtbot)
    assert viewer.dims.ndim == 4
    assert viewer.dims.nsteps == (41, 16, 24, 32)
    shown.go_to(5)
    assert_drawn(viewer, shown, 5)


def test_walking_again_replaces_the_layers_and_keeps_what_the_user_set(dock, viewer, qtbot):
    first = made(viewer, dock, qtbot)
    before = layers_of(viewer)
    before["dna"].visible = False
    before["TOM20"].contrast_limits = (0.01, 0.02)
    before["membrane"].name = "my membrane"
    choose(dock.way.end, "anaphase")
    dock.structures.tick(["TOM20", "lamin-B1"])
    planned(dock, qtbot)
    second = made(viewer, dock, qtbot)
    after = layers_of(viewer)
    assert list(after) == ["membrane", "dna", "TOM20", "lamin-B1"]
    assert all(after[name] is before[name] for name in ("membrane", "dna", "TOM20"))
    assert len(viewer.layers) == 4
    assert not after["dna"].visible
    assert tuple(after["TOM20"].contrast_limits) == (0.01, 0.02)
    assert first.ended
    assert first.frames.kept == []
    assert viewer.dims.nsteps[0] == len(second.traversal) == 51
    second.go_to(50)
    after["dna"].visible = True
    assert_drawn(viewer, second, 50)


def test_layers_may_be_removed_one_by_one(dock, viewer, qtbot):
    overlay = viewer.canvas.overlays.text
    overlay.text, overlay.visible, overlay.font_size = "mine", False, 17
    shown = made(viewer, dock, qtbot)
    assert overlay.visible
    viewer.layers.remove(layers_of(viewer)["dna"])
    shown.go_to(11)
    decoded(viewer, qtbot)
    assert_drawn(viewer, shown, 11)
    assert len(shown.layers) == 3
    viewer.layers.clear()
    assert shown.ended
    assert session_of(viewer).traverse.walk is None
    assert (overlay.text, overlay.visible, overlay.font_size) == ("mine", False, 17)
    assert shown.frames.kept == []
    assert not dock.keeper.save.isEnabled()
    assert list(layers_of(viewer)) == []
    made(viewer, dock, qtbot)
    assert len(layers_of(viewer)) == 4


def test_a_copy_of_a_layer_is_drawn_too(dock, viewer, qtbot):
    from napari.layers import Image

    shown = made(viewer, dock, qtbot)
    copy = viewer.add_layer(Image.create(*layers_of(viewer)["TOM20"].as_layer_data_tuple()))
    shown.go_to(9)
    assert copy in shown.layers
    assert_drawn(viewer, shown, 9)


# The playhead.


def test_the_canvas_is_not_kept_waiting_for_a_frame(dock, viewer, qtbot, walker, monkeypatch):
    """With the decoder held up the slider moves at once, shows the nearest frame, and later the right one."""
    dock.budget.setValue(10)
    gate = Gate(walker, monkeypatch)
    session = session_of(viewer)
    session.traverse.plan = replace(session.traverse.plan, budget=0)  # two frames
    shown = made(viewer, dock, qtbot)
    assert shown.frames.kept == [0, 1]
    gate.open.clear()
    started = time.monotonic()
    shown.go_to(20)
    assert time.monotonic() - started < 2
    nearest = shown.frames.get(1)
    for layer in shown.layers:
        plane = nearest[layer.data.channel][viewer.dims.current_step[-3]]
        np.testing.assert_array_equal(drawn(layer), plane)
    assert "decoding…" in viewer.canvas.overlays.text.text
    shown.go_to(30)
    gate.open.set()
    decoded(viewer, qtbot)
    assert_drawn(viewer, shown, 30)
    assert "decoding…" not in viewer.canvas.overlays.text.text
    assert shown.frames.kept == [30, 31]


def test_it_plays_by_naparis_own_button(dock, viewer, qtbot):
    viewer.window._qt_window.show()  # napari plays on when a frame has been drawn
    shown = made(viewer, dock, qtbot)
    seen = []
    shown.moved.connect(seen.append)
    slider = viewer.window._qt_viewer.dims.slider_widgets[0]
    slider.fps = 60
    qtbot.mouseClick(slider.play_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(seen) > 45, timeout=60_000)
    qtbot.mouseClick(slider.play_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not viewer.window._qt_viewer.dims.is_playing, timeout=60_000)
    viewer.window._qt_viewer.dims._animation_thread.wait()
    decoded(viewer, qtbot)
    assert_drawn(viewer, shown, shown.playhead)
    # If napari is late, it may draw a frame after the next one. Most steps go forwards.
    steps = [(after - before) % 41 for before, after in itertools.pairwise(seen)]
    assert np.mean(np.array(steps) < 20) > 0.7
    assert len(set(seen)) > 20


def test_the_session_and_the_plot_follow_the_playhead(dock, viewer, qtbot):
    session = session_of(viewer)
    mine = Position(np.ones(8), name="mine")
    session.scene.go_to(mine)
    shown = made(viewer, dock, qtbot)
    way = shown.traversal.walk
    planned(dock, qtbot)
    for frame in (0, 10, 13):
        shown.go_to(frame)
        np.testing.assert_array_equal(session.scene.position.z_ref, way.z_ref[frame].astype(np.float32))
        assert session.scene.position.name == way.title(frame)
        assert viewer.canvas.overlays.text.text.startswith(way.title(frame))
        assert dock.plot._playheads[0].value() == frame
        assert dock.plot._playheads[0].isVisible()
    session.scene.undo()
    assert session.scene.position is mine, "the walk is one move"
    viewer.dims.set_point(1, 3)
    assert session.scene.position is mine, "another axis is none"
    shown.go_to(14)
    np.testing.assert_array_equal(session.scene.position.z_ref, way.z_ref[14].astype(np.float32))
    dock.way.steps.setValue(3)
    planned(dock, qtbot)
    assert not dock.plot._playheads[0].isVisible(), "the plot shows another walk than the window"


def test_another_model_leaves_the_walk_alone(dock, viewer, qtbot):
    session = session_of(viewer)
    shown = made(viewer, dock, qtbot)
    session.choose_model("another")
    assert session.scene.position is None
    shown.go_to(9)
    assert session.scene.position is None
    assert_drawn(viewer, shown, 9)
    planned(dock, qtbot)


# From the active cell.


@pytest.mark.slow
def test_a_walk_from_the_active_cell(dock, viewer, qtbot, simulated, walker, notified):
    session = session_of(viewer)
    choose(dock.way.start, CELL)
    planned(dock, qtbot)
    assert "No cell is active" in dock.plot.words.text()
    session.integrate.cell = simulated
    assert simulated.name in dock.way.start.currentText()
    planned(dock, qtbot)
    assert checked(dock) == ["metaphase"]
    dock.way.strip.buttons["prophase-2"].click()
    shown = made(viewer, dock, qtbot)
    way = shown.traversal.walk
    assert [stop.name for stop in way.stops] == [simulated.name, "prophase-2", "metaphase"]
    np.testing.assert_allclose(way.z_ref[0], stop_at_cell(walker, simulated).z_ref, atol=1e-6)
    assert viewer.canvas.overlays.text.text.startswith(simulated.name)


# The dock is closed and opened again.


def test_a_closed_dock_leaves_the_walk_and_finds_it_again(dock, viewer, qtbot):
    choose(dock.way.end, "anaphase")
    dock.way.steps.setValue(3)
    dock.way.strip.buttons["metaphase"].click()
    shown = made(viewer, dock, qtbot)
    viewer.window.remove_dock_widget(dock)
    shown.go_to(4)
    decoded(viewer, qtbot)
    assert_drawn(viewer, shown, 4)
    again = opened(viewer, qtbot)
    assert again.way.end.currentData() == "anaphase"
    assert again.way.steps.value() == 3
    assert checked(again) == ["interphase", *BETWEEN, "anaphase"]
    assert again.keeper.save.isEnabled()
    assert again.plot._playheads[0].value() == 4


def test_making_can_be_cancelled(dock, viewer, qtbot, walker, monkeypatch):
    session, gate = session_of(viewer), Gate(walker, monkeypatch)
    gate.open.clear()
    dock.make.click()
    assert session.tasks.running(traverse_actions.SLOT)
    assert dock.cancel.isEnabled()
    assert "Making the walk" in dock.status.text()
    dock.cancel.click()
    qtbot.waitUntil(lambda: not session.tasks._alive, timeout=60_000)
    assert session.traverse.walk is None
    assert not viewer.layers
    assert dock.status.text() == ""
    assert session.tasks.running(AHEAD) is None


def test_it_fits_a_small_window_and_both_themes(dock, viewer, qtbot):
    viewer.window._qt_window.resize(1280, 800)
    assert dock.minimumSizeHint().width() <= 400
    for theme in ("light", "dark"):
        viewer.theme = theme
        assert dock.plot._plots.backgroundBrush().color().name() == str(
            __import__("napari.utils.theme", fromlist=["get_theme"])
            .get_theme(theme)
            .background.as_hex("long")
        )
    unnamed = [
        widget
        for widget in (
            dock.way.start,
            dock.way.end,
            dock.way.path,
            dock.way.easing,
            dock.way.steps,
            dock.budget,
            dock.plot._plots,
        )
        if not widget.accessibleName()
    ]
    assert unnamed == []
    reachable = [w for w in dock.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert set(dock.way.strip.buttons.values()) <= set(reachable)
