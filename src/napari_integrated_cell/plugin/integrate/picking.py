"""Choose a cell by a click in the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_integrated_cell.plugin.layers.volumes import volume_of, world_to_index

if TYPE_CHECKING:
    from napari.layers import Labels

_SLIP = 4  # largest distance between press and release of a click, in screen pixels


def label_at(cells: Labels, press: Press, viewer_units: Any) -> int:
    """Return the label under a press: in 2D in the shown plane, in 3D the first along the view; 0 if there is none."""
    if len(press.dims_displayed) == 3:
        value = cells.get_value(
            press.position,
            view_direction=press.view_direction,
            dims_displayed=press.dims_displayed,
            world=True,
        )
        return int(value or 0)
    index = world_to_index(cells, press.position, viewer_units)
    return int(volume_of(cells)[index]) if index is not None else 0


class Picking:
    """Call ``on_click(press)`` for each plain click in a viewer's canvas, while it is on.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
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
