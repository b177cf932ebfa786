"""Steps that tests of the dock "Cell map" share."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_integrated_cell.plugin.map.dock import MapWidget
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.tasks import Task, Tasks


def opened(viewer, source, model, *, wait=True):
    """Return the session and the dock of a model. Tasks are done at once."""
    session = session_of(viewer)
    session.tasks = Tasks(Task.__call__)
    session.open_model = lambda *_: model
    session.choose_model(str(source))
    dock = MapWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Cell map", area="right")
    dock.resize(340, 740)
    dock.grab()  # a window that is not shown lays its widgets out when they are asked for their picture
    assert dock.scatter.plane.width() > 200
    return session, dock


def to_pixels(plane, points):
    """Return where points (N, 2), or one (2,), of a plane are in the scene: x to the right and y downwards."""
    steps = (np.asarray(points, float) - plane.part[:2]) / plane.pixel
    return np.array([plane.frame.left(), plane.frame.bottom()]) + steps * (1, -1)


def at(dock, xy):
    """Return where a point of the plane is in the scatter's viewport."""
    column, row = to_pixels(dock.scatter.plane, xy)
    return QPoint(round(float(column)), round(float(row)))


def apart(dock, session):
    """Return a cell that no other cell and no mark hides."""
    points = to_pixels(dock.scatter.plane, session.map.projection.points)
    marks = to_pixels(dock.scatter.plane, [(m.x, m.y) for m in dock.scatter.marks])
    everything = np.concatenate([points, marks])
    away = np.hypot(*(points[:, None] - everything[None]).transpose(2, 0, 1))
    away[np.arange(len(points)), np.arange(len(points))] = np.inf
    return int(away.min(1).argmax())


def click(qtbot, dock, xy):
    qtbot.mouseClick(dock.scatter.viewport(), Qt.MouseButton.LeftButton, pos=at(dock, xy))


def choose(combo, data):
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def move(dock, place, button=Qt.MouseButton.NoButton, modifier=Qt.KeyboardModifier.NoModifier):
    """Move the mouse to a place in the scatter's viewport."""
    where = QPointF(place)
    event = QMouseEvent(QEvent.Type.MouseMove, where, where, Qt.MouseButton.NoButton, button, modifier)
    QApplication.sendEvent(dock.scatter.viewport(), event)


def drag(qtbot, dock, places, modifier=Qt.KeyboardModifier.NoModifier, *, release=True):
    """Drag the mouse from place to place with the left button."""
    left = Qt.MouseButton.LeftButton
    qtbot.mousePress(dock.scatter.viewport(), left, modifier, pos=places[0])
    for place in places[1:]:
        move(dock, place, left, modifier)
    if release:
        qtbot.mouseRelease(dock.scatter.viewport(), left, modifier, pos=places[-1])
