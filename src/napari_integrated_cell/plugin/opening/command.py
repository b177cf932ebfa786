"""The command "Open image with choices…"."""

from __future__ import annotations

from pathlib import Path


def open_with_choices(path: Path | None = None) -> None:
    """Ask for a file, if none is given, and for how to read it; then show it in napari's current window."""
    from napari import current_viewer
    from napari.utils.notifications import show_error
    from qtpy.QtWidgets import QApplication

    from napari_integrated_cell.plugin.opening.dialog import OpenDialog, asked_file

    viewer = current_viewer()
    if viewer is None:
        show_error("There is no napari window: open one first.")
        return
    parent = QApplication.activeWindow()
    chosen = path or asked_file(parent)
    if chosen is not None:
        OpenDialog(viewer, chosen, parent).exec()
