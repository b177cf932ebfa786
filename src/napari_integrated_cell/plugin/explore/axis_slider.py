"""One axis: its name, a slider, its value, a lock, a reset button, and what changes along it."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QLabel, QSlider, QWidget

from napari_integrated_cell.plugin.explore.effect_plot import EffectPlot
from napari_integrated_cell.plugin.widgets.column import grid
from napari_integrated_cell.plugin.widgets.inputs import tool_button

_FINE = 100  # slider steps to a step of 1 on the axis
_REACH = 4.0  # beyond four standard deviations there is hardly a cell


class _Slider(QSlider):
    """A slider that leaves the mouse wheel to the dock unless it has the focus, and announces its moves."""

    moving = Signal()

    def sliderChange(self, change: QSlider.SliderChange) -> None:
        if change == QSlider.SliderChange.SliderValueChange:
            self.moving.emit()
        super().sliderChange(change)  # this schedules the painting

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class AxisSlider(QWidget):
    """Show one axis, and emit signals when the user changes it.

    ``moving`` is emitted before the slider schedules its painting, ``moved`` after it.
    """

    moving = Signal()
    moved = Signal(int, float)
    released = Signal()
    reset = Signal(int)
    locked = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axis = -1
        self.name = QLabel()
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.slider.setSingleStep(_FINE // 10)
        self.slider.setPageStep(_FINE // 2)
        self.value = QDoubleSpinBox(minimum=-99.0, maximum=99.0, singleStep=0.1)
        self.value.setKeyboardTracking(False)
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight)
        # napari's style is too wide for a row, and leaves no space for the number.
        self.value.setStyleSheet(
            "QDoubleSpinBox { min-width: 72px; max-width: 72px; padding: 0px; margin: 0px; }"
            "QDoubleSpinBox::up-button, QDoubleSpinBox::down-button { width: 14px; }"
        )
        self.lock = QCheckBox()
        self.lock.setToolTip("Lock: random draws and walks do not change this axis.")
        self.back = tool_button("↺", "Set this axis back to the start.")
        self.effect = EffectPlot()
        self.effect.setVisible(False)
        layout = grid(self, across=4, down=0)
        for column, widget in enumerate((self.name, self.slider, self.value, self.lock, self.back)):
            layout.addWidget(widget, 0, column)
        layout.addWidget(self.effect, 1, 0, 1, 5)
        layout.setColumnStretch(1, 1)
        self.name.setMinimumWidth(88)
        self.slider.moving.connect(self.moving)
        self.slider.valueChanged.connect(lambda step: self.moved.emit(self.axis, step / _FINE))
        self.slider.sliderPressed.connect(self.released)
        self.slider.sliderReleased.connect(self.released)
        self.value.valueChanged.connect(lambda value: self.moved.emit(self.axis, value))
        self.lock.toggled.connect(lambda on: self.locked.emit(self.axis, on))
        self.back.clicked.connect(lambda _: self.reset.emit(self.axis))

    def show_axis(self, axis: int, name: str, share: float | None, unit: str) -> None:
        """Show another axis."""
        self.axis = axis
        percent = "" if share is None else f" · {100 * share:.1f} %"
        self.name.setText(f"{name}{percent}")
        variance = "" if share is None else f"\n{100 * share:.1f} % of the variance among the training cells"
        kind = "Principal axis" if unit else "Latent dimension"
        counted = "in standard deviations from the mean" if unit else "the raw value; the prior is N(0, 1)"
        self.name.setToolTip(f"{kind} {name}, {counted}.{variance}")
        self.slider.setToolTip(self.name.toolTip())
        self.slider.setAccessibleName(name)
        self.value.setAccessibleName(f"{name}, value")
        self.lock.setAccessibleName(f"Lock {name}")
        self.back.setAccessibleName(f"Reset {name}")

    def show_value(self, value: float) -> None:
        """Show the value of the position on this axis."""
        self.effect.set_value(value)
        reach = round(_FINE * max(_REACH, math.ceil(abs(value))))
        step = round(_FINE * value)
        if not self.slider.isSliderDown():  # a slider that is dragged stays under the mouse
            with QSignalBlocker(self.slider):
                self.slider.setRange(-reach, reach)
                self.slider.setValue(step)
        if abs(self.value.value() - value) >= 0.005:
            with QSignalBlocker(self.value):
                self.value.setValue(value)

    def show_locked(self, held: bool) -> None:
        """Show whether the axis is locked."""
        with QSignalBlocker(self.lock):
            self.lock.setChecked(held)
