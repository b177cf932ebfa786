"""A chart of how much each structure varies, beside reference cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.model.variation_reference import GROUPS, VariationReference
from napari_integrated_cell.plugin.widgets.column import stack
from napari_integrated_cell.plugin.widgets.inputs import text_label
from napari_integrated_cell.plugin.widgets.still_plot import colour_axes, fitted, grey_band, keep_still
from napari_integrated_cell.variation.structure_variation import StructureVariation
from napari_integrated_cell.vocabulary import colour_of, structure

GROUP_COLOURS = {"interphase": "#5fb3ff", "mitosis": "#ffb000"}
"""Colours of the boxes. The colour-blind can distinguish them; the groups also lie above and below the bar."""

_ROW = 30  # pixels of each structure
_FRAME = 54  # pixels of the axis
_BAR, _BOX = 0.30, 0.14  # heights, in rows


class VariationChart(QWidget):
    """A row for each structure: its score as a bar, its effective rank, and thin boxes of reference cells."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = fitted(
            pg.PlotWidget(),
            "Variation of each structure",
            "The bar is the score of Algorithm 4, -log|ρ|/n: how similar n draws of a structure are in this shape.\n"
            "A LARGER score means LESS variation: the cell's shape determines more of the structure's place.\n"
            "On the right the effective rank: 1 if all draws are equal, n if no two of them are similar.\n"
            "Click a row to show that structure.",
        )
        self.words = text_label()
        stack(self, self._view, self.words)
        self._plot = plot = self._view.getPlotItem()
        keep_still(plot)
        plot.invertY(True)
        plot.showAxis("right")
        plot.setLabel("bottom", "score −log|ρ|/n  (larger: less variation)")
        plot.setLabel("right", "effective rank")
        self._view.scene().sigMouseClicked.connect(self._clicked)
        self.rows: list[str] = []
        self.bars: Any = None
        self.boxes: dict[str, Any] = {}
        self._foreground, self._faint = "#d0d0d0", "#808080"

    def use_theme(self, name: str) -> None:
        """Draw in the colours of a napari theme."""
        self._foreground, self._faint = colour_axes(self._view, (self._plot,), name)

    def show_scores(
        self,
        found: Mapping[str, StructureVariation],
        rows: Sequence[str],
        looked_at: str,
        reference: VariationReference | None,
    ) -> None:
        """Draw the measured scores.

        Parameters
        ----------
        rows : sequence of str
            The structures that have a row, from top to bottom, measured or not.
        looked_at : str
            The structure whose row is marked.
        reference : VariationReference, optional
            Scores of reference cells, if they are comparable.
        """
        self._plot.clear()
        self.boxes.clear()
        self.rows = list(rows)
        self._view.setFixedHeight(_ROW * max(len(rows), 1) + _FRAME)
        at = {name: row for row, name in enumerate(rows)}
        bars = [name for name in rows if name in found and np.isfinite(found[name].score)]
        if looked_at in at:
            self._plot.addItem(grey_band(at[looked_at] - 0.5, at[looked_at] + 0.5))
        self.bars = pg.BarGraphItem(
            x0=[0.0] * len(bars),
            x1=[found[name].score for name in bars],
            y=[float(at[name]) for name in bars],
            height=_BAR,
            brushes=[colour_of(name) for name in bars],
            pen=pg.mkPen(self._faint),
        )
        self._plot.addItem(self.bars)
        top = max((found[name].score for name in bars), default=0.0)
        if reference is not None:
            for group, side in zip(GROUPS, (-1, 1), strict=True):
                scores = {n: reference.scores.get(n, {}).get(group) for n in rows}
                known = {n: s for n, s in scores.items() if s is not None and len(s)}
                y = {name: at[name] + side * (_BAR + _BOX) / 2 * 1.25 for name in known}
                self.boxes[group] = self._box_marks(known, y, GROUP_COLOURS[group])
                top = max([top, *(float(np.percentile(s, 95)) for s in known.values())])
        left, right = self._plot.getAxis("left"), self._plot.getAxis("right")
        left.setTicks([[(row, structure(name).label) for name, row in at.items()]])
        right.setTicks([[(at[name], f"{found[name].effective_rank:.1f}") for name in rows if name in found]])
        right.setStyle(tickLength=0)
        left.setStyle(tickLength=0)
        self._plot.setXRange(0, top * 1.04 or 1, padding=0)
        self._plot.setYRange(-0.5, max(len(rows), 1) - 0.5, padding=0)
        said = "; ".join(f"{name} {found[name].score:.2f}" for name in rows if name in found)
        self._view.setAccessibleDescription(said)

    def _box_marks(
        self, scores: Mapping[str, Doubles], y: Mapping[str, float], colour: str
    ) -> tuple[Any, Any]:
        """Draw a line from the 5th to the 95th percentile, a box of the quartiles and the median of each structure."""
        five, low, middle, high, most = np.array(
            [np.percentile(s, (5, 25, 50, 75, 95)) for s in scores.values()] or np.empty((0, 5))
        ).T
        rows = np.array([y[name] for name in scores])
        lines = pg.PlotDataItem(
            np.stack([five, most], 1).ravel(), np.repeat(rows, 2), connect="pairs", pen=pg.mkPen(colour)
        )
        boxes = pg.BarGraphItem(
            x0=low, x1=high, y=rows, height=_BOX, brush=pg.mkBrush(colour), pen=pg.mkPen(colour)
        )
        medians = pg.PlotDataItem(
            np.repeat(middle, 2),
            np.stack([rows - _BOX / 2, rows + _BOX / 2], 1).ravel(),
            connect="pairs",
            pen=pg.mkPen("#000000", width=2),
        )
        for item in (lines, boxes, medians):
            self._plot.addItem(item)
        return boxes, middle

    def _clicked(self, event: Any) -> None:
        row = round(self._plot.getViewBox().mapSceneToView(event.scenePos()).y())
        if 0 <= row < len(self.rows):
            self.chosen.emit(self.rows[row])


def legend(reference: VariationReference | None) -> str:
    """Return a legend of the thin boxes, as rich text."""
    if reference is None:
        return ""
    groups = [
        f'<b style="color:{GROUP_COLOURS[group]}">{group}</b> ({where}, {len(reference.cells[group])} cells)'
        for group, where in zip(GROUPS, ("above the bar", "below"), strict=True)
        if group in reference.cells
    ]
    return (
        f"Thin boxes: cells that the model has not seen, in {' and '.join(groups)}; median, quartiles, 5th to 95th "
        "percentile."
    )
