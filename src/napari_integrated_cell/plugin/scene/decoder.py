"""The scene: the cell at the session's position, decoded in the background and shown as layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, WeakValueDictionary

import numpy as np
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.latent.position import Position, decode
from napari_integrated_cell.plugin.scene.key_frames import KeyFrames, Line, Volumes
from napari_integrated_cell.plugin.scene.layers import SceneLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

Limits = tuple[float, float]

SLOT = "position"
AHEAD = "key frame"

_REST = 150  # ms without a new position after which the position counts as at rest
_QUICK = 0.1  # seconds of decoding above which a model is slow
_DRAW = 1  # ms until the window has painted: Qt handles posted paint events before timers
_FRESH = 4  # ms to wait for newer input after painting

# Scenes that docks hold, by the key of their session.
_scenes: WeakValueDictionary[str, Scene] = WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class Decoded:
    """The result of one decoding task.

    Attributes
    ----------
    model : IntegratedCell
    position : Position
    volumes : dict of str to array (Z, Y, X)
        By channel.
    limits : dict of str to (float, float)
        Contrast limits of the channels that had none yet.
    start : dict of str to array (Z, Y, X)
        The compared channel, decoded at the start.
    whole : bool
        Whether all shown channels are there, decoded at exactly this position.
    line : Line, optional
        The line that the position lies on.
    seconds : float
        Time for decoding the volumes; 0 for a blend.
    """

    model: IntegratedCell
    position: Position
    volumes: dict[str, Floats]
    limits: dict[str, Limits]
    start: dict[str, Floats]
    whole: bool
    line: Line | None = None
    seconds: float = 0.0


class Scene:
    """Keeps layers of the cell at the session's position, while at least one dock holds it.

    A slider changes the position faster than a cell can be decoded. The scene decodes one position at a time, and the
    next one after the window has painted. It then takes the latest position; positions in between are never decoded,
    and no queue grows. While a slider moves the position along a line, a second task decodes key frames of this line,
    one after the other, and blends of them are shown. Three timers order this:

    1. ``_drawing`` starts when a decoding task ends. It fires after the window has painted the new volumes, and
       clears ``_busy``.
    2. ``_late`` then starts, if something was requested since. It waits for input that arrived during the painting,
       so that the newest position is decoded. It fires :meth:`_decode`.
    3. ``_rest`` starts with each new position. It fires when no position came for a while. Then what was left out or
       blended while the slider moved is decoded exactly, and napari is told that the data have changed.

    ``_requested`` is what the session asks for, ``_decoded`` what was decoded last. They are the same object if
    nothing newer was requested, and no new key frame improves what is shown.

    Attributes
    ----------
    layers : SceneLayers
        The layers.
    showing : Position or None
        The position that they show.
    shown : Signal
        Emitted when they show another position.
    """

    shown = Signal()

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._session = session
        self.layers = SceneLayers(viewer, session)
        self.showing: Position | None = None
        self._holders = 0
        self._filling = False  # whether a key frame is being decoded
        self._busy = False  # from the start of a decoding task until the window has painted its result
        self._requested: tuple[Any, ...] = ()  # model, position, start, shown channels, compared channel
        self._decoded: tuple[Any, ...] = ()
        self._whole = True  # whether the layers show all channels exactly
        self._seconds = 0.0  # how long this model took for all channels
        self._key_frames = KeyFrames()
        self._limits: dict[str, Limits] = {}  # of this model, by channel
        self._at_start: dict[str, Floats] = {}  # the compared channel at this start
        self._cached_for: tuple[Any, Any] = (None, None)  # the model and the start of the two caches above
        self._rest = _timer(_REST, self._at_rest)
        self._drawing = _timer(_DRAW, self._drawn)
        self._late = _timer(_FRESH, self._decode)

    @property
    def at_rest(self) -> bool:
        """Whether the layers are up to date and exact, and napari knows."""
        return not (self._filling or self._rest.isActive() or self._late.isActive()) and self.exact

    @property
    def exact(self) -> bool:
        """Whether the layers show all channels at exactly the session's position."""
        return not self._busy and self._whole and self._requested is self._decoded

    def _events(self) -> tuple[Any, ...]:
        scene = self._session.scene.events
        return scene.position, scene.start, scene.shown, scene.difference, self._session.events.model

    def hold(self) -> Callable[[], None]:
        """Follow the position. Call the returned function to stop."""
        self._holders += 1
        if self._holders == 1:
            for event in self._events():
                event.connect(self._changed)
            self._session.scene.events.place.connect(self.layers.place)
            self.layers.open()
            self.layers.place()
            self._changed()
        held = [True]

        def release() -> None:
            if held:
                held.clear()
                self._holders -= 1
                if not self._holders:
                    self._close()

        return release

    def _close(self) -> None:
        for event in self._events():
            event.disconnect(self._changed)
        self._session.scene.events.place.disconnect(self.layers.place)
        self.layers.close()
        for timer in (self._rest, self._drawing, self._late):
            timer.stop()
        for slot in (SLOT, AHEAD):
            self._session.tasks.cancel(slot)
        _scenes.pop(self._session.key, None)

    # ---------------------------------------------------------------- decoding

    def _changed(self, *_: Any) -> None:
        """Note what is requested, and decode it now or when the running task is done."""
        session = self._session
        requested = (
            session.model,
            session.scene.position,
            session.scene.start,
            session.scene.shown,
            session.scene.difference,
        )
        if all(a is b for a, b in zip(requested, self._requested, strict=False)) and self._requested:
            return
        self._requested = requested
        if session.scene.position is None:
            return
        if session.model is None:
            if session.tasks.running("model") is None:
                session.open_then()
            return
        self._rest.start()
        if not self._busy:
            self._decode()

    def _decode(self) -> None:
        """Decode the latest request. While the position moves, a blend or a part of the channels is enough."""
        self._late.stop()
        moving = self._rest.isActive()
        session, model, position, start = self._session, *self._requested[:3]
        if not self._holders or model is None or position is None:
            return
        self._drop_caches_of_others(model, start)
        channels = self.layers.wanted(model)
        compared = self.layers.compared(model)
        if compared and compared not in channels:
            channels = [*channels, compared]
        line = session.scene.line if session.scene.position is position else None
        without_limits = [c for c in channels if c not in self._limits]
        left_at_start = (
            [compared] if compared and start is not None and compared not in self._at_start else []
        )
        if moving and line is not None and channels and not without_limits and not left_at_start:
            self._blend(model, line, channels)
            return
        all_channels = channels
        if moving and self._seconds > _QUICK:
            # A slow model decodes only its reference channels; the others follow when the position is at rest.
            channels = [c for c in channels if c in model.config.references]
        whole = channels == all_channels
        self._decoded, self._whole = self._requested, whole
        if not channels:
            return

        def work(task: Task) -> Decoded:
            begun = time.perf_counter()
            volumes = decode(model, position, channels, cancel=task.token)
            seconds = time.perf_counter() - begun
            limits = fixed_limits(model, position, without_limits) if without_limits else {}
            at_start = (
                decode(model, start, left_at_start, cancel=task.token) if start and left_at_start else {}
            )
            return Decoded(model, position, volumes, limits, at_start, whole, line, seconds)

        self._begin(work)

    def _begin(self, work: Callable[[Task], Decoded]) -> None:
        self._busy = True
        self._session.tasks.start(
            SLOT, "Decoding the position", work, on_done=self._show, on_end=self._drawing.start
        )

    def _blend(self, model: IntegratedCell, line: Line, channels: list[str]) -> None:
        """Show a blend of the key frames around the position, if there are any, and decode what is missing."""
        self._fill(model, line, channels)
        blend = self._key_frames.blend(model, line, channels)
        if blend is None:
            return  # the next key frame calls _decode again
        self._decoded, self._whole = self._requested, blend.is_exact
        self._begin(
            lambda task: Decoded(model, line.position, blend.volumes(channels), {}, {}, blend.is_exact)
        )

    def _fill(self, model: IntegratedCell, line: Line, channels: list[str]) -> None:
        """Decode the key frame that is missing most, in the background."""
        value = self._key_frames.missing(model, line, channels)
        if value is None or self._filling:
            return

        def done(volumes: Volumes) -> None:
            self._key_frames.keep(model, line, value, volumes)
            self._decoded = ()  # a better blend can be shown

        def ended() -> None:
            self._filling = False
            if self._rest.isActive() and not self._busy:
                self._decode()

        self._filling = True
        self._session.tasks.start(
            AHEAD,
            "Decoding along the line",
            lambda task: decode(model, line.at(value), channels, cancel=task.token),
            on_done=done,
            on_end=ended,
        )

    def _drop_caches_of_others(self, model: Any, start: Any) -> None:
        known_model, known_start = self._cached_for
        if model is not known_model:
            self._limits, self._seconds, self._key_frames = {}, 0.0, KeyFrames()
        if model is not known_model or start is not known_start:
            self._at_start = {}
        self._cached_for = model, start

    def _show(self, decoded: Decoded) -> None:
        if decoded.model is not self._session.model:
            return
        self._limits.update(decoded.limits)
        self._at_start.update(decoded.start)
        if decoded.whole and decoded.seconds:
            self._seconds = decoded.seconds
            self._key_frames.keep_exact(decoded.model, decoded.position, decoded.volumes, decoded.line)
        self._whole = decoded.whole
        self.layers.show(decoded.volumes, self._limits, self._at_start, decoded.model)
        self.showing = decoded.position
        self.shown.emit()

    def _drawn(self) -> None:
        """Go on after the window has painted. Input that came during the painting is handled first."""
        self._busy = False
        if self._requested is not self._decoded:
            self._late.start()

    def _at_rest(self) -> None:
        """Decode what was left out or blended, then tell napari that the data have changed."""
        self._session.tasks.cancel(AHEAD)
        if self._busy or self._late.isActive():
            self._rest.start()
        elif not self._whole or self._requested is not self._decoded:
            self._decode()
            self._rest.start()
        else:
            self.layers.settle()


