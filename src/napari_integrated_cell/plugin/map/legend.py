"""Legend of the map: a button for each class, or a colour bar for numbers."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_integrated_cell.plugin.map.colouring import Class, Colouring, gradient
from napari_integrated_cell.plugin.widgets.checklist import swatch
from napari_integrated_cell.plugin.widgets.column import grid, row
from napari_integrated_cell.plugin.widgets.inputs import described

_COLUMNS = 2
_MOST = 24
_STEPS = 128


class Legend(QWidget):
    """Legend of a colouring.

    Attributes
    ----------
    chosen : Signal(object)
        Value of the class whose button was pressed.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[QToolButton] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._inside: QWidget | None = None

    def show_colouring(self, colouring: Colouring) -> None:
        """Show another colouring."""
        if self._inside is not None:
            self._layout.removeWidget(self._inside)
            self._inside.deleteLater()
        self.buttons = []
        self._inside = self._bar(colouring) if colouring.span else self._classes(colouring.classes)
        self._layout.addWidget(self._inside)

    def _classes(self, classes: tuple[Class, ...]) -> QWidget:
        inside = QWidget()
        layout = grid(inside, across=1, down=1)
        for i, entry in enumerate(classes[:_MOST]):
            tip = f"{entry.label}: {entry.n} cells. Press to select them."
            button = described(QToolButton(autoRaise=True), f"Select {entry.label}", tip)
            button.setText(f"{entry.label} {entry.n}")
            button.setIcon(swatch(QColor(*entry.colour)))
            button.setIconSize(QSize(10, 10))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, value=entry.value: self.chosen.emit(value))
            layout.addWidget(button, i // _COLUMNS, i % _COLUMNS)
            self.buttons.append(button)
        if len(classes) > _MOST:
            layout.addWidget(QLabel(f"and {len(classes) - _MOST} others"), _MOST // _COLUMNS, 0)
        return inside

    def _bar(self, colouring: Colouring) -> QWidget:
        low, high = colouring.span or (0.0, 1.0)
        colours = np.ascontiguousarray(gradient(_STEPS))
        image = QImage(colours.tobytes(), _STEPS, 1, 3 * _STEPS, QImage.Format.Format_RGB888)
        tip = f"{colouring.title}: from the 1st to the 99th percentile of the cells."
        bar = described(QLabel(scaledContents=True), f"Colour bar from {low:.4g} to {high:.4g}", tip)
        bar.setPixmap(QPixmap.fromImage(image))
        bar.setFixedHeight(10)
        bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        inside = QWidget()
        layout = row(QLabel(f"{low:.4g}"), (bar, 1), QLabel(f"{high:.4g}"))
        layout.setContentsMargins(0, 2, 0, 2)
        inside.setLayout(layout)
        return inside
