"""The buttons that start and stop the work of a dock, and its status."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

_HEIGHT = 36  # pixels: the main buttons of a dock are large


class WorkRow(QWidget):
    """A row below the scrolling column, with the buttons ``start`` and ``cancel`` and the label ``status``.

    Parameters
    ----------
    text, tip : str
        Of the start button.
    cancel_tip : str
        Tool tip of the cancel button.
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
