"""Classify an image of a structure, and show the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget

from napari_integrated_cell.plugin.widgets.column import grid
from napari_integrated_cell.vocabulary import colour_of, structure

if TYPE_CHECKING:
    from napari_integrated_cell.latent.recognition import Recognition
    from napari_integrated_cell.plugin.integrate.request import CellRequest
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

_SHOWN = 4


def recognised(request: CellRequest, session: Session, task: Task) -> Recognition:
    """Return which structure the cell's channel ``"structure"`` shows, or none. Slow: call it in a task."""
    from napari_integrated_cell.latent.recognition import recognise_cell

    return recognise_cell(request.cut(progress=task.progress, cancel=task.token), "structure", session.load())


class ClassificationBars(QWidget):
    """The most probable structures with bars, the best first, and whether the layer looks like none of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = grid(self)
        self.ranked: list[tuple[str, float]] = []
        self.sentence = ""
        self.setToolTip(
            "ŷ of Enc^{r,s}: how probable the model finds each structure for this layer. The numbers sum to\n"
            "100 % also if the layer shows another structure. A sentence says if the layer looks like none of them."
        )
        self.hide()

    def show_recognition(self, recognition: Recognition | None) -> None:
        """Show the probability of each structure, and whether the layer looks like none. None hides the widget."""
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.ranked = [] if recognition is None else list(recognition.probabilities.items())
        self.sentence = "" if recognition is None else recognition.sentence
        if self.sentence:
            self._grid.addWidget(QLabel(self.sentence, wordWrap=True), 0, 0, 1, 3)
        for row, (name, probability) in enumerate(self.ranked[:_SHOWN], start=1):
            # White on a bright colour cannot be read: the number stands beside the bar.
            bar = QProgressBar(maximum=1000, value=round(1000 * probability), textVisible=False)
            bar.setMaximumHeight(16)
            bar.setStyleSheet(f"QProgressBar::chunk {{ background: {colour_of(name)}; }}")
            bar.setAccessibleName(f"{structure(name).label}: {100 * probability:.0f} percent")
            self._grid.addWidget(QLabel(structure(name).label), row, 0)
            self._grid.addWidget(bar, row, 1)
            self._grid.addWidget(QLabel(f"{100 * probability:.0f} %"), row, 2, Qt.AlignmentFlag.AlignRight)
        self.setVisible(bool(self.ranked))
