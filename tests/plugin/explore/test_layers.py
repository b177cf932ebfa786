"""The layers of the dock "Latent explorer" while sliders and check boxes are used."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from explore_window import SHOWN, assert_shows, choose, drag, layers, opened, settled
from integrate_window import needs_display, press
from qtpy.QtCore import Qt

from napari_integrated_cell.latent.position import Position, decode
from napari_integrated_cell.plugin.explore import actions as explore_actions
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.place import Place
from napari_integrated_cell.plugin.layers.volumes import is_volume
from napari_integrated_cell.plugin.scene import decoder
from napari_integrated_cell.plugin.scene.decoder import scene_of
from napari_integrated_cell.plugin.scene.drawing import draw_again
from napari_integrated_cell.plugin.scene.layers import DIFFERENCE
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]


@pytest.fixture
def session(viewer):
    return session_of(viewer)


def test_it_opens_at_the_most_probable_cell(dock, viewer, session, model):
    assert session.scene.position == Position(np.zeros(model.config.n_ref))
    assert_shows(viewer, session.scene.position)
    for layer in layers(viewer).values():
        np.testing.assert_allclose(layer.scale, model.config.voxel_size)
        assert not is_volume(layer)  # it must not be offered as an image to integrate
        made_by = {"model": model.name, "simulated": bool(model.card.get("simulated"))}
        assert made_by.items() <= mark_of(layer).items()
    assert "prior's mode" in dock.where.text()


def test_a_dragged_slider_changes_the_layers_in_place(dock, viewer, session, qtbot):
    before = layers(viewer)
    limits = {c: tuple(layer.contrast_limits) for c, layer in before.items()}
    told = []
    before["dna"].events.data.connect(lambda event: told.append(event))
    drag(dock.sliders.rows[1], 0.4, 0.8, 1.5)
    settled(viewer, qtbot)
    axes = explore_actions.axes_of(session)
    assert axes.values(session.scene.position.z_ref)[1] == pytest.approx(1.5, abs=1e-3)
    assert_shows(viewer, session.scene.position)
    after = layers(viewer)
    for channel, layer in after.items():
        assert layer is before[channel]
        assert tuple(layer.contrast_limits) == limits[channel]
    assert told  # napari emits the event when the slider rests
    np.testing.assert_allclose(dock.sliders.rows[1].value.value(), 1.5)


def test_a_drag_is_one_step_to_undo_and_so_is_a_burst_of_keys(dock, viewer, session, qtbot):
    start = session.scene.position
    drag(dock.sliders.rows[0], 0.5, 1.0, 1.5, 2.0)
    dragged = session.scene.position
    drag(dock.sliders.rows[0], 1.0)
    for _ in range(4):
        qtbot.keyClick(dock.sliders.rows[1].slider, Qt.Key.Key_Right)
    press(qtbot, dock.positions.undo)
    press(qtbot, dock.positions.undo)
    assert session.scene.position == dragged
    press(qtbot, dock.positions.undo)
    assert session.scene.position == start
    assert not dock.positions.undo.isEnabled()
    press(qtbot, dock.positions.redo)
    assert session.scene.position == dragged
    settled(viewer, qtbot)
    assert_shows(viewer, dragged)
    assert dock.sliders.rows[0].slider.value() == 200


def test_positions_that_the_hand_has_left_are_not_decoded(dock, viewer, session, model, qtbot, monkeypatch):
    gate, decoded, decode_reference = threading.Event(), [], model.decode_reference

    def slow(z_ref, **run):
        decoded.append(float(explore_actions.axes_of(session).values(z_ref[0])[0]))
        gate.wait(30)
        return decode_reference(z_ref, **run)

    monkeypatch.setattr(model, "decode_reference", slow)
    drag(dock.sliders.rows[0], *np.linspace(0.11, 1.99, 40))
    qtbot.wait(50)
    gate.set()
    settled(viewer, qtbot)
    *ahead, last = decoded
    assert last == pytest.approx(1.99, abs=1e-4)
    assert [4 * value for value in ahead] == pytest.approx([round(4 * value) for value in ahead], abs=1e-3)
    monkeypatch.undo()
    assert_shows(viewer, session.scene.position)


def test_a_slow_model_keeps_up_with_the_references_and_the_exact_rest_follows(
    dock, viewer, session, model, qtbot, monkeypatch
):
    of_structures, decode_structures = [], model.decode_structures

    def counted(z_ref, *arguments, **run):
        of_structures.append(np.array(z_ref[0]))
        return decode_structures(z_ref, *arguments, **run)

    monkeypatch.setattr(decoder, "_QUICK", 0.0)  # whatever it takes is slow
    monkeypatch.setattr(scene_of(viewer, session), "_seconds", 1.0)
    monkeypatch.setattr(model, "decode_structures", counted)
    for value in np.linspace(0.1, 1, 10):  # not along a slider
        session.scene.go_to(Position(np.full(model.config.n_ref, value, np.float32)))
        qtbot.wait(30)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position)
    moving = [z for z in of_structures if not np.array_equal(z, session.scene.position.z_ref)]
    assert not moving


@pytest.fixture
def decoded(model, session, monkeypatch):
    """The values of the first axis at which references were decoded."""
    values, decode_reference = [], model.decode_reference

    def counted(z_ref, **run):
        values.append(float(explore_actions.axes_of(session).values(z_ref[0])[0]))
        return decode_reference(z_ref, **run)

    monkeypatch.setattr(model, "decode_reference", counted)
    return values


def test_under_a_moving_hand_what_lies_between_decoded_cells_is_blended_and_the_exact_cell_follows(
    dock, viewer, session, model, qtbot, decoded
):
    scene = scene_of(viewer, session)

    def move(value):
        dock.sliders.rows[0].slider.setSliderPosition(round(100 * value))
        qtbot.waitUntil(lambda: scene.showing is session.scene.position)
        qtbot.waitUntil(lambda: not scene._filling and not scene._busy and not scene._late.isActive())
        return layers(viewer)["dna"].data.copy()

    scene._rest.setInterval(60_000)  # the slider never rests
    decoded.clear()
    dock.sliders.rows[0].slider.setSliderDown(True)
    between = move(1.1)
    assert decoded == pytest.approx([1, 2, 0, 3, 1.5, 1.25], abs=1e-4)
    ends = [decode(model, session.scene.line.at(value), ["dna"])["dna"] for value in (1.0, 1.25)]
    np.testing.assert_allclose(between, 0.6 * ends[0] + 0.4 * ends[1], atol=1e-4)
    assert np.abs(between - decode(model, session.scene.position, ["dna"])["dna"]).max() > 1e-4
    decoded.clear()
    for value in (1.2, 1.05, 1.15):
        move(value)
    assert not decoded
    scene._rest.start(1)
    settled(viewer, qtbot)
    assert decoded == pytest.approx([1.15], abs=1e-4)
    assert_shows(viewer, session.scene.position)


def test_while_cells_are_decoded_ahead_the_picture_follows_the_hand(
    dock, viewer, session, model, qtbot, monkeypatch
):
    scene, gate, decode_reference = scene_of(viewer, session), threading.Event(), model.decode_reference
    slider = dock.sliders.rows[0].slider
    slider.setSliderDown(True)
    scene._rest.setInterval(60_000)
    slider.setSliderPosition(50)
    qtbot.waitUntil(lambda: scene.showing is session.scene.position)
    monkeypatch.setattr(
        model, "decode_reference", lambda z, **run: (gate.wait(30), decode_reference(z, **run))[1]
    )
    for value in (55, 62, 80):
        slider.setSliderPosition(value)
        qtbot.waitUntil(lambda: scene.showing is session.scene.position)
    gate.set()
    scene._rest.start(1)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position)


def test_a_hand_that_rests_before_any_blend_gets_the_exact_cell(
    dock, viewer, session, model, qtbot, monkeypatch
):
    decode_reference, gate = model.decode_reference, threading.Event()
    monkeypatch.setattr(
        model, "decode_reference", lambda z, **run: (gate.wait(1), decode_reference(z, **run))[1]
    )
    drag(dock.sliders.rows[0], 1.6)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position)


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_what_is_written_into_the_layers_is_drawn(make_napari_viewer, model, ndisplay, qtbot, monkeypatch):
    viewer = make_napari_viewer(show=True)
    session_of(viewer).open_model = lambda source, device: model
    opened(viewer, qtbot)
    viewer.dims.ndisplay = ndisplay
    viewer.reset_view()
    layer = layers(viewer)["dna"]
    refreshed, refresh = [], type(layer).refresh
    monkeypatch.setattr(
        type(layer), "refresh", lambda self, **how: (refreshed.append(self), refresh(self, **how))
    )
    pictures = []
    for value in (0.0, 1.0):
        layer.data[...] = value * layer.contrast_limits[1]
        draw_again(viewer, layer)
        pictures.append(viewer.screenshot(canvas_only=True, flash=False))
    assert not refreshed  # the private interface of napari still works, so napari does not refresh the layer
    assert (pictures[0] != pictures[1]).mean() > 0.05
    refresh(layer)
    np.testing.assert_array_equal(viewer.screenshot(canvas_only=True, flash=False), pictures[1])
    with monkeypatch.context() as patch:
        patch.setattr(viewer.window._qt_viewer.canvas, "layer_to_visual", {})
        draw_again(viewer, layer)
    assert refreshed == [layer]  # without the private interface, napari refreshes the layer


def test_a_row_under_the_hand_is_painted_with_the_picture(dock, viewer, session, qtbot):
    row = dock.sliders.rows[0]
    asked = []  # whether it may be painted, when it asks to be
    row.slider.valueChanged.connect(lambda _: asked.append(row.updatesEnabled()))
    row.slider.setSliderDown(True)
    row.slider.setSliderPosition(40)
    assert asked == [False]
    settled(viewer, qtbot)
    assert row.updatesEnabled()
    row.slider.setSliderDown(False)


def test_channels_are_shown_and_hidden_by_box_and_by_eye(dock, viewer, session, model, qtbot, monkeypatch):
    dock.shown.boxes["lamin-B1"].click()
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position, (*SHOWN, "lamin-B1"))
    dock.shown.boxes["TOM20"].click()
    assert not layers(viewer)["TOM20"].visible
    layers(viewer)["lamin-B1"].visible = False
    assert not dock.shown.boxes["lamin-B1"].isChecked()
    settled(viewer, qtbot)
    monkeypatch.setattr(
        model, "decode_structures", lambda *_, **__: pytest.fail("what is hidden was decoded")
    )
    drag(dock.sliders.rows[0], 1.0)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position, ("membrane", "dna"))
    monkeypatch.undo()
    layers(viewer)["TOM20"].visible = True
    settled(viewer, qtbot)
    assert dock.shown.boxes["TOM20"].isChecked()
    assert_shows(viewer, session.scene.position)


def test_removed_layers_stay_away_until_they_are_ticked(dock, viewer, session, qtbot):
    viewer.layers.clear()
    drag(dock.sliders.rows[0], 1.0)
    qtbot.wait(300)
    assert not viewer.layers
    assert not any(box.isChecked() for box in dock.shown.boxes.values())
    dock.shown.boxes["dna"].click()
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position, ("dna",))


def test_the_difference_to_the_start(dock, viewer, session, model, qtbot):
    choose(dock.shown.difference, "dna")
    settled(viewer, qtbot)
    qtbot.waitUntil(lambda: DIFFERENCE in layers(viewer), timeout=60_000)
    assert not layers(viewer)[DIFFERENCE].data.any()
    drag(dock.sliders.rows[0], 2.0)
    settled(viewer, qtbot)

    def expected(channel):
        now, then = (
            decode(model, p, [channel])[channel] for p in (session.scene.position, session.scene.start)
        )
        return now - then

    layer = layers(viewer)[DIFFERENCE]
    np.testing.assert_allclose(layer.data, expected("dna"), atol=1e-5)
    assert layer.contrast_limits[0] == -layer.contrast_limits[1]
    choose(dock.shown.difference, "ZO1")  # which is not shown itself
    settled(viewer, qtbot)
    np.testing.assert_allclose(layer.data, expected("ZO1"), atol=1e-5)
    assert "ZO-1" in layer.name
    press(qtbot, dock.start)
    settled(viewer, qtbot)
    assert not layer.data.any()
    choose(dock.shown.difference, "")
    assert not layer.visible
    layer.visible = True
    assert session.scene.difference == "ZO1"
    viewer.layers.remove(layer)
    assert session.scene.difference == ""


def test_the_layers_follow_the_place_of_the_cell(dock, viewer, session, qtbot):
    affine = np.eye(4)
    affine[:3, 3] = 3, 20, 40
    session.scene.place = Place(affine)
    dock.shown.boxes["ZO1"].click()
    settled(viewer, qtbot)
    for layer in layers(viewer).values():
        np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), (3, 20, 40))
