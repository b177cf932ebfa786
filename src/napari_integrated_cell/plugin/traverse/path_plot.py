"""A plot of the three paths: their distance from the origin and their turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_integrated_cell.plugin.widgets.column import stack
from napari_integrated_cell.plugin.widgets.inputs import text_label
from napari_integrated_cell.plugin.widgets.still_plot import colour_axes, fitted, grey_band, keep_still
from napari_integrated_cell.walk.traversal import Walk

PATH_COLOURS = {"radial": "#3fd0ff", "great-circle": "#ffb000", "straight": "#ff5a5f"}

_HEIGHT = 210  # pixels of both plots


class PathPlot(QWidget):
    """Norm and angle along the planned walk for each path, with the norm of the training cells and the playhead."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plots = fitted(
            pg.GraphicsLayoutWidget(),
            "Norm and angle along the path",
            "Top: the length of z^r, which is the distance from the origin. The band shows where the training\n"
            "cells lie (mean ± 2 standard deviations): outside it the decoder saw few cells or none.\n"
            "Bottom: how many degrees z^r turns from frame to frame. A straight line turns fast near the origin.\n"
            "Dotted lines: the stops.",
        )
        self._plots.setFixedHeight(_HEIGHT)
        self.words = text_label()
        stack(self, self._plots, self.words)
        self._norm = self._plots.addPlot(row=0, col=0)
        self._turn = self._plots.addPlot(row=1, col=0)
        self._turn.setXLink(self._norm)
        self._norm.setLabel("left", "|z<sup>r</sup>|")
        self._turn.setLabel("left", "turn, °")
        self._turn.setLabel("bottom", "frame")
        self._playheads = []
        for plot in (self._norm, self._turn):
            keep_still(plot)
            plot.getAxis("left").setWidth(46)
            playhead = pg.InfiniteLine(0, angle=90, movable=False)
            playhead.setZValue(10)
            plot.addItem(playhead)
            playhead.hide()
            self._playheads.append(playhead)
        self._norm.getAxis("bottom").setStyle(showValues=False)
        self.curves: dict[str, tuple[Any, Any]] = {}
        self._drawn: list[tuple[Any, Any]] = []
        self._foreground = "#d0d0d0"

    def use_theme(self, name: str) -> None:
        """Draw in the colours of a napari theme."""
        self._foreground, _ = colour_axes(self._plots, (self._norm, self._turn), name)
        for playhead in self._playheads:
            playhead.setPen(pg.mkPen(self._foreground, width=1))

    def show_walks(self, walks: Mapping[str, Walk], chosen: str, typical: tuple[float, float] | None) -> None:
        """Draw the walk along each path, the chosen one with a thick line.

        Parameters
        ----------
        walks : mapping of str to Walk
            By the path's name, through the same stops.
        chosen : str
            The path of the plan.
        typical : tuple of float, or None
            Mean and standard deviation of the training cells' |z^r|.
        """
        self._clear()
        if typical is not None:
            mean, spread = typical
            self._add(self._norm, grey_band(mean - 2 * spread, mean + 2 * spread))
        for stop in next(iter(walks.values())).at:
            for plot in (self._norm, self._turn):
                pen = pg.mkPen("#808080", width=1, style=Qt.PenStyle.DotLine)
                self._add(plot, pg.InfiniteLine(stop, angle=90, pen=pen))
        turns = {name: np.diff(walk.turned) for name, walk in walks.items()}
        # The chosen one is drawn first and thick, so that the others stay visible on top of it.
        for name, walk in sorted(walks.items(), key=lambda item: item[0] != chosen):
            pen = pg.mkPen(PATH_COLOURS[name], width=4 if name == chosen else 1.5)
            frames = np.arange(len(walk))
            self.curves[name] = (
                self._add(self._norm, pg.PlotDataItem(frames, walk.norm, pen=pen)),
                self._add(self._turn, pg.PlotDataItem(frames[1:] - 0.5, turns[name], pen=pen)),
            )
        length = len(walks[chosen])
        self._norm.setXRange(0, length - 1, padding=0.02)
        norms = np.concatenate([walk.norm for walk in walks.values()])
        low, high = float(norms.min()), float(norms.max())
        if typical is not None:
            low, high = min(low, typical[0] - 2 * typical[1]), max(high, typical[0] + 2 * typical[1])
        self._norm.setYRange(low, high, padding=0.05)
        self._turn.setYRange(0, max(float(turn.max()) for turn in turns.values()) or 1, padding=0.05)
        self.words.setText(path_figures(walks, typical))
        self._plots.setVisible(True)

    def show_playhead(self, frame: int | None) -> None:
        """Mark a frame; None removes the mark."""
        for playhead in self._playheads:
            playhead.setVisible(frame is not None)
            if frame is not None:
                playhead.setValue(frame)

    def say(self, words: str) -> None:
        """Show text in place of curves."""
        self._clear()
        self._plots.setVisible(False)
        self.words.setText(words)

    def _add(self, plot: Any, item: Any) -> Any:
        plot.addItem(item)
        self._drawn.append((plot, item))
        return item

    def _clear(self) -> None:
        for plot, item in self._drawn:
            plot.removeItem(item)
        self._drawn.clear()
        self.curves.clear()


def path_figures(walks: Mapping[str, Walk], typical: tuple[float, float] | None) -> str:
    """Return the smallest norm and the total turn of each path, as rich text."""
    rows = "".join(
        f'<tr><td><b style="color:{PATH_COLOURS[name]}">{name}</b>&nbsp;</td>'
        f"<td>|z<sup>r</sup>| ≥ {walk.norm.min():.1f},&nbsp;</td><td>turns {walk.turned[-1]:.0f}°</td></tr>"
        for name, walk in walks.items()
    )
    cells = (
        ""
        if typical is None
        else f"Training cells lie at |z<sup>r</sup>| = {typical[0]:.1f} ± {typical[1]:.1f}."
    )
    return f"<table>{rows}</table>{cells}"
