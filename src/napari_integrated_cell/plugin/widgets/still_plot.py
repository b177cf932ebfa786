"""Plots that cannot be moved: no menu, no zoom, and the mouse wheel scrolls the dock."""

from __future__ import annotations

from typing import Any, TypeVar

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_integrated_cell.plugin.widgets.inputs import described

W = TypeVar("W", bound=QWidget)


def fitted(view: W, name: str, tip: str) -> W:
    """Return a widget with plots that is as wide as its dock. It has an accessible name and a tool tip."""
    view.setMinimumWidth(200)
    view.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return described(view, name, tip)


def grey_band(low: float, high: float) -> pg.LinearRegionItem:
    """Return a horizontal band behind the curves of a plot."""
    band = pg.LinearRegionItem(
        (low, high), "horizontal", brush=(128, 128, 128, 55), pen=pg.mkPen(None), movable=False
    )
    band.setZValue(-10)
    return band


def keep_still(plot: Any) -> None:
    """Disable everything that moves a pyqtgraph plot."""
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.getViewBox().wheelEvent = lambda event, axis=None: event.ignore()


def colour_axes(view: Any, plots: Any, theme_name: str) -> tuple[str, str]:
    """Draw plots in the colours of a napari theme; return its foreground and a fainter colour, as hex."""
    theme = get_theme(theme_name)
    foreground, faint = theme.text.as_hex(), theme.secondary.as_hex()
    view.setBackground(theme.background.as_hex())
    for plot in plots:
        for side in ("left", "right", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(faint)
            axis.setTextPen(foreground)
    return foreground, faint
