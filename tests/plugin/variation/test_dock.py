"""Dock "Structure variation": its buttons and sliders give the same results as calls of the library."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from integrate_window import add_cell, fields, finished, needs_display, opened_dock, press
from qtpy.QtCore import QPointF, Qt
from variation_scores import made_up

from napari_integrated_cell.imaging.pose import pose_of, posed_mask, posed_references
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.plugin.layers.place import Place, image_frame_of, place_over
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.variation import actions as variation_actions
from napari_integrated_cell.plugin.variation.dock import VariationWidget
from napari_integrated_cell.plugin.variation.state import DEVIATION, DRAW, MEAN, POSITION
from napari_integrated_cell.variation.structure_variation import Draws, structure_variation
from napari_integrated_cell.vocabulary import structure

pytestmark = [pytest.mark.gui, needs_display]


N = 20


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    model = IntegratedCell.untrained(preset("tiny"), seed=3)
    model.variation = made_up(model.config.structures, n=N)
    return model


@pytest.fixture
def viewer(make_napari_viewer, model, simulated):
    """A viewer with a simulated cell, which is the active one."""
    viewer = make_napari_viewer()
    session = session_of(viewer)
    session.open_model = lambda source, device: model
    layers = add_cell(viewer, simulated, translate=(0.0, 40.0, 20.0))
    session.integrate.image_frame = image_frame_of(layers["cells"], simulated.voxel_size)
    session.integrate.cell = simulated
    return viewer


def opened(viewer):
    dock = VariationWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Structure variation")
    return dock


@pytest.fixture
def dock(viewer, qtbot):
    dock = opened(viewer)
    dock.structures.tick(("TOM20", "lamin-B1", "ZO1"))
    dock.n.setValue(N)
    return dock


def measured(qtbot, viewer, dock):
    press(qtbot, dock.run)
    done(qtbot, viewer, variation_actions.SLOT)


def done(qtbot, viewer, slot):
    qtbot.waitUntil(lambda: session_of(viewer).tasks.running(slot) is None, timeout=60_000)


def scrubbed(qtbot, viewer, dock, draw):
    dock.slider_set = dock.scrubber.slider.setValue(draw)
    qtbot.waitUntil(
        lambda: (layer := dock.layers.layer(DRAW)) is not None and fields(layer)["draw"] == draw,
        timeout=60_000,
    )
    return dock.layers.layer(DRAW)


def expected(cell, model, name):
    """The variation of a cell's structure by `napari-ic variation` and by the library."""
    pose = pose_of(cell, model_box(model.config))
    mask = posed_mask(cell, pose)
    z_ref = model.encode(posed_references(cell, pose)[None])
    return structure_variation(model, z_ref, name, N, 0, mask=mask), mask, pose, z_ref[0]


