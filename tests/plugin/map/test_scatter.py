"""The scatter plot: places and colours of points and marks, and the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import needs_display
from map_window import to_pixels
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_integrated_cell.plugin.map import scatter as scatter_module
from napari_integrated_cell.plugin.map.scatter import Mark, Scatter

pytestmark = [pytest.mark.gui, needs_display]

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture
def scatter(qtbot):
    scatter = Scatter()
    qtbot.addWidget(scatter)
    scatter.resize(320, 300)
    scatter.grab()
    return scatter


def pixels(scatter):
    """Return what the viewport shows, (height, width, 3)."""
    image = scatter.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def colour_at(scatter, xy, reach=0):
    """Return the mean colour of what is drawn at a point of the plane, and ``reach`` pixels around it."""
    column, row = np.floor(to_pixels(scatter.plane, xy)).astype(int)
    around = pixels(scatter)[row - reach : row + reach + 1, column - reach : column + reach + 1]
    return around.mean((0, 1))


def filled(scatter, points, colours, selected=None):
    scatter.show_points(np.array(points, np.float32), ("x", "y"))
    rgb = np.array(colours, np.uint8).reshape(-1, 3)
    scatter.show_colours(rgb, None if selected is None else np.array(selected))
    scatter.grab()
    return scatter


def many(monkeypatch, scatter, n, selected=None):
    """Show n red points around (0, 0) and one green point at (9, 9), as a density image."""
    monkeypatch.setattr(scatter_module, "MOST_POINTS", n // 2)
    points = np.concatenate([np.random.default_rng(0).normal(size=(n - 1, 2)), [(9, 9)]])
    return filled(scatter, points, [RED] * (n - 1) + [GREEN], selected)


def test_points_are_drawn_where_they_lie_in_their_colours(scatter):
    filled(scatter, [(0, 0), (4, 0), (0, 8)], [RED, GREEN, RED])
    np.testing.assert_array_equal(colour_at(scatter, (0, 0)), RED)
    np.testing.assert_array_equal(colour_at(scatter, (4, 0)), GREEN)
    np.testing.assert_array_equal(colour_at(scatter, (0, 8)), RED)
    place = to_pixels(scatter.plane, [(0, 0), (4, 0), (0, 8)])
    assert place[1, 0] > place[0, 0], "x to the right"
    assert place[2, 1] < place[0, 1], "y upwards"
    assert (colour_at(scatter, (3.2, 6.3)) < 70).all(), "the background, between two lines of the grid"


def test_all_points_and_marks_are_in_view_and_fill_it(scatter):
    filled(scatter, [(-2, 1), (5, 9), (0, 4)], [RED] * 3)
    scatter.show_marks([Mark(7, -3, "ring", "a ring")])
    scatter.fit()
    left, bottom, right, top = scatter.plane.part
    assert left < -2 < 7 < right
    assert bottom < -3 < 9 < top
    assert right - left < 9 * 1.2
    for points in (np.array([(3, 3)], np.float32), np.empty((0, 2), np.float32)):
        filled(scatter, points, [RED] * len(points))
        left, bottom, right, top = scatter.plane.part
        assert right > left
        assert top > bottom


def test_what_is_not_selected_fades_and_what_is_selected_lies_on_top(scatter):
    filled(scatter, [(0, 0), (0, 0), (4, 4)], [RED, GREEN, RED], [False, True, False])
    np.testing.assert_array_equal(colour_at(scatter, (0, 0)), GREEN)
    faded = colour_at(scatter, (4, 4))
    assert 0 < faded[0] - faded[1] < 80
    scatter.show_colours(scatter.colours, np.zeros(3, bool))
    np.testing.assert_array_equal(colour_at(scatter, (4, 4)), RED)


def test_classes_lie_over_one_another_in_random_order(scatter):
    n = 400
    filled(scatter, np.zeros((2 * n, 2)), [RED] * n + [GREEN] * n)
    codes = np.array([brush.color().red() for brush in scatter.spots.data["brush"]])
    assert 0.3 < (codes[:n] == 255).mean() < 0.7


def test_many_points_are_a_density_image_with_the_selected_ones_over_it(scatter, monkeypatch):
    n = 2_000
    many(monkeypatch, scatter, n)
    assert scatter.density.isVisible()
    assert len(scatter.spots.data) == 0
    middle, lonely = colour_at(scatter, (0, 0), reach=6), colour_at(scatter, (9, 9))
    assert middle[0] > middle[1] + 50
    assert lonely[1] > lonely[0] + 30, "a single cell is visible"
    assert (colour_at(scatter, (6, 3)) < 70).all()

    selected = np.arange(n) == n - 1
    many(monkeypatch, scatter, n, selected)
    assert len(scatter.spots.data) == 1
    np.testing.assert_array_equal(colour_at(scatter, (9, 9)), GREEN)
    faded = colour_at(scatter, (0, 0), reach=6)
    assert 0 < faded[0] - faded[1] < 40
    many(monkeypatch, scatter, n, ~selected)  # too many are selected to be drawn one by one
    assert len(scatter.spots.data) == 0
    np.testing.assert_allclose(colour_at(scatter, (0, 0), reach=6), middle, atol=10)
    filled(scatter, [(0, 0)], [RED])
    assert not scatter.density.isVisible()


def test_a_density_image_follows_the_view(scatter, monkeypatch):
    many(monkeypatch, scatter, 2_000)

    def assert_the_lonely_cell_is_a_small_spot():
        shown = pixels(scatter)
        rows, columns = np.nonzero(shown[..., 1] - shown[..., 0] > 100)
        assert 1 <= len(rows) <= 16
        column, row = to_pixels(scatter.plane, (9, 9))
        assert abs(columns.mean() - column) < 2.5
        assert abs(rows.mean() - row) < 2.5

    scatter.plane.show_part((8.03, 8.1, 10.1, 10.2))  # zoomed
    assert_the_lonely_cell_is_a_small_spot()
    for _ in range(9):
        scatter.plane.translateBy(x=0.1)
    assert_the_lonely_cell_is_a_small_spot()
    for _ in range(12):
        scatter.plane.translateBy(x=-0.1, y=-0.07)
    assert_the_lonely_cell_is_a_small_spot()
    scatter.resize(400, 260)
    assert_the_lonely_cell_is_a_small_spot()


def test_marks_are_drawn_over_points_and_one_is_kept_in_view(scatter):
    filled(scatter, [(0, 0), (4, 4)], [RED, RED])
    scatter.show_marks([Mark(0, 0, "diamond", "d", GREEN), Mark(50, 1, "cross", "c", kept_in_view=True)])
    np.testing.assert_array_equal(colour_at(scatter, (0, 0)), GREEN)
    x, y = scatter.position_of(scatter.marks[1])
    assert y == 1
    assert x < scatter.plane.part[2]
    scatter.plane.translateBy(x=48.0)
    assert scatter.position_of(scatter.marks[1]) == (50, 1)


def test_the_nearest_point_on_the_screen_is_the_one_that_is_hit(scatter):
    filled(scatter, [(0.5, 0.0), (0.0, 3.0)], [RED, RED])
    scatter.plane.show_part((-10, -100, 10, 100))  # a pixel is ten times as much upwards
    at = QPointF(*to_pixels(scatter.plane, (0.0, 0.0)))
    assert scatter.plane.nearest(scatter.points, at) == 1
    assert scatter.plane.nearest(scatter.points[:1] + 2, at) == -1
    assert scatter.plane.nearest(scatter.points[:0], at) == -1


def test_a_diamond_is_hit_before_a_point_and_a_point_before_a_ring(scatter, qtbot):
    filled(scatter, [(0, 0), (2, 2), (4, 4)], [RED] * 3)
    scatter.show_marks([Mark(0, 0, "diamond", "d"), Mark(2, 2, "ring", "r"), Mark(0, 4, "cross", "c")])
    clicked, hovered = [], []
    scatter.point_clicked.connect(lambda i: clicked.append(("point", i)))
    scatter.mark_clicked.connect(lambda i: clicked.append(("mark", i)))
    for xy in ((0, 0), (2, 2), (0, 4)):
        place = QPoint(*np.round(to_pixels(scatter.plane, xy)).astype(int).tolist())
        qtbot.mouseClick(scatter.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert clicked == [("mark", 0), ("point", 1)], "a cross is no target"
    assert not any(scatter.spots.data["item"]), "a click costs nothing for each point"
    scatter.point_hovered.connect(lambda i: hovered.append(("point", i)))
    scatter.mark_hovered.connect(lambda i: hovered.append(("mark", i)))
    for xy in ((0, 0), (2, 2), (0, 4)):
        scatter.plane.hovered.emit(QPointF(*to_pixels(scatter.plane, xy)))
    scatter.plane.hovered.emit(None)
    assert hovered == [("mark", 0), ("point", 1), ("mark", 2), ("point", -1)]


def test_a_second_click_in_a_row_is_a_click_and_the_other_buttons_are_none(scatter, qtbot):
    filled(scatter, [(0, 0), (4, 4)], [RED] * 2)
    before, clicked = scatter.plane.part, []
    scatter.point_clicked.connect(clicked.append)
    place = QPoint(*np.round(to_pixels(scatter.plane, (4, 4))).astype(int).tolist())
    qtbot.mouseClick(scatter.viewport(), Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseDClick(scatter.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseRelease(scatter.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert clicked == [1, 1]
    qtbot.mouseClick(scatter.viewport(), Qt.MouseButton.RightButton, pos=place)
    assert clicked == [1, 1]
    assert scatter.plane.part == before


def test_the_wheel_zooms_at_the_cursor(scatter, qtbot):
    filled(scatter, [(0, 0), (4, 4)], [RED] * 2)
    before = scatter.plane.part
    place = QPointF(*to_pixels(scatter.plane, (1, 3)))
    none, no_key = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    turn = QWheelEvent(
        place, place, QPoint(), QPoint(0, 120), none, no_key, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(scatter.viewport(), turn)
    assert scatter.plane.part[2] - scatter.plane.part[0] < 0.9 * (before[2] - before[0])
    np.testing.assert_allclose(to_pixels(scatter.plane, (1, 3)), (place.x(), place.y()), atol=1)
