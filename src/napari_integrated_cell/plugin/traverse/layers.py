"""A walk in the window: one layer (T, Z, Y, X) for each channel, and the name of the stage over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import ref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal

from napari_integrated_cell.plugin.layers.display import (
    bring_into_view,
    channel_colormap,
    label_of,
    show_volume,
)
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.opacity import opacities
from napari_integrated_cell.plugin.layers.place import Place, over_time
from napari_integrated_cell.plugin.signals import Connections
from napari_integrated_cell.plugin.tasks import Tasks
from napari_integrated_cell.plugin.traverse.frames import Frames, WalkImage
from napari_integrated_cell.walk.traversal import Traversal

AHEAD = "walk frames"
"""The slot of the task that decodes frames ahead of the playhead."""

Limits = Mapping[str, tuple[float, float]]

_FAINT = 0.45  # opacity of the reference channels under structures


class ShownWalk:
    """A walk in the window. It follows the playhead and decodes the frames around it.

    Parameters
    ----------
    tasks : Tasks
        Where frames are decoded.
    key : str
        The session's key, which marks the layers.
    traversal : Traversal
        The walk.
    frames : Frames
        Its frames.
    place : Place
        Where the model's box lies.

    Attributes
    ----------
    moved : Signal
        Emitted with the frame at the playhead, when the playhead moves.
    arrived : Signal
        Emitted with each frame that was decoded.
    removed : Signal
        Emitted when the last layer of the walk was removed.
    filmed : bool
        Whether an export moves the playhead.
    """

    moved = Signal(int)
    arrived = Signal(int)
    removed = Signal()

    def __init__(
        self, viewer: ViewerModel, tasks: Tasks, key: str, traversal: Traversal, frames: Frames, place: Place
    ) -> None:
        self._viewer = ref(viewer)  # the session keeps the walk, and must not keep the window
        self._tasks, self._key = tasks, key
        self.traversal, self.frames, self.place = traversal, frames, place
        self.filmed = False
        self.ended = False
        self._frame: int | None = None
        self._hold = Connections()

    @property
    def viewer(self) -> ViewerModel:
        """The viewer that shows the walk."""
        viewer = self._viewer()
        assert viewer is not None
        return viewer

    @property
    def layers(self) -> list[Image]:
        """The layers that show this walk, with copies that the user made."""
        return [layer for layer in self.viewer.layers if _frames_of(layer) is self.frames]

    @property
    def playhead(self) -> int:
        """The frame that the window shows, or the nearest one."""
        axis = self.viewer.dims.ndim - 4
        point = self.viewer.dims.point[axis] if axis >= 0 else 0
        return int(np.clip(np.round(point), 0, len(self.traversal) - 1))

    def show(self, limits: Limits) -> None:
        """Show the walk from its first frame. Layers of the walk before it are used again."""
        before = walk_layers(self.viewer, self._key)
        channels = self.traversal.channels
        for name in before.keys() - set(channels):
            self.viewer.layers.remove(before[name])
        model = self.traversal.model
        about = {
            "walk": self._key,
            "model": model.name,
            "simulated": bool(model.card.get("simulated")),
            "description": self.traversal.description,
        }
        for channel, name in enumerate(channels):
            show_volume(
                self.viewer,
                before.get(name),
                WalkImage(self.frames, channel),
                name=f"{label_of(name)} · walk",
                colormap=channel_colormap(name),
                limits=limits[name],
                place=over_time(self.place),
                voxel_size=model.config.voxel_size,
                mark={**about, "channel": name},
                opacity=self._opacity(name),
            )
        bring_into_view(self.viewer, self.layers[0])
        overlay = _text_overlay(self.viewer)
        for field in ("text", "visible", "position", "font_size"):
            self._hold.callback(setattr, overlay, field, getattr(overlay, field))
        overlay.position, overlay.font_size, overlay.visible = "top_center", 10, True
        self._hold.connect(
            (self.viewer.dims.events.current_step, self._follow),
            (self.viewer.layers.events.removed, self._layer_removed),
        )
        self.go_to(0)
        self._follow()

    def go_to(self, frame: int) -> None:
        """Move the playhead."""
        self.viewer.dims.set_point(self.viewer.dims.ndim - 4, frame)

    def end(self) -> None:
        """Stop following the viewer and drop the frames. The layers stay."""
        if not self.ended:
            self.ended = True
            self._hold.close()
            self._tasks.cancel(AHEAD)
            self.frames.clear()

    def decode(self) -> None:
        """Start to decode the frames around the playhead, if some are missing."""
        tasks = self._tasks
        if self.ended or self.frames.missing() is None or tasks.running(AHEAD) is not None:
            return
        tasks.start(
            AHEAD,
            "Decoding the walk",
            lambda task: self.frames.decode_ahead(task.token, task.give),
            on_given=self._take,
            # The playhead may have moved just before the task ended.
            on_done=lambda _: self.decode(),
        )

    def draw(self) -> None:
        """Draw the frame at the playhead again. Before it was decoded, the nearest frame was drawn."""
        for layer in self.layers:
            layer.refresh(extent=False, highlight=False)
        self._say()

    def _take(self, frame: int) -> None:
        """Draw a decoded frame if it is visible."""
        if self.ended:
            return
        if frame == self.playhead or self.viewer.dims.ndim - 4 in self.viewer.dims.displayed:
            self.draw()
        self.arrived.emit(frame)

    def _follow(self, event: Any = None) -> None:
        """Handle a moved playhead."""
        frame = self.playhead
        if frame == self._frame:  # another axis was moved
            return
        self._frame = frame
        self.frames.move(frame)
        self._say()
        self.decode()
        self.moved.emit(frame)

    def _say(self) -> None:
        frame = self.playhead
        waiting = "" if self.frames.get(frame) is not None else "  (decoding…)"
        title = self.traversal.walk.title(frame)
        said = f"predicted, not observed\nmodel trained on {self.traversal.trained_on}"
        _text_overlay(self.viewer).text = f"{title}{waiting}\n{said}"

    def _layer_removed(self, event: Any = None) -> None:
        if not self.layers:
            self.end()
            self.removed.emit()

    def _opacity(self, name: str) -> tuple[float, float]:
        """Return the opacity of a channel in 2D and in 3D."""
        structures = len(self.traversal.structures)
        if name in self.traversal.structures:
            return opacities(structures)
        return (_FAINT, _FAINT) if structures else (1.0, 1.0)


def walk_layers(viewer: ViewerModel, key: str) -> dict[str, Image]:
    """Return the layers of the walk with a session's key by channel, found by their metadata, never by name."""
    marked = [(layer, mark_of(layer)) for layer in viewer.layers]
    return {
        mark["channel"]: layer
        for layer, mark in marked
        if isinstance(layer, Image) and mark.get("walk") == key and layer.ndim == 4
    }


def _frames_of(layer: Any) -> Frames | None:
    data = getattr(layer, "data", None)
    return data.frames if isinstance(data, WalkImage) else None


def _text_overlay(viewer: ViewerModel) -> Any:
    """Return the viewer's text overlay. napari 0.9 has moved it."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text
