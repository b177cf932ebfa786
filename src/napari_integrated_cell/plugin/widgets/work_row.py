"""The buttons that start and stop the work of a dock, and its status."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QWidget

from napari_integrated_cell.plugin.tasks import Task
from napari_integrated_cell.plugin.widgets.column import grid
from napari_integrated_cell.plugin.widgets.inputs import button

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
        self.start = button(text, tip)
        font = self.start.font()
        font.setBold(True)
        self.start.setFont(font)
        self.cancel = button("Canc&el", cancel_tip)
        self.status = QLabel(wordWrap=True)
        layout = grid(self)
        for column, (each, share) in enumerate(((self.start, 3), (self.cancel, 1))):
            each.setMinimumHeight(_HEIGHT)
            layout.addWidget(each, 0, column)
            layout.setColumnStretch(column, share)
        layout.addWidget(self.status, 1, 0, 1, 2)

    def show_running(self, work: Task | None, *others: Task | None) -> None:
        """Show the tasks that run. The cancel button stops ``work``."""
        self.cancel.setEnabled(work is not None)
        self.status.setText(" ".join(f"{task.what}…" for task in (work, *others) if task is not None))
