"""What tests do in the window of the dock Cell map."""

from __future__ import annotations

from qtpy.QtCore import QPoint


def at(dock, xy):
    """Where a point of the plane is in the widget."""
    column, row = dock.scatter.view.to_pixels(xy)
    return QPoint(round(float(column)), round(float(row)))
