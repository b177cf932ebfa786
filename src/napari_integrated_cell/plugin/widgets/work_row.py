"""What a dock works on: the button that starts it, the one that stops it, and what is being done."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

_HEIGHT = 36  # pixels: the buttons that a dock is there for are easy to hit


class WorkRow(QWidget):
    """Stays in view below what scrolls; its buttons are ``start`` and ``cancel``, and ``status`` says what is done.

    Parameters
    ----------
    text, tip : str
        Of the button that starts.
    cancel_tip : str
        What stopping does, and what stays.
    """

    def __init__(self, text: str, tip: str, cancel_tip: str) -> None:
        super().__init__()
        self.start = QPushButton(text)
        self.start.setToolTip(tip)
        font = self.start.font()
        font.setBold(True)
        self.start.setFont(font)
        self.cancel = QPushButton("Canc&el")
        self.cancel.setToolTip(cancel_tip)
        self.status = QLabel()
        self.status.setWordWrap(True)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, (button, share) in enumerate(((self.start, 3), (self.cancel, 1))):
            button.setMinimumHeight(_HEIGHT)
            grid.addWidget(button, 0, column)
            grid.setColumnStretch(column, share)
        grid.addWidget(self.status, 1, 0, 1, 2)
