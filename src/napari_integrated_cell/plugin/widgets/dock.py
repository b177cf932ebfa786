"""What all docks of the plugin have in common: a viewer, its session, and letting go of both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_integrated_cell.plugin.session import session_of

if TYPE_CHECKING:
    import napari.viewer


class Dock(QWidget):
    """Draws its viewer's session until it is closed; whatever work it has started goes on without it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # napari hands plugins a proxy whose layers are proxies too: telling layers apart needs the layers.
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._session = session = session_of(self._viewer)
        self._docked = False
        self._hold = ExitStack()  # what is to be undone when the dock is closed
        # The dock goes with its window, without a closeEvent of its own; with the window goes all its work.
        self.destroyed.connect(self._hold.close)
        self._end_work = lambda *_: session.tasks.close()
        self.destroyed.connect(self._end_work)

    def _fill(self, *parts: QWidget) -> None:
        """From top to bottom; the first takes the height that is left."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        for part in parts:
            layout.addWidget(part, int(part is parts[0]))

    def _hear(self, *heard: tuple[Any, Callable[..., Any]]) -> None:
        """Listen to events until the dock is closed: pairs of a signal and who hears it."""
        for event, hear in heard:
            event.connect(hear)
            self._hold.callback(event.disconnect, hear)

    def event(self, event: QEvent) -> bool:
        """Let go of the viewer when the dock is closed: napari then takes the widget out of its window."""
        if event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self._hold.close()
                self.destroyed.disconnect(self._end_work)
                # napari drops it, but what its controls call back keeps it alive: it would never go by itself.
                self.deleteLater()
            self._docked = self.parent() is not None
        return super().event(event)
