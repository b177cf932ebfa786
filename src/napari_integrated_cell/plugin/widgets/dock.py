"""The base class of all docks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari.viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.signals import Connections
from napari_integrated_cell.plugin.widgets.column import stack


class Dock(QWidget):
    """Show a viewer's session until the dock is closed. Tasks that it has started go on.

    Every dock makes its widgets in ``_build``. In ``_connect`` it follows them and the session, and shows its present
    state.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # napari gives plugins a proxy whose layers are proxies too. Layers can only be compared without it.
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._session = session = session_of(self._viewer)
        self._docked = False
        self._hold = Connections()  # what to undo when the dock is closed
        # If the window is closed, Qt destroys the dock without a closeEvent. Then all work of the session ends.
        self.destroyed.connect(self._hold.close)
        self._end_work = lambda *_: session.close()
        self.destroyed.connect(self._end_work)
        self._build()
        self._connect()

    def _build(self) -> None:
        raise NotImplementedError

    def _connect(self) -> None:
        raise NotImplementedError

    def _fill(self, *parts: QWidget) -> None:
        """Lay parts out from top to bottom. The first takes the remaining height."""
        stack(self, *parts, margin=4, tall=parts[0])

    def _follow_theme(self, use: Callable[[str], Any]) -> None:
        """Call ``use`` with the name of the viewer's theme, now and whenever it changes."""
        self._hold.connect((self._viewer.events.theme, lambda event: use(self._viewer.theme)))
        use(self._viewer.theme)

    def event(self, event: QEvent) -> bool:
        """Disconnect from the viewer when the dock is closed: napari then removes the widget from its window."""
        if event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self._hold.close()
                self.destroyed.disconnect(self._end_work)
                # napari drops the widget, but the callbacks of its controls would keep it alive.
                self.deleteLater()
            self._docked = self.parent() is not None
        return super().event(event)
