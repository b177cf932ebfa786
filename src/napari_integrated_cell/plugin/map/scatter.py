"""A scatter plot to pan, zoom, click and draw a lasso in, with marks that move over it. Knows no cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_integrated_cell.plugin.map.scatter_drawing import (
    View,
    diameter_for,
    smoothing_for,
    stamped,
    ticks,
)

_NEAR = 9.0  # pixels from a point that still mean it
_SLIP = 4.0  # pixels between press and release that still make a click
_STEP = 40.0  # pixels that an arrow key pans
_ZOOM = 1.25
_FAINT = 0.82  # how far unselected points fade into the background


@dataclass(frozen=True)
class Mark:
    """Something drawn over the points.

    Attributes
    ----------
    x, y : float
        Where in the plane.
    kind : {"diamond", "ring", "cross"}
    colour : tuple of int
        RGB.
    text : str
        What it is, for whoever hovers over it.
    held : bool
        Drawn at the rim where it lies outside the view, so that it never gets lost.
    """

    x: float
    y: float
    kind: Literal["diamond", "ring", "cross"]
    colour: tuple[int, int, int]
    text: str
    held: bool = False


class Scatter(QWidget):
    """Draws points and marks.

    Attributes
    ----------
    point_hovered, point_clicked : Signal(int)
        The index of a point; hovering over none gives -1.
    mark_hovered, mark_clicked : Signal(int)
        The index of a mark. Diamonds lie over the points; rings and crosses leave a click to the point under them.
    lassoed : Signal(object)
        The corners (m, 2) of what was drawn, in the plane.
    """

    point_hovered = Signal(int)
    point_clicked = Signal(int)
    mark_hovered = Signal(int)
    mark_clicked = Signal(int)
    lassoed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = View()
        self.lasso = False
        self._points: NDArray[np.float32] = np.empty((0, 2), np.float32)
        self._rgb: NDArray[np.uint8] = np.empty((0, 3), np.uint8)
        self._selected: NDArray[np.bool_] | None = None
        self._passes: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]] | None = None
        self._marks: tuple[Mark, ...] = ()
        self._titles = ("", "")
        self._message = ""
        self._ground, self._ink, self._glow = QColor("#262930"), QColor("#f0f1f2"), QColor("#3fb1ff")
        self._picture: QImage | None = None
        self._pressed: QPointF | None = None
        self._at: QPointF | None = None
        self._drawn: list[QPointF] = []
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(180, 200)

    # ---------------------------------------------------------------- what is drawn

    def sizeHint(self) -> QSize:
        """As a dock has room for."""
        return QSize(330, 300)

    def show_points(self, points: NDArray[np.float32], titles: tuple[str, str]) -> None:
        """Draw other points (N, 2), all of them in view; colours are to follow."""
        self._points, self._titles = points, titles
        self._rgb, self._selected = np.full((len(points), 3), 128, np.uint8), None
        self._renew()
        self.fit()

    def show_colours(self, rgb: NDArray[np.uint8], selected: NDArray[np.bool_] | None) -> None:
        """Draw the points (N,) in colours (N, 3); where some are selected, the others fade."""
        self._rgb, self._selected = rgb, selected
        self._renew()

    def show_marks(self, marks: Sequence[Mark]) -> None:
        """Draw other marks; the points stay as they are drawn already."""
        self._marks = tuple(marks)
        self.update()

    def say(self, message: str) -> None:
        """Write a sentence where points would be."""
        self._message = message
        self.update()

    def paint_on(self, ground: str, ink: str, glow: str) -> None:
        """Use other colours for the ground, for what is written and for the lasso."""
        self._ground, self._ink, self._glow = QColor(ground), QColor(ink), QColor(glow)
        self._renew()

    def fit(self) -> None:
        """Bring all points and marks into view."""
        marks = np.array([(m.x, m.y) for m in self._marks], np.float32).reshape(-1, 2)
        self._look(self.view.around(np.concatenate([self._points, marks])))

    def see(self, part: tuple[float, float, float, float]) -> None:
        """Bring a part of the plane into view: left, bottom, right, top."""
        self._look(self.view.onto(part))

    def zoom(self, factor: float) -> None:
        """Look closer, or from further away, at the middle."""
        self._look(self.view.zoomed(factor, self.width() / 2, self.height() / 2))

    def mark_at(self, at: QPointF, kind: str) -> int:
        """The mark of a kind under a place in the widget, or -1."""
        found, nearest = -1, _NEAR
        for i, mark in enumerate(self._marks):
            step = self._place(mark) - at
            if mark.kind == kind and hypot(step.x(), step.y()) <= nearest:
                found, nearest = i, hypot(step.x(), step.y())
        return found

    def _renew(self) -> None:
        self._passes = self._picture = None
        self.update()

    def _look(self, view: View) -> None:
        self.view, self._picture = view, None
        self.update()

    def _ordered(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]]:
        """The points in the order they are drawn: no class always on top, but what is selected."""
        rgb = self._rgb.astype(np.uint32)
        order = np.random.default_rng(0).permutation(len(self._points))
        groups = [order]
        if self._selected is not None and self._selected.any():
            ground = np.array([self._ground.red(), self._ground.green(), self._ground.blue()])
            faded = rgb[~self._selected] * (1 - _FAINT) + ground * _FAINT
            rgb[~self._selected] = faded.astype(np.uint32)
            groups = [order[~self._selected[order]], order[self._selected[order]]]
        argb = 0xFF000000 | (rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2]
        x, y = np.ascontiguousarray(self._points.T)
        return [(x[i], y[i], argb[i].astype(np.uint32)) for i in groups]

    def _render(self) -> QImage:
        """The points alone; kept until they or the view change."""
        if self._passes is None:
            self._passes = self._ordered()
        finer = self.devicePixelRatioF() * smoothing_for(len(self._points))
        view = self.view.resized(round(self.width() * finer), round(self.height() * finer))
        size = diameter_for(len(self._points)) * finer
        pictures = [stamped(view, *points, size * (1 + 0.3 * i)) for i, points in enumerate(self._passes)]
        whole = pictures[0]
        for above in pictures[1:]:
            whole = np.where(above, above, whole)
        whole = np.ascontiguousarray(whole)
        rows, columns = whole.shape
        kind = QImage.Format.Format_ARGB32_Premultiplied
        return QImage(whole.tobytes(), columns, rows, 4 * columns, kind).copy()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Points, axes, marks, and the lasso that is being drawn."""
        if self._picture is None:
            self._picture = self._render()
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), self._ground)
        self._draw_axes(painter)
        painter.drawImage(QRectF(self.rect()), self._picture, QRectF(self._picture.rect()))
        self._draw_titles(painter)
        for mark in self._marks:
            _draw_mark(painter, mark, self._place(mark), self._ground, self._ink)
        if self._drawn:
            painter.setPen(QPen(self._glow, 1.5))
            fill = QColor(self._glow)
            fill.setAlpha(50)
            painter.setBrush(fill)
            painter.drawPolygon(QPolygonF(self._drawn))
        if self._message:
            painter.setPen(self._ink)
            box = QRectF(self.rect()).adjusted(16, 30, -16, -30)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self._message)
        if self.hasFocus():
            painter.setPen(QPen(self._glow, 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def _draw_axes(self, painter: QPainter) -> None:
        faint, ink = QColor(self._ink), QColor(self._ink)
        faint.setAlpha(26)
        ink.setAlpha(130)
        font = painter.font()
        font.setPointSizeF(max(6.5, font.pointSizeF() * 0.75))
        painter.setFont(font)
        (left, top), (right, bottom) = self.view.to_plane([(0, 0), (self.width(), self.height())])
        for value in ticks(left, right):
            column = float(self.view.to_pixels((value, 0.0))[0])
            painter.setPen(faint)
            painter.drawLine(QPointF(column, 0), QPointF(column, self.height()))
            painter.setPen(ink)
            painter.drawText(QPointF(column + 2, self.height() - 3), f"{value:g}")
        for value in ticks(bottom, top):
            row = float(self.view.to_pixels((0.0, value))[1])
            painter.setPen(faint)
            painter.drawLine(QPointF(0, row), QPointF(self.width(), row))
            painter.setPen(ink)
            painter.drawText(QPointF(2, row - 2), f"{value:g}")

    def _draw_titles(self, painter: QPainter) -> None:
        painter.setPen(self._ink)
        across, up = (f"{self._titles[0]} →", f"↑ {self._titles[1]}")
        if not self._titles[0]:
            return
        width = QFontMetricsF(painter.font()).horizontalAdvance(across)
        painter.drawText(QPointF(self.width() - width - 4, self.height() - 16), across)
        painter.drawText(QPointF(4, 12), up)

    def _place(self, mark: Mark) -> QPointF:
        column, row = (float(v) for v in self.view.to_pixels((mark.x, mark.y)))
        if mark.held:
            column, row = min(max(column, 8), self.width() - 8), min(max(row, 8), self.height() - 8)
        return QPointF(column, row)

    # ---------------------------------------------------------------- what the user does

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep what is seen."""
        self._look(self.view.resized(self.width(), self.height()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click, a pan or a lasso."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = self._at = event.position()
            self._drawn = [event.position()] if self._lassoing(event) else []

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pan, draw the lasso, or tell what lies under the cursor."""
        at = event.position()
        if self._pressed is None:
            self._hover(at)
        elif self._drawn:
            if (at - self._drawn[-1]).manhattanLength() >= 2:
                self._drawn.append(at)
                self.update()
        elif self._at is not None:
            moved, self._at = at - self._at, at
            self._look(self.view.panned(moved.x(), moved.y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End of a click, a pan or a lasso."""
        if event.button() != Qt.MouseButton.LeftButton or self._pressed is None:
            return
        at, drawn = event.position(), self._drawn
        slipped = (at - self._pressed).manhattanLength() > _SLIP
        self._pressed, self._drawn = None, []
        if len(drawn) > 2:
            self.lassoed.emit(self.view.to_plane([(p.x(), p.y()) for p in drawn]))
        elif not slipped:
            self._click(at)
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the cursor."""
        at = event.position()
        self._look(self.view.zoomed(_ZOOM ** (event.angleDelta().y() / 120), at.x(), at.y()))
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """A second click in a row is a click: it must not change the view under the cursor."""
        self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows pan, + and - zoom, Home brings everything into view, Escape gives up a lasso."""
        key = event.key()
        pans = {
            Qt.Key.Key_Left: (_STEP, 0.0),
            Qt.Key.Key_Right: (-_STEP, 0.0),
            Qt.Key.Key_Up: (0.0, _STEP),
            Qt.Key.Key_Down: (0.0, -_STEP),
        }
        if key in pans:
            self._look(self.view.panned(*pans[Qt.Key(key)]))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(_ZOOM)
        elif key == Qt.Key.Key_Minus:
            self.zoom(1 / _ZOOM)
        elif key == Qt.Key.Key_Home:
            self.fit()
        elif key == Qt.Key.Key_Escape and self._drawn:
            self._pressed, self._drawn = None, []
            self.update()
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing lies under the cursor any more."""
        self.point_hovered.emit(-1)

    def _lassoing(self, event: QMouseEvent) -> bool:
        return self.lasso or bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)

    def _hover(self, at: QPointF) -> None:
        diamond, point = self.mark_at(at, "diamond"), self._point_at(at)
        others = [mark for kind in ("cross", "ring") if (mark := self.mark_at(at, kind)) >= 0]
        if diamond >= 0:
            self.mark_hovered.emit(diamond)
        elif point < 0 and others:
            self.mark_hovered.emit(others[0])
        else:
            self.point_hovered.emit(point)

    def _click(self, at: QPointF) -> None:
        diamond, point = self.mark_at(at, "diamond"), self._point_at(at)
        if diamond >= 0:
            self.mark_clicked.emit(diamond)
        elif point >= 0:
            self.point_clicked.emit(point)

    def _point_at(self, at: QPointF) -> int:
        return self.view.nearest(self._points, at.x(), at.y(), _NEAR)


def _draw_mark(painter: QPainter, mark: Mark, at: QPointF, ground: QColor, ink: QColor) -> None:
    """A mark in its colour with a rim of the ground's, so that it stands out from points of any colour."""
    colour = QColor(*mark.colour)
    if mark.kind == "diamond":
        corners = [QPointF(0, -7), QPointF(7, 0), QPointF(0, 7), QPointF(-7, 0)]
        outline = QPolygonF([at + corner for corner in corners])
        painter.setBrush(colour)
        for pen in (QPen(ground, 4.5), QPen(ink, 1.5)):
            painter.setPen(pen)
            painter.drawPolygon(outline)
        return
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(ground, 5), QPen(colour, 2.2)):
        painter.setPen(pen)
        if mark.kind == "ring":
            painter.drawEllipse(at, 7, 7)
        else:
            for step in (QPointF(1, 0), QPointF(0, 1)):
                painter.drawLine(at - step * 10, at - step * 3)
                painter.drawLine(at + step * 3, at + step * 10)
