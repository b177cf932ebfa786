"""Clicks, hovering, the lasso, and the actions on selected cells in the dock "Cell map"."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import needs_display
from map_window import apart, at, choose, click, drag, move, to_pixels
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_integrated_cell.latent import groups
from napari_integrated_cell.latent.population import MEASURES
from napari_integrated_cell.latent.position import Position, read_positions
from napari_integrated_cell.plugin.map import actions as map_actions
from napari_integrated_cell.plugin.scene.decoder import scene_of

pytestmark = [pytest.mark.gui, needs_display]


def test_clicking_a_point_goes_there(dock, session, viewer, cells, qtbot):
    assert scene_of(viewer, session)._holders == 0, "before, the canvas is the user's"
    cell = apart(dock, session)
    click(qtbot, dock, session.map.projection.points[cell])
    assert session.map.view.selection == (cell,)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[cell], atol=1e-6)
    assert session.scene.position.name == cells.table["cell_id"].iloc[cell]
    assert session.scene.can_undo is False
    assert scene_of(viewer, session)._holders == 1, "the cell there is shown"
    other = 1 if cell == 0 else 0
    map_actions.go_to_cell(session, other)
    session.scene.undo()
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[cell], atol=1e-6)


def test_clicking_a_landmark_goes_to_it(dock, session, model, qtbot):
    landmark = model.landmarks[1]
    dock.scatter.zoom(0.5)
    click(qtbot, dock, session.map.projection.place(landmark.z_ref))
    assert session.scene.position == Position(landmark.z_ref)
    assert session.scene.position.name == "metaphase"


def test_a_click_on_nothing_changes_nothing(dock, session, qtbot):
    map_actions.select(session, [1, 2])
    dock.scatter.zoom(0.1)
    qtbot.mouseClick(dock.scatter.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    assert session.scene.position is None
    assert session.map.view.selection == (1, 2)


def test_hovering_describes_the_cell_and_leaving_shows_the_state_of_the_map(dock, session, cells, qtbot):
    before = dock.controls.status.text()
    cell = apart(dock, session)
    move(dock, at(dock, session.map.projection.points[cell]))
    told = dock.controls.status.text()
    assert f"Cell {cells.table['cell_id'].iloc[cell]}" in told
    assert cells.table["structure"].iloc[cell] in told
    dock.scatter.fit()
    move(dock, at(dock, session.map.projection.place(session.model.landmarks[0].z_ref)))
    assert "landmark" in dock.controls.status.text()
    QApplication.sendEvent(dock.scatter, QEvent(QEvent.Type.Leave))
    assert dock.controls.status.text() == before


@pytest.mark.parametrize("by", ["button", "shift"])
def test_a_lasso_selects_what_lies_inside_and_tells_its_shape(dock, session, cells, qtbot, by):
    points = to_pixels(dock.scatter.plane, session.map.projection.points)
    middle = to_pixels(dock.scatter.plane, np.median(session.map.projection.points, 0))
    corners = middle + np.array([(-50, -40), (60, -45), (55, 50), (-45, 45)])
    if by == "button":
        qtbot.mouseClick(dock.controls.lasso, Qt.MouseButton.LeftButton)
    modifier = Qt.KeyboardModifier.ShiftModifier if by == "shift" else Qt.KeyboardModifier.NoModifier
    places = [QPoint(*np.round(c).astype(int).tolist()) for c in corners]
    drag(qtbot, dock, places, modifier)
    inner, outer = (np.array([-43, -38]), np.array([53, 43])), (np.array([-51, -46]), np.array([61, 51]))

    def within(box):
        return set(np.flatnonzero(((points - middle > box[0]) & (points - middle < box[1])).all(1)).tolist())

    chosen = set(session.map.view.selection)
    assert within(inner) <= chosen <= within(outer)
    assert len(chosen) > 1
    assert dock.cells.title() == f"{len(chosen)} selected cells"
    shape = dock.cells.shape
    assert shape.isVisibleTo(dock)
    assert shape.rowCount() == len(MEASURES)
    volumes = cells.table["cell_volume"].iloc[sorted(chosen)]
    assert float(shape.item(0, 1).text()) == pytest.approx(volumes.mean(), rel=0.01)
    assert session.scene.position is None, "selecting goes nowhere"


def test_escape_gives_a_lasso_up(dock, session, qtbot):
    corners = [QPoint(60, 20), QPoint(300, 20), QPoint(300, 200), QPoint(60, 200)]
    before = dock.scatter.plane.part
    drag(qtbot, dock, corners, Qt.KeyboardModifier.ShiftModifier, release=False)
    assert not dock.scatter.plane.outline.polygon().isEmpty()
    qtbot.keyClick(dock.scatter, Qt.Key.Key_Escape)
    assert dock.scatter.plane.outline.polygon().isEmpty()
    move(dock, QPoint(60, 100), Qt.MouseButton.LeftButton)
    qtbot.mouseRelease(dock.scatter.viewport(), Qt.MouseButton.LeftButton, pos=corners[-1])
    assert session.map.view.selection == ()
    assert dock.scatter.plane.part == before
    drag(qtbot, dock, corners, Qt.KeyboardModifier.ShiftModifier)
    assert len(session.map.view.selection) > 1, "the next lasso selects again"


def test_a_group_is_gone_to_by_its_mean_and_by_its_medoid_and_is_written(
    dock, session, cells, qtbot, tmp_path, monkeypatch
):
    chosen = np.array([2, 5, 7, 11, 13])
    map_actions.select(session, chosen)
    qtbot.mouseClick(dock.cells.mean, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[chosen].mean(0), atol=1e-5)
    qtbot.mouseClick(dock.cells.medoid, Qt.MouseButton.LeftButton)
    expected = groups.medoid_cell(session.map.population, chosen)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[expected], atol=1e-6)
    assert session.map.view.selection == tuple(chosen)
    target = tmp_path / "group.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    qtbot.mouseClick(dock.cells.save, Qt.MouseButton.LeftButton)
    assert [p.name for p in read_positions(target)] == cells.table["cell_id"].iloc[chosen].tolist()


def test_without_a_selection_there_is_nothing_to_press(dock, session):
    map_actions.select(session, ())
    for button in (dock.cells.mean, dock.cells.medoid, dock.cells.save, dock.cells.open):
        assert not button.isEnabled()
    for action in (map_actions.go_to_mean, map_actions.go_to_medoid):
        with pytest.raises(ValueError, match="lasso"):
            action(session)


def test_a_legends_button_selects_its_class(dock, session, cells, qtbot):
    choose(dock.controls.colour, "structure")
    button = next(b for b in dock.legend.buttons if b.text().startswith("dots"))
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert session.map.view.selection == tuple(np.flatnonzero(cells.table["structure"] == "dots"))
    choose(dock.controls.colour, "stage")
    button = next(b for b in dock.legend.buttons if b.text().startswith("unknown"))
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert session.map.view.selection == tuple(np.flatnonzero(cells.table["stage"].isna()))


def test_a_cell_is_found_by_its_name(dock, session, cells, qtbot, notified):
    name = cells.table["cell_id"].iloc[9]
    dock.controls.find.setText(f" {name} ")
    qtbot.keyClick(dock.controls.find, Qt.Key.Key_Return)
    assert session.map.view.selection == (9,)
    dock.controls.find.setText("nobody")
    qtbot.keyClick(dock.controls.find, Qt.Key.Key_Return)
    assert "There is no cell 'nobody'" in notified[-1][1]
    assert session.map.view.selection == (9,)
