"""Plots that cannot be moved: no menu, no zoom, and the mouse wheel scrolls the dock."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme


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
