"""A combo box of the viewer's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QEvent, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QHelpEvent, QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QWidget,
)

_MARGIN = 4  # pixels beside the text


class LayerCombo(QComboBox):
    """A combo box of the layers that ``accepts`` accepts, and "none".

    ``chosen`` is emitted with every change of the layer, ``chosen_by_hand`` only when the user changes it. A long name
    is shortened in the middle: names of files often differ at their ends only. The tool tip shows it whole.
    """

    chosen = Signal()
    chosen_by_hand = Signal()

    def __init__(
        self, viewer: Any, accepts: Callable[[Layer], bool], none: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._accepts, self._none = viewer, accepts, none
        self._layers: list[Layer | None] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.activated.connect(lambda _: self.chosen_by_hand.emit())
        self.currentIndexChanged.connect(lambda _: self.chosen.emit())
        self.refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        for index, candidate in enumerate(self._layers):
            if candidate is layer:
                self.setCurrentIndex(index)

    def refresh(self) -> None:
        """List the viewer's present layers. The chosen layer stays chosen if it is still there."""
        before = self.layer
        layers = [getattr(layer, "__wrapped__", layer) for layer in self._viewer.layers]
        self._layers = [None, *(layer for layer in reversed(layers) if self._accepts(layer))]
        with QSignalBlocker(self):
            self.clear()
            self.addItems([self._none, *(layer.name for layer in self._layers if layer is not None)])
            self.layer = before
        if self.layer is not before:
            self.chosen.emit()

    def shown_text(self) -> str:
        """Return the name of the chosen layer as it is drawn."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        return self.fontMetrics().elidedText(
            self.currentText(), Qt.TextElideMode.ElideMiddle, field.width() - _MARGIN
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the shortened name. Qt's own combo box cuts it off at the right."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        option.currentText = self.shown_text()
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def event(self, event: QEvent) -> bool:
        """Show the whole name above the tool tip."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self.layer is not None:
            QToolTip.showText(event.globalPos(), f"{self.currentText()}\n{self.toolTip()}", self)
            return True
        return super().event(event)