def test_figures_and_layers_are_the_librarys(qtbot, viewer, dock, simulated, model):
    measured(qtbot, viewer, dock)
    session = session_of(viewer)
    assert [*session.variation.found] == [
        n for n in model.config.structures if n in ("TOM20", "lamin-B1", "ZO1")
    ]
    for name, found in session.variation.found.items():
        wanted, mask, pose, _ = expected(simulated, model, name)
        assert found == wanted
        dock.scrubber.structure_chosen.emit(name)
        for figure, volume in ((MEAN, wanted.mean), (DEVIATION, wanted.deviation)):
            layer = dock.layers.layer(figure, name)
            np.testing.assert_array_equal(layer.data, volume * mask)
            place = place_over(pose, session.integrate.image_frame)
            np.testing.assert_allclose(layer.affine.affine_matrix[-4:, -4:], place.affine, atol=1e-9)
            np.testing.assert_allclose(layer.scale, (model.config.voxel_size,) * 3)
            assert layer.visible
            colour = layer.colormap.colors[1][:3]
            wanted_colour = [int(structure(name).colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            np.testing.assert_allclose(colour, wanted_colour, atol=0.01)
    # The layers of the structures that are not looked at any more are there, but hidden.
    assert sum(layer.visible for layer in viewer.layers if fields_of(layer).get("figure")) == 2


def fields_of(layer):
    return layer.metadata.get("napari_integrated_cell", {})


def test_the_command_line_gives_the_same_figures(qtbot, viewer, dock, simulated, model, tmp_path):
    from napari_integrated_cell.commands import variation as command
    from napari_integrated_cell.data.entry import LoadedCell

    measured(qtbot, viewer, dock)
    names = [*session_of(viewer).variation.found]
    settings = {"n": N, "seed": 0, "ridge": 1e-9}
    listed = LoadedCell(simulated)
    rows = command._measured(listed, model, names, settings, True, lambda *_: None)
    assert [v for v, _ in rows] == [*session_of(viewer).variation.found.values()]


def test_every_structure_shows_as_soon_as_it_is_done_and_cancel_keeps_them(qtbot, viewer, dock, monkeypatch):
    session = session_of(viewer)
    seen = []

    def stop_after_two(found):
        seen.append(len(found))
        if len(found) == 2:
            assert dock.cancel.isEnabled()
            press(qtbot, dock.cancel)

    session.variation.events.found.connect(stop_after_two)
    measured(qtbot, viewer, dock)
    assert seen[:3] == [0, 1, 2]
    assert len(session.variation.found) == 2
    assert not dock.cancel.isEnabled()
    assert list(dock.chart.bars.opts["x1"]) == [v.score for v in session.variation.found.values()]
    # Continuing measures only the missing structures.
    session.variation.events.found.disconnect(stop_after_two)
    asked = []
    monkeypatch.setattr(Draws, "blocks", counting(Draws.blocks, asked))
    measured(qtbot, viewer, dock)
    assert len(session.variation.found) == 3
    assert len(asked) == 1


def counting(function, calls):
    def counted(self, *args):
        calls.append(self.structure)
        return function(self, *args)

    return counted


def test_scrubbing_shows_single_draws_in_one_layer(qtbot, viewer, dock, simulated, model):
    measured(qtbot, viewer, dock)
    name = session_of(viewer).variation.request.looked_at
    _, mask, _, z_ref = expected(simulated, model, name)
    first = scrubbed(qtbot, viewer, dock, 3)
    assert dock.scrubber.figures[DRAW].isChecked()
    np.testing.assert_allclose(first.data, Draws(model, z_ref, name).draw(3) * mask, atol=1e-6)
    limits = first.contrast_limits
    again = scrubbed(qtbot, viewer, dock, 17)
    assert again is first
    assert again.contrast_limits == limits
    np.testing.assert_allclose(again.data, Draws(model, z_ref, name).draw(17) * mask, atol=1e-6)
    # Another structure: the same layer, in its colour.
    other = next(n for n in session_of(viewer).variation.found if n != name)
    dock.scrubber.structure_chosen.emit(other)
    qtbot.waitUntil(lambda: fields(first)["structure"] == other, timeout=60_000)
    np.testing.assert_allclose(first.data, Draws(model, z_ref, other).draw(17) * mask, atol=1e-6)
    assert structure(other).label in first.name


def test_a_fast_slider_ends_at_the_latest_draw(qtbot, viewer, dock, monkeypatch):
    measured(qtbot, viewer, dock)
    made = []
    draw = Draws.draw
    monkeypatch.setattr(Draws, "draw", lambda self, i: (made.append(i), draw(self, i))[1])
    for i in range(1, N):
        dock.scrubber.slider.setValue(i)
    qtbot.waitUntil(
        lambda: (layer := dock.layers.layer(DRAW)) is not None and fields(layer)["draw"] == N - 1,
        timeout=60_000,
    )
    done(qtbot, viewer, variation_actions.SCRUB)
    assert made[0] == 1
    assert made[-1] == N - 1
    assert len(made) < N - 1


def test_scores_of_other_n_are_not_held_against_the_reference(qtbot, viewer, dock, model):
    measured(qtbot, viewer, dock)
    assert set(dock.chart.boxes) == {"interphase", "mitosis"}
    assert "cells that the model has not seen" in dock.chart.words.text()
    rows = dock.chart.rows
    _, medians = dock.chart.boxes["mitosis"]
    np.testing.assert_allclose(medians, [np.median(model.variation.scores[n]["mitosis"]) for n in rows])
    dock.n.setValue(N + 1)
    measured(qtbot, viewer, dock)
    assert dock.chart.boxes == {}
    assert f"take {N} draws" in dock.chart.words.text()


def test_the_shape_may_be_that_of_the_sliders(qtbot, viewer, dock, model):
    session = session_of(viewer)
    z_ref = np.linspace(-1, 1, model.config.n_ref).astype(np.float32)
    session.scene.place = Place(np.diag([1.0, 2.0, 3.0, 1.0]))
    session.scene.go_to(Position(z_ref))
    dock.subject.setCurrentIndex(dock.subject.findData(POSITION))
    dock.subject.activated.emit(dock.subject.currentIndex())
    measured(qtbot, viewer, dock)
    name = session.variation.request.looked_at
    mask = session.variation.shape.compared_in
    wanted = structure_variation(model, z_ref, name, N, 0, mask=mask)
    assert session.variation.found[name] == wanted
    layer = dock.layers.layer(MEAN, name)
    np.testing.assert_array_equal(layer.data, wanted.mean)
    np.testing.assert_allclose(layer.affine.affine_matrix[-4:, -4:], session.scene.place.affine)


def test_clicking_a_row_and_the_eye_of_a_layer_reach_the_session(qtbot, viewer, dock):
    measured(qtbot, viewer, dock)
    session, chart = session_of(viewer), dock.chart
    view = chart._plot.getViewBox()
    for row, name in enumerate(chart.rows):
        point = view.mapViewToScene(QPointF(0.1, row))
        spot = chart._view.mapFromScene(point)
        qtbot.mouseClick(chart._view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
        qtbot.waitUntil(lambda name=name: session.variation.request.looked_at == name, timeout=60_000)
    layer = dock.layers.layer(DEVIATION, session.variation.request.looked_at)
    layer.visible = False
    assert DEVIATION not in session.variation.request.shown
    assert not dock.scrubber.figures[DEVIATION].isChecked()
    dock.scrubber.figures[DEVIATION].click()
    assert layer.visible
    viewer.layers.remove(layer)
    assert DEVIATION not in session.variation.request.shown
    dock.scrubber.figures[DEVIATION].click()
    assert dock.layers.layer(DEVIATION, session.variation.request.looked_at) in viewer.layers


def test_a_closed_dock_comes_back_as_it_was(qtbot, viewer, dock):
    measured(qtbot, viewer, dock)
    scrubbed(qtbot, viewer, dock, 5)
    viewer.window.remove_dock_widget(dock)
    again = opened(viewer)
    assert again.n.value() == N
    assert again.structures.ticked == dock.structures.ticked
    assert again.scrubber.slider.value() == 5
    assert again.scrubber.structure.currentData() == session_of(viewer).variation.request.looked_at
    assert list(again.chart.bars.opts["x1"]) == [v.score for v in session_of(viewer).variation.found.values()]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda dock, session: dock.structures.tick(()), "No structure is ticked"),
        (lambda dock, session: setattr(session.integrate, "cell", None), "no active cell"),
        (lambda dock, session: variation_actions.change(session, subject=POSITION), "no position"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(qtbot, viewer, dock, notified, spoil, says):
    session = session_of(viewer)
    spoil(dock, session)
    press(qtbot, dock.run)
    assert session.tasks.running(variation_actions.SLOT) is None
    assert any(says in message for _, message in notified)


def test_another_model_stops_it_and_takes_the_figures_along(qtbot, viewer, dock, notified):
    measured(qtbot, viewer, dock)
    session = session_of(viewer)
    session.choose_model("/nowhere/else.zip")
    assert session.variation.found == {}
    assert session.variation.shape is None
    assert not dock.scrubber.isEnabled()


def test_the_integrate_dock_says_where_the_active_cell_lies(make_napari_viewer, qtbot, simulated, echo):
    viewer = make_napari_viewer()
    session = session_of(viewer)
    session.open_model = lambda source, device: echo
    layers = add_cell(viewer, simulated, translate=(0.0, 40.0, 20.0))
    integrate = opened_dock(viewer)
    press(qtbot, integrate.run)
    finished(qtbot, viewer)
    np.testing.assert_allclose(
        session.integrate.image_frame.to_world, image_frame_of(layers["cells"], simulated.voxel_size).to_world
    )
