"""Plane of a scatter plot: which part of it is visible, and the lasso that is drawn in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QPolygonF
from qtpy.QtWidgets import QGraphicsPolygonItem

from napari_integrated_cell.arrays import Doubles, Reals

_NEAR = 9.0  # pixels between the cursor and a point that it still hits
_MARGIN = 0.06  # of the points' range, on every side


class Plane(pg.ViewBox):
    """View of a plane. A drag pans it, or draws a lasso if ``lasso`` is on or Shift is held. The wheel zooms.

    Attributes
    ----------
    hovered : Signal(object)
        Position of the cursor in pixels of the scene; None when the cursor leaves.
    lassoed : Signal(object)
        Corners (m, 2) of a finished lasso, in the plane.
    lasso : bool
        Whether a drag draws a lasso without Shift.
    outline : QGraphicsPolygonItem
        The lasso that is being drawn.
    """

    hovered = Signal(object)
    lassoed = Signal(object)

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.lasso = False
        self.outline = QGraphicsPolygonItem()
        self.outline.setZValue(100)
        self.addItem(self.outline, ignoreBounds=True)
        self._drawing = self._cancelled = False

    @property
    def part(self) -> tuple[float, float, float, float]:
        """The visible part of the plane: left, bottom, right, top."""
        (left, right), (bottom, top) = self.viewRange()
        return left, bottom, right, top

    @property
    def frame(self) -> QRectF:
        """Where the plane is in the scene, whose units are pixels."""
        return self.mapRectToScene(self.rect())

    @property
    def pixel(self) -> Doubles:
        """Width and height of a pixel, in the plane."""
        left, bottom, right, top = self.part
        frame = self.frame
        return np.array([(right - left) / max(frame.width(), 1), (top - bottom) / max(frame.height(), 1)])

    def show_part(self, part: tuple[float, float, float, float]) -> None:
        """Show another part of the plane: left, bottom, right, top."""
        left, bottom, right, top = part
        self.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)

    def fit(self, points: Reals) -> None:
        """Show all of the points (N, 2), with a margin."""
        low, high = (points.min(0), points.max(0)) if len(points) else np.array([(-3.0, -3.0), (3.0, 3.0)])
        middle, reach = (low + high) / 2, np.maximum(high - low, 1e-6 + 1e-6 * np.abs(high)) * (0.5 + _MARGIN)
        self.show_part((*(middle - reach).tolist(), *(middle + reach).tolist()))

    def nearest(self, points: Reals, at: QPointF) -> int:
        """Return which of the points (N, 2) is nearest to a position in the scene, or -1 if none is near."""
        if not len(points):
            return -1
        cursor, (across, up) = self.mapSceneToView(at), self.pixel
        squared = ((points[:, 0] - cursor.x()) / across) ** 2 + ((points[:, 1] - cursor.y()) / up) ** 2
        found = int(squared.argmin())
        return found if squared[found] <= _NEAR**2 else -1

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Pan, or draw the lasso."""
        if event.isStart():
            shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            left = event.button() == Qt.MouseButton.LeftButton
            self._drawing, self._cancelled = left and axis is None and bool(self.lasso or shift), False
            self.outline.setPolygon(QPolygonF([self.mapToView(event.buttonDownPos())]))
        if not self._drawing:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        if self._cancelled:
            return
        drawn = [*self.outline.polygon().toList(), self.mapToView(event.pos())]
        self.outline.setPolygon(QPolygonF(drawn))
        if event.isFinish():
            self.cancel_lasso()
            self.lassoed.emit(np.array([(corner.x(), corner.y()) for corner in drawn]))

    def cancel_lasso(self) -> None:
        """Remove the lasso that is being drawn. The rest of the drag does nothing."""
        self.outline.setPolygon(QPolygonF())
        self._cancelled = True

    def hoverEvent(self, event: Any) -> None:
        """Report the position of the cursor."""
        self.hovered.emit(None if event.isExit() else event.scenePos())
