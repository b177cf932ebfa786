"""Classify an image of a structure, and show the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget

from napari_integrated_cell.plugin.widgets.column import grid
from napari_integrated_cell.vocabulary import colour_of, structure

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.integrate.request import CellRequest
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

_SHOWN = 4


def classified(request: CellRequest, session: Session, task: Task) -> dict[str, float]:
    """Return the probability of each structure for the cell's channel ``"structure"``. Slow: call it in a task."""
    from napari_integrated_cell.integration import classify_cell

    return classify_cell(request.cut(progress=task.progress, cancel=task.token), "structure", session.load())


class ClassificationBars(QWidget):
    """The most probable structures with bars, the best first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = grid(self)
        self.ranked: list[tuple[str, float]] = []
        self.setToolTip("ŷ of Enc^{r,s}: how probable the model finds each structure for this layer.")
        self.hide()

    def show_probabilities(self, probabilities: Mapping[str, float] | None) -> None:
        """Show probabilities by structure. None hides the widget."""
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.ranked = sorted((probabilities or {}).items(), key=lambda pair: -pair[1])
        for row, (name, probability) in enumerate(self.ranked[:_SHOWN]):
            # White on a bright colour cannot be read: the number stands beside the bar.
            bar = QProgressBar(maximum=1000, value=round(1000 * probability), textVisible=False)
            bar.setMaximumHeight(16)
            bar.setStyleSheet(f"QProgressBar::chunk {{ background: {colour_of(name)}; }}")
            bar.setAccessibleName(f"{structure(name).label}: {100 * probability:.0f} percent")
            self._grid.addWidget(QLabel(structure(name).label), row, 0)
            self._grid.addWidget(bar, row, 1)
            self._grid.addWidget(QLabel(f"{100 * probability:.0f} %"), row, 2, Qt.AlignmentFlag.AlignRight)
        self.setVisible(bool(self.ranked))
