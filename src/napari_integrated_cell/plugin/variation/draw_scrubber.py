"""Choose the structure to show, what to show of it, and one of its draws."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QSlider, QSpinBox, QWidget

from napari_integrated_cell.plugin.variation.state import DEVIATION, DRAW, MEAN, VariationRequest
from napari_integrated_cell.plugin.widgets.checklist import swatch
from napari_integrated_cell.plugin.widgets.column import row, stack
from napari_integrated_cell.plugin.widgets.inputs import described
from napari_integrated_cell.variation.structure_variation import StructureVariation
from napari_integrated_cell.vocabulary import colour_of, structure

_FIGURES = {
    MEAN: ("&Mean", "The mean of all draws, voxel by voxel: where the structure is on average."),
    DEVIATION: (
        "Standard &deviation",
        "The standard deviation of the draws, voxel by voxel: where the model is uncertain.",
    ),
    DRAW: (
        "&Single draw",
        "One draw: Dec^{r,s} at this shape and one drawn z^s. A possible cell, not an observed one.",
    ),
}


class DrawScrubber(QWidget):
    """Show the request, and emit signals when the user changes it."""

    structure_chosen = Signal(str)
    shown_changed = Signal(object)
    draw_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tip = "The structure whose layers are shown."
        self.structure = described(QComboBox(), "Structure to look at", tip)
        self.figures: dict[str, QCheckBox] = {}
        for figure, (label, tip) in _FIGURES.items():
            box = QCheckBox(label)
            box.setToolTip(tip)
            box.toggled.connect(lambda _: self.shown_changed.emit(self._ticked()))
            self.figures[figure] = box
        self.slider = described(QSlider(Qt.Orientation.Horizontal), "Draw", "Scrub through single draws.")
        tip = "The draw that is shown, counted from 0."
        self.number = described(QSpinBox(), "Number of the draw", tip)
        ticks = row(self.figures[MEAN], self.figures[DEVIATION])
        ticks.addStretch(1)
        scrub = row(self.figures[DRAW], (self.slider, 1), self.number)
        stack(self, row(QLabel("Structure"), (self.structure, 1)), ticks, scrub)
        self.structure.activated.connect(
            lambda i: self.structure_chosen.emit(str(self.structure.itemData(i)))
        )
        self.slider.valueChanged.connect(self.draw_chosen.emit)
        self.number.valueChanged.connect(self.draw_chosen.emit)

    def show_state(self, request: VariationRequest, found: Mapping[str, StructureVariation]) -> None:
        """Show a request, and the structures that were measured."""
        looked_at = found.get(request.looked_at)
        with QSignalBlocker(self.structure):
            names = [self.structure.itemData(i) for i in range(self.structure.count())]
            if names != [*found]:
                self.structure.clear()
                for name in found:
                    self.structure.addItem(swatch(colour_of(name)), structure(name).label, name)
            self.structure.setCurrentIndex([*found].index(request.looked_at) if looked_at else -1)
        self.setEnabled(looked_at is not None)
        for figure, box in self.figures.items():
            with QSignalBlocker(box):
                box.setChecked(figure in request.shown)
        last = looked_at.n - 1 if looked_at is not None else 0
        for chooser in (self.slider, self.number):
            with QSignalBlocker(chooser):
                chooser.setRange(0, last)
                chooser.setValue(min(request.draw, last))

    def _ticked(self) -> frozenset[str]:
        return frozenset(figure for figure, box in self.figures.items() if box.isChecked())
