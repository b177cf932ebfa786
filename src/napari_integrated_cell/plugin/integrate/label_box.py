"""A field for a label of any size."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QWidget

_LARGEST = 2**64 - 1


class LabelBox(QAbstractSpinBox):
    """A spin box for labels up to 2^64 - 1. Qt's own ends at 2^31 - 1. 0 stands for no label and shows nothing."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = 0
        self.lineEdit().setPlaceholderText("none")
        self.editingFinished.connect(self._take_text)

    def value(self) -> int:
        """Return the label, 0 if there is none."""
        return self._value

    def setValue(self, value: int) -> None:
        """Show a label."""
        value = min(max(int(value), 0), _LARGEST)
        changed, self._value = value != self._value, value
        self.lineEdit().setText(str(value) if value else "")
        if changed:
            self.valueChanged.emit(value)

    def stepBy(self, steps: int) -> None:
        """Go to another label."""
        self.setValue(self._value + steps)

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        """Return in which directions the arrows go."""
        steps = QAbstractSpinBox.StepEnabledFlag
        return steps.StepUpEnabled | steps.StepDownEnabled if self._value else steps.StepUpEnabled

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Accept whole numbers."""
        good = _label_in(text) is not None
        return (QValidator.State.Acceptable if good else QValidator.State.Invalid), text, position

    def _take_text(self) -> None:
        label = _label_in(self.lineEdit().text())
        self.setValue(self._value if label is None else label)


def _label_in(text: str) -> int | None:
    """Return the label that a text states, 0 for an empty text; None if it is no label."""
    if not text:
        return 0
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= _LARGEST else None
