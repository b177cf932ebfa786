"""A small plot of what changes along an axis."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_integrated_cell.latent.axis_effects import AxisEffect, Quantity

_HEIGHT = 44
_LEAST = 0.1  # share of a quantity: smaller changes do not fill the plot


class EffectPlot(QWidget):
    """One line for each quantity over the measured part of the axis, its change in percent, and the slider's value."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._effect: AxisEffect | None = None
        self._quantities: tuple[Quantity, ...] = ()
        self._value = 0.0
        self._text = QColor("#888888")

    @property
    def effect(self) -> AxisEffect | None:
        """The effect that is drawn."""
        return self._effect

    def set_colour(self, text: str) -> None:
        """Set the colour of text and lines."""
        self._text = QColor(text)
        self.update()

    def show_effect(self, effect: AxisEffect | None, quantities: tuple[Quantity, ...]) -> None:
        """Draw an effect; None if it is not measured yet."""
        if effect is self._effect and quantities == self._quantities:
            return
        self._effect, self._quantities = effect, quantities
        said = "" if effect is None else "\n".join(_sentence(q, effect) for q in quantities)
        self.setToolTip(said)
        self.setAccessibleDescription(said)
        self.update()

    def set_value(self, value: float) -> None:
        """Mark the slider's value."""
        if value != self._value:
            self._value = value
            if self._effect is not None:
                self.update()

    def sizeHint(self) -> QSize:
        """Return the preferred size."""
        return QSize(240, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the plot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(self._text)
        if self._effect is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "not measured yet")
            return
        width = self.width() / max(len(self._quantities), 1)
        for i, quantity in enumerate(self._quantities):
            self._draw(painter, QRectF(i * width + 2, 0, width - 4, self.height()), quantity, self._effect)

    def _draw(self, painter: QPainter, room: QRectF, quantity: Quantity, effect: AxisEffect) -> None:
        painter.setPen(self._text)
        words = QRectF(room.left(), room.top(), room.width(), 11)
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, quantity.short)
        words.moveBottom(room.bottom())
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, _percent(quantity, effect))
        values = effect.measured[quantity.name]
        known = np.isfinite(values)
        if known.sum() < 2:
            return
        middle, size = float(np.nanmean(values)), float(np.nanmax(np.abs(values)))
        reach = max(float(np.nanmax(np.abs(values - middle))), _LEAST * size, 1e-12)
        x = np.interp(effect.steps, (effect.steps[0], effect.steps[-1]), (room.left(), room.right()))
        centre, half = room.center().y(), room.height() / 2 - 13
        line = QPolygonF(
            [
                QPointF(float(a), centre - half * float(b - middle) / reach)
                for a, b in zip(x[known], values[known], strict=True)
            ]
        )
        faint = QColor(self._text)
        faint.setAlpha(70)
        here = float(np.interp(self._value, effect.steps, x))
        painter.setPen(QPen(faint, 1))
        painter.drawLine(QPointF(here, centre - half - 1), QPointF(here, centre + half + 1))
        painter.setPen(QPen(self._text, 1.6))
        painter.drawPolyline(line)


def _percent(quantity: Quantity, effect: AxisEffect) -> str:
    change = 100 * effect.change(quantity.name)
    return f"{change:+.0f} %" if np.isfinite(change) else "?"


def _sentence(quantity: Quantity, effect: AxisEffect) -> str:
    values = effect.measured[quantity.name]
    ends = f"{values[0]:.3g} to {values[-1]:.3g} {quantity.unit}".strip()
    between = f"{effect.steps[0]:+g} to {effect.steps[-1]:+g}"
    return f"{quantity.label}: {ends} ({_percent(quantity, effect)}) from {between} on this axis"