def _timer(interval: int, then: Callable[[], None]) -> QTimer:
    """Return a timer that calls a method once. Qt would keep the method's object alive: the timer holds it weakly."""
    method = WeakMethod(then)

    def call() -> None:
        alive = method()
        if alive is not None:
            alive()

    timer = QTimer()
    timer.setSingleShot(True)
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(interval)
    timer.timeout.connect(call)
    return timer


def scene_of(viewer: ViewerModel, session: Session) -> Scene:
    """Return the scene of a session. A dock that wants it to follow the position calls :meth:`Scene.hold`."""
    scene = _scenes.get(session.key)
    if scene is None:
        scene = _scenes[session.key] = Scene(viewer, session)
    return scene


def fixed_limits(model: IntegratedCell, position: Position, channels: list[str]) -> dict[str, Limits]:
    """Return contrast limits for the whole latent space, from the position, the prior's mode and the landmarks.

    The contrast stays the same everywhere, so that every change in the window is a change of the cell.
    """
    marks = [mark.z_ref for mark in model.landmarks]
    z_ref = np.stack([position.z_ref, np.zeros_like(position.z_ref), *marks])
    references = model.config.references
    found: dict[str, Any] = {}
    if any(c in references for c in channels):
        images = model.decode_reference(z_ref)
        found.update((c, images[:, i]) for i, c in enumerate(references))
    structures = [c for c in channels if c not in references]
    if structures:
        found.update(model.decode_structures(z_ref, structures))
    limits = {}
    for channel in channels:
        top = max(float(np.percentile(v, 99.9)) for v in found[channel])
        low = 0.1 if channel in references else 1 / 3
        limits[channel] = (low * max(top, 1e-3), max(top, 1e-3))
    return limits
