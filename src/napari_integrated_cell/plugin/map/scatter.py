"""Scatter plot with pan, zoom, hover, click, a lasso, and marks over the points. It does not know about cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QKeyEvent, QPainterPath
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_integrated_cell.arrays import Doubles, Floats, Mask
from napari_integrated_cell.plugin.map.density import density_image
from napari_integrated_cell.plugin.map.plane import Plane
from napari_integrated_cell.plugin.widgets.still_plot import colour_axes

MOST_POINTS = 50_000
"""More points than this are drawn as a density image."""

_STEP = 40.0  # pixels that an arrow key pans
_ZOOM = 1.25
_FADE = 0.82  # share of the background's colour in unselected points
_BIN = 2  # screen pixels across a pixel of the density image
_EDGE = 8  # pixels between a mark that is kept in view and the edge
_PANS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, 1), Qt.Key.Key_Down: (0, -1)}
_ZOOMS = {Qt.Key.Key_Plus: _ZOOM, Qt.Key.Key_Equal: _ZOOM, Qt.Key.Key_Minus: 1 / _ZOOM}


def _cross() -> QPainterPath:
    path = QPainterPath()
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        path.moveTo(0.15 * x, 0.15 * y)
        path.lineTo(0.5 * x, 0.5 * y)
    return path


_SYMBOLS = {"diamond": ("d", 14), "ring": ("o", 14), "cross": (_cross(), 20)}  # shape, and size in pixels


@dataclass(frozen=True)
class Mark:
    """A symbol over the points.

    Attributes
    ----------
    x, y : float
        Position in the plane.
    kind : {"diamond", "ring", "cross"}
    text : str
        Description, for hovering.
    colour : tuple of int, or None
        RGB; None for the colour of the theme's text.
    kept_in_view : bool
        Whether the mark is drawn at the edge if its position is outside the view.
    """

    x: float
    y: float
    kind: Literal["diamond", "ring", "cross"]
    text: str
    colour: tuple[int, int, int] | None = None
    kept_in_view: bool = False


class Scatter(pg.PlotWidget):
    """Scatter plot of points and marks.

    Up to :data:`MOST_POINTS` points are drawn one by one, in random order, so that no class covers the others.
    More points are drawn as a density image, under the selected ones.

    Attributes
    ----------
    point_hovered, point_clicked : Signal(int)
        Index of a point; -1 if the cursor is over none.
    mark_hovered, mark_clicked : Signal(int)
        Index of a mark. Diamonds lie over the points. A click on a ring or a cross hits the point under it.
    lassoed : Signal(object)
        Corners (m, 2) of the drawn lasso, in the plane.
    plane : Plane
        The visible part of the plane, and the lasso.
    points : array of float32, (N, 2)
    colours : array of uint8, (N, 3)
    selected : array of bool, (N,), or None
    """

    point_hovered = Signal(int)
    point_clicked = Signal(int)
    mark_hovered = Signal(int)
    mark_clicked = Signal(int)
    lassoed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        self.plane = Plane()
        super().__init__(parent, viewBox=self.plane)
        self.points: Floats = np.empty((0, 2), np.float32)
        self.colours: NDArray[np.uint8] = np.empty((0, 3), np.uint8)
        self.selected: Mask | None = None
        self.marks: tuple[Mark, ...] = ()
        self.density = pg.ImageItem(axisOrder="row-major")
        self.spots = pg.ScatterPlotItem(pen=None)
        self._mark_spots = pg.ScatterPlotItem()
        for z, item in enumerate((self.density, self.spots, self._mark_spots)):
            item.setZValue(z)
            item.setEnabled(False)  # otherwise a click makes a Python object of every point
            self.plane.addItem(item, ignoreBounds=True)
        self._dense: list[tuple[Floats, NDArray[np.uint8]]] = []  # points and colours in the image
        self._binned: tuple[QRectF, Doubles] | None = None  # frame and pixel of the image
        # pyqtgraph draws a symbol once for each pen or brush object, so these are kept.
        self._brushes: dict[int, QBrush] = {}
        self._styles: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        self.message = QLabel(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self.message.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        QVBoxLayout(self.viewport()).addWidget(self.message)
        self.hideButtons()
        self.showGrid(x=True, y=True, alpha=0.3)
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
            self.getAxis(side).setStyle(tickLength=0, maxTickLevel=0)
            self.getAxis(side).setZValue(-1)  # the grid lies under the points
        self.getAxis("left").setWidth(40)
        self.getPlotItem().setContentsMargins(0, 4, 4, 6)  # pyqtgraph places the lower title a little too low
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(180, 200)
        self.use_theme("dark")
        self.fit()
        self.scene().minDragTime = inf  # a slow click is a click
        self.scene().sigMouseClicked.connect(self._click)
        self.plane.hovered.connect(self._hover)
        self.plane.lassoed.connect(self.lassoed)
        self.plane.sigRangeChanged.connect(self._view_changed)
        self.plane.sigResized.connect(self._view_changed)

    # ---------------------------------------------------------------- contents

    def sizeHint(self) -> QSize:
        """Return a size that suits a dock."""
        return QSize(330, 300)

    def show_points(self, points: Floats, titles: tuple[str, str]) -> None:
        """Replace the points (N, 2) and bring them into view. :meth:`show_colours` draws them."""
        self.points, self.selected = points, None
        self.colours = np.full((len(points), 3), 128, np.uint8)
        for side, title in zip(("bottom", "left"), titles, strict=True):
            self.setLabel(side, title)
        self.spots.clear()
        self._dense = []
        self.fit()

    def show_colours(self, colours: NDArray[np.uint8], selected: Mask | None) -> None:
        """Draw the points in colours (N, 3). If some are selected (N,), the others fade."""
        self.colours, self.selected = colours, selected
        self._draw_points()

    def show_marks(self, marks: Sequence[Mark]) -> None:
        """Draw other marks. The points stay as they are."""
        self.marks = tuple(marks)
        self._draw_marks()

    def show_message(self, message: str) -> None:
        """Show a sentence instead of points."""
        self.message.setText(message)

    def use_theme(self, name: str) -> None:
        """Draw in the colours of a theme of napari."""
        theme = get_theme(name)
        self._background_colour, self._text_colour = (
            QColor(theme.background.as_hex()),
            QColor(theme.text.as_hex()),
        )
        highlight = QColor(theme.current.as_hex())
        colour_axes(self, (self.getPlotItem(),), name)
        self.message.setStyleSheet(f"color: {self._text_colour.name()}; background: transparent")
        self.setStyleSheet(  # a frame while it has the keyboard's focus
            "QGraphicsView { border: 1px solid transparent }"
            f"QGraphicsView:focus {{ border-color: {highlight.name()} }}"
        )
        self.plane.outline.setPen(pg.mkPen(highlight, width=1.5))
        highlight.setAlpha(50)
        self.plane.outline.setBrush(pg.mkBrush(highlight))
        self._styles.clear()
        self._draw_points()
        self._draw_marks()

    def fit(self) -> None:
        """Bring all points and marks into view."""
        self.plane.fit(np.concatenate([self.points, np.reshape([(m.x, m.y) for m in self.marks], (-1, 2))]))

    def zoom(self, factor: float) -> None:
        """Enlarge the middle of the view."""
        self.plane.scaleBy((1 / factor, 1 / factor))

    def position_of(self, mark: Mark) -> tuple[float, float]:
        """Return where in the plane a mark is drawn."""
        if not mark.kept_in_view:
            return mark.x, mark.y
        (left, bottom, right, top), (across, up) = self.plane.part, _EDGE * self.plane.pixel
        return min(max(mark.x, left + across), right - across), min(max(mark.y, bottom + up), top - up)

    # ---------------------------------------------------------------- drawing

    def _draw_points(self) -> None:
        n = len(self.points)
        colours, order = self.colours, np.random.default_rng(0).permutation(n)
        below, above = order, order[:0]
        if self.selected is not None and self.selected.any():
            background = self._background_colour
            faded = colours * (1 - _FADE)
            faded += _FADE * np.array([background.red(), background.green(), background.blue()])
            colours = np.where(self.selected[:, None], colours, faded.astype(np.uint8))
            below, above = order[~self.selected[order]], order[self.selected[order]]
        self._dense, self._binned = [], None
        if n > MOST_POINTS:
            self._dense, below = [(self.points[below], colours[below])], below[:0]
        if len(above) > MOST_POINTS:
            self._dense, above = [*self._dense, (self.points[above], colours[above])], above[:0]
        which = np.concatenate([below, above])
        codes = (colours[which] @ np.array([1 << 16, 1 << 8, 1])).tolist()
        for code in set(codes) - set(self._brushes):
            self._brushes[code] = QBrush(QColor(code))
        size = 6.0 if n <= 2_000 else 4.5 if n <= 20_000 else 3.0
        sizes = np.repeat([size, 1.3 * size], [len(below), len(above)])
        cache = self.spots.CacheMode
        # Many points are kept as a picture, so that a mark that moves over them does not draw them again.
        self.spots.setCacheMode(cache.DeviceCoordinateCache if len(which) > 10_000 else cache.NoCache)
        self.spots.setData(pos=self.points[which], size=sizes, brush=[self._brushes[code] for code in codes])
        self._draw_density()

    def _draw_density(self) -> None:
        """Draw the density image of the view and of half a view around it, so that panning only moves it."""
        self.density.setVisible(bool(self._dense))
        pixel = _BIN * self.plane.pixel
        frame, drawn_pixel = self._binned or (QRectF(), pixel)
        drawn = frame.contains(self.plane.viewRect()) and np.allclose(drawn_pixel, pixel, rtol=1e-6)
        if drawn or not self._dense:
            return
        left, bottom, right, top = self.plane.part
        view = np.array([right - left, top - bottom])
        # The grid starts at a multiple of the pixel: after panning, every pixel holds the same points as before.
        corner = np.floor(((left, bottom) - view / 2) / pixel) * pixel
        columns, rows = (int(n) + 1 for n in np.ceil(2 * view / pixel))
        image, *over = [density_image(p, rgb, corner, pixel, (rows, columns)) for p, rgb in self._dense]
        for selected in over:
            image = np.where(selected[..., 3:] > 0, selected, image)
        self.density.setImage(image, autoLevels=False)
        self._binned = QRectF(*corner, *(pixel * (columns, rows))), pixel
        self.density.setRect(self._binned[0])

    def _draw_marks(self) -> None:
        spots = [{**style, "pos": self.position_of(m)} for m in self.marks for style in self._styles_of(m)]
        self._mark_spots.setData(spots)

    def _styles_of(self, mark: Mark) -> list[dict[str, Any]]:
        """Return how a mark is drawn: a rim in the colour of the background, and the symbol over it."""
        key = (mark.kind, mark.colour)
        if key not in self._styles:
            (symbol, size), filled = _SYMBOLS[mark.kind], mark.kind == "diamond"
            colour = self._text_colour if mark.colour is None else QColor(*mark.colour)
            brush = pg.mkBrush(colour if filled else None)
            pens = (self._background_colour, 4.5), (self._text_colour, 1.5) if filled else (colour, 2.2)
            self._styles[key] = [
                {"symbol": symbol, "size": size, "pen": pg.mkPen(ink, width=width), "brush": brush}
                for ink, width in pens
            ]
        return self._styles[key]

    def _view_changed(self) -> None:
        self._draw_density()
        if any(mark.kept_in_view for mark in self.marks):
            self._draw_marks()

    # ---------------------------------------------------------------- user input

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Pan with the arrow keys, zoom with + and -, fit with Home, cancel a lasso with Escape."""
        key = Qt.Key(event.key())
        if key in _PANS:
            self.plane.translateBy((_STEP * self.plane.pixel * _PANS[key]).tolist())
        elif key in _ZOOMS:
            self.zoom(_ZOOMS[key])
        elif key == Qt.Key.Key_Home:
            self.fit()
        elif key == Qt.Key.Key_Escape and not self.plane.outline.polygon().isEmpty():
            self.plane.cancel_lasso()
        else:
            super().keyPressEvent(event)

    def _mark_at(self, at: QPointF, kind: str) -> int:
        """Return the index of the mark of a kind at a position in the scene, or -1."""
        marks = [i for i, mark in enumerate(self.marks) if mark.kind == kind]
        positions = [self.position_of(self.marks[i]) for i in marks]
        found = self.plane.nearest(np.reshape(positions, (-1, 2)), at)
        return marks[found] if found >= 0 else -1

    def _hover(self, at: QPointF | None) -> None:
        point = -1 if at is None else self.plane.nearest(self.points, at)
        mark = -1 if at is None else self._mark_at(at, "diamond")
        if at is not None and point < 0 and mark < 0:
            mark = max(self._mark_at(at, "ring"), self._mark_at(at, "cross"))
        if mark >= 0:
            self.mark_hovered.emit(mark)
        else:
            self.point_hovered.emit(point)

    def _click(self, event: Any) -> None:
        at = event.scenePos()
        if event.button() == Qt.MouseButton.LeftButton and self.plane.frame.contains(at):
            mark, point = self._mark_at(at, "diamond"), self.plane.nearest(self.points, at)
            if mark >= 0:
                self.mark_clicked.emit(mark)
            elif point >= 0:
                self.point_clicked.emit(point)
