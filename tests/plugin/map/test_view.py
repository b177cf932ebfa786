"""Axes, colours, marks and themes of the dock "Cell map", and its state after it is closed."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from integrate_window import needs_display
from map_window import choose, drag, to_pixels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from toy_training import MODEL

from napari_integrated_cell.latent import projection
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.plugin.map import actions as map_actions
from napari_integrated_cell.plugin.map.dock import MapWidget
from napari_integrated_cell.plugin.scene.decoder import scene_of

pytestmark = [pytest.mark.gui, needs_display]


def test_the_models_own_cells_are_on_the_map_at_once(dock, session, cells, model):
    assert len(session.map.population) == len(cells)
    axes = projection.axes_in("z_ref", model.latent, cells.z_ref)
    expected = projection.on_axes("z_ref", axes, (0, 1), np.arange(len(cells)), cells.z_ref)
    np.testing.assert_allclose(dock.scatter.points, expected.points, atol=1e-5)
    assert f"{len(cells)} cells" in dock.controls.status.text()
    assert len(dock.legend.buttons) == session.map.population.table["stage"].nunique(dropna=False)


def test_the_axes_can_be_chosen(dock, session, cells, model):
    choose(dock.controls.x, 2)
    assert session.map.view.axes == (2, 1)
    axes = projection.axes_in("z_ref", model.latent, cells.z_ref)
    expected = projection.on_axes("z_ref", axes, (2, 1), np.arange(len(cells)), cells.z_ref)
    np.testing.assert_allclose(dock.scatter.points, expected.points, atol=1e-5)
    assert dock.controls.x.currentText().startswith("PC 3")


def test_a_structures_space_shows_its_cells_only(dock, session, cells):
    assert [dock.controls.space.itemData(i) for i in range(dock.controls.space.count())] == [
        "z_ref",
        *sorted(MODEL.structures),
    ]
    choose(dock.controls.space, "tubes")
    tubes = np.flatnonzero(cells.table["structure"] == "tubes")
    np.testing.assert_array_equal(session.map.projection.cells, tubes)
    assert len(dock.scatter.points) == len(tubes)
    session.scene.go_to(Position(cells.z_ref[0], {"tubes": np.array([1, 0, 0], np.float32)}))
    x, y = session.map.projection.place(np.array([1, 0, 0], np.float32))
    here = dock.scatter.marks[-1]
    assert (here.kind, here.x, here.y) == ("cross", pytest.approx(x), pytest.approx(y))


def test_numbers_have_a_bar_instead(dock, session):
    choose(dock.controls.colour, "height")
    assert dock.legend.buttons == []
    assert len(np.unique(dock.scatter.colours, axis=0)) > 5


def test_the_position_is_marked_while_it_is_dragged_and_points_are_not_drawn_again(dock, session, cells):
    session.scene.set_out(Position(cells.z_ref[3], name="mine"))
    drawn = dock.scatter.spots.data
    assert len(drawn) == len(cells)
    for step in (0.1, 0.2, 0.3):
        z = cells.z_ref[3] + np.float32(step)
        session.scene.go_to(Position(z), remember=False)
        x, y = session.map.projection.place(z)
        ring, here = dock.scatter.marks[-2:]
        assert (here.kind, here.x, here.y) == ("cross", pytest.approx(float(x)), pytest.approx(float(y)))
        start = session.map.projection.place(cells.z_ref[3])
        assert (ring.kind, ring.x, ring.y) == ("ring", pytest.approx(start[0]), pytest.approx(start[1]))
        assert "mine" in ring.text
    assert dock.scatter.spots.data is drawn


def test_a_position_far_outside_stays_in_sight_at_the_rim(dock, session, cells):
    session.scene.go_to(Position(cells.z_ref[0] + 1000))
    here = dock.scatter.marks[-1]
    frame = dock.scatter.plane.frame
    x, y = to_pixels(dock.scatter.plane, dock.scatter.position_of(here))
    assert frame.left() < x < frame.right()
    assert frame.top() < y < frame.bottom()


def test_panning_zooming_and_keys(dock, session, qtbot):
    scatter, plane = dock.scatter, dock.scatter.plane
    before, origin = plane.part, to_pixels(plane, (0, 0))
    drag(qtbot, dock, [QPoint(100, 100), QPoint(120, 110), QPoint(140, 115)])
    np.testing.assert_allclose(to_pixels(plane, (0, 0)) - origin, (40, 15), atol=1e-6)
    np.testing.assert_allclose(np.diff(plane.part[::2]), np.diff(before[::2]))
    assert session.map.view.selection == ()
    qtbot.keyClick(scatter, Qt.Key.Key_Plus)
    np.testing.assert_allclose(np.diff(plane.part[::2]), np.diff(before[::2]) / 1.25)
    panned = to_pixels(plane, (0, 0))
    qtbot.keyClick(scatter, Qt.Key.Key_Left)
    np.testing.assert_allclose(to_pixels(plane, (0, 0)) - panned, (40, 0), atol=1e-6)
    qtbot.keyClick(scatter, Qt.Key.Key_Home)
    assert_all_in_view(scatter)


def assert_all_in_view(scatter):
    """All points and marks are in view, and they fill it."""
    everything = np.concatenate([scatter.points, [(m.x, m.y) for m in scatter.marks]])
    low, high = everything.min(0), everything.max(0)
    margin = 0.06 * (high - low)
    np.testing.assert_allclose(scatter.plane.part, (*(low - margin), *(high + margin)), rtol=1e-4)


def test_umap_that_is_not_installed_is_said_and_the_axes_stay(dock, session, monkeypatch, notified):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    before = session.map.projection
    choose(dock.controls.layout_kind, "UMAP")
    assert "pip install 'napari-integrated-cell[umap]'" in notified[-1][1]
    assert session.map.view.layout == "principal axes"
    assert dock.controls.layout_kind.currentData() == "principal axes"
    np.testing.assert_allclose(session.map.projection.points, before.points)


def test_a_umap_lays_the_cells_out_once(dock, session, cells, monkeypatch):
    fitted = []

    class Umap:
        def __init__(self, **_):
            pass

        def fit_transform(self, z):
            fitted.append(len(z))
            return z[:, :2] * 3

    module = types.ModuleType("umap")
    module.UMAP = Umap
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(projection, "find_spec", lambda name: object())
    choose(dock.controls.layout_kind, "UMAP")
    np.testing.assert_allclose(dock.scatter.points, cells.z_ref[:, :2] * 3, rtol=1e-5)
    assert not dock.controls.x.isEnabled()
    session.scene.go_to(Position(cells.z_ref[6]))
    here = dock.scatter.marks[-1]
    np.testing.assert_allclose((here.x, here.y), cells.z_ref[6, :2] * 3, atol=0.05)
    choose(dock.controls.layout_kind, "principal axes")
    choose(dock.controls.layout_kind, "UMAP")
    assert fitted == [len(cells)], "a second time it is kept"


def test_what_is_looked_at_outlives_the_dock(dock, session, viewer, qtbot):
    choose(dock.controls.colour, "structure")
    choose(dock.controls.y, 3)
    map_actions.select(session, [1, 4])
    dock._go(lambda: None)
    dock.scatter.zoom(4)
    qtbot.keyClick(dock.scatter, Qt.Key.Key_Left)
    seen = dock.scatter.plane.part
    viewer.window.remove_dock_widget(dock)
    assert scene_of(viewer, session)._holders == 0
    session.scene.go_to(Position(np.zeros(MODEL.n_ref, np.float32)))  # a closed dock ignores events
    again = MapWidget(viewer)
    viewer.window.add_dock_widget(again, name="Cell map", area="right")
    assert again.controls.colour.currentData() == "structure"
    assert again.controls.y.currentIndex() == 3
    assert again.cells.title() == "2 selected cells"
    np.testing.assert_allclose(again.scatter.points, session.map.projection.points)
    assert again.scatter.plane.part == pytest.approx(seen)
    choose(again.controls.y, 2)  # another plane: all of it
    assert_all_in_view(again.scatter)


def test_it_fits_beside_a_canvas_in_both_themes(dock, viewer):
    assert dock.minimumSizeHint().width() <= 360
    for theme in ("light", "dark"):
        viewer.theme = theme
        QApplication.processEvents()
        grab = dock.scatter.grab().toImage()
        corner = grab.pixelColor(3, grab.height() // 2)
        assert (corner.lightness() > 128) == (theme == "light")


def test_every_control_is_named_and_explained(dock):
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit

    for kind in (QComboBox, QLineEdit, QAbstractButton):
        for widget in dock.findChildren(kind):
            if (
                not widget.isVisibleTo(dock)
                or widget.objectName().startswith("qt_")
                or widget.parent() is dock.cells.shape
            ):
                continue
            assert widget.toolTip(), widget
            assert widget.accessibleName() or getattr(widget, "text", str)(), widget
            assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus, widget
