"""Choose a cell by a click in the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_SLIP = 4  # largest distance between press and release of a click, in screen pixels


class Picking:
    """Call ``on_click(press)`` for each plain click in a viewer's canvas, while it is on.

    Parameters
    ----------
    on_click : callable
        Receives the :class:`Press`.
    """

    def __init__(self, viewer: Any, on_click: Callable[[Press], None]) -> None:
        self._viewer = getattr(viewer, "__wrapped__", viewer)
        self._on_click = on_click

    def listen(self, on: bool) -> None:
        """Start or stop to handle clicks."""
        callbacks = self._viewer.mouse_drag_callbacks
        if on and self._callback not in callbacks:
            callbacks.append(self._callback)
        elif not on and self._callback in callbacks:
            callbacks.remove(self._callback)

    def _callback(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or event.modifiers:
            return
        start = np.asarray(event.pos, dtype=float)
        pressed = Press(event)
        yield
        while event.type == "mouse_move":
            yield
        # A drag moves or rotates the view.
        if np.abs(np.asarray(event.pos, dtype=float) - start).max() <= _SLIP:
            self._on_click(pressed)


class Press:
    """The press of a click, as a copy: napari changes its event until the release."""

    def __init__(self, event: Any) -> None:
        self.position = tuple(event.position)
        self.view_direction = event.view_direction
        self.dims_displayed = list(event.dims_displayed)
