"""The cell at the session's position, as layers: decoded in the background, the latest position first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer

from napari_integrated_cell.latent.position import Position, decode
from napari_integrated_cell.plugin.scene.key_frames import KeyFrames
from napari_integrated_cell.plugin.scene.layers import SceneLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

Floats = NDArray[np.float32]
Limits = tuple[float, float]

SLOT = "position"

_REST = 150  # ms without a new position: the hand rests
_QUICK = 0.1  # seconds: while the hand moves, what takes longer waits until it rests
_DRAW = 1  # ms after which a picture has been drawn: paint events are posted, and come before any timer
_FRESH = 4  # ms in which the hand may say something newer than what it said before the drawing

# The scenes that some dock holds, by their session's key.
_scenes: WeakValueDictionary[str, Scene] = WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class Decoded:
    """What one pass of the decoders found.

    Attributes
    ----------
    model : IntegratedCell
    position : Position
    volumes : dict of str to array (Z, Y, X)
        By channel.
    limits : dict of str to (float, float)
        Contrast of the channels that had none yet.
    start : dict of str to array (Z, Y, X)
        The channel that is compared, at the start.
    seconds : float
        How long decoding the volumes took; 0 where nothing was decoded.
    whole : bool
        Whether all that is shown was decoded, at the very position.
    """

    model: IntegratedCell
    position: Position
    volumes: dict[str, Floats]
    limits: dict[str, Limits]
    start: dict[str, Floats]
    seconds: float
    whole: bool


class Scene:
    """Keeps the layers at the session's position while somebody looks at it.

    One position is decoded at a time, and the next one only when the window had a chance to draw: whatever the
    hand has passed meanwhile is never decoded, and nothing queues.

    Attributes
    ----------
    layers : SceneLayers
        The layers.
    showing : Position or None
        What they show.
    shown : Signal
        Emitted when they show another position.
    """

    shown = Signal()

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._session = session
        self.layers = SceneLayers(viewer, session)
        self.showing: Position | None = None
        self._holders = 0
        self._busy = False
        self._asked: tuple[Any, ...] = ()
        self._decoded: tuple[Any, ...] = ()
        self._whole = True
        self._seconds = 0.0
        self._key_frames = KeyFrames()
        self._limits: dict[str, Limits] = {}
        self._of_start: dict[str, Floats] = {}
        self._known_for: tuple[Any, Any] = (None, None)
        self._rest = _timer(_REST, self._at_rest)
        self._drawing = _timer(_DRAW, self._drawn)
        self._late = _timer(_FRESH, self._decode)

    @property
    def at_rest(self) -> bool:
        """Whether everything that is shown is up to date, and everyone knows."""
        waiting = self._busy or self._rest.isActive() or self._late.isActive()
        return not waiting and self._whole and self._asked is self._decoded

    def _events(self) -> tuple[Any, ...]:
        scene = self._session.scene.events
        return scene.position, scene.start, scene.shown, scene.difference, self._session.events.model

    def hold(self) -> Callable[[], None]:
        """Follow the position until the function that is returned is called."""
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
        self._session.tasks.cancel(SLOT)
        _scenes.pop(self._session.key, None)

    # ---------------------------------------------------------------- decoding

    def _changed(self, *_: Any) -> None:
        """Something may be shown differently: decode now, or when the decoder is free."""
        session = self._session
        asked = (
            session.model,
            session.scene.position,
            session.scene.start,
            session.scene.shown,
            session.scene.difference,
        )
        if all(a is b for a, b in zip(asked, self._asked, strict=False)) and self._asked:
            return
        self._asked = asked
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
        """Decode what was asked for last; while the hand moves, what is near it will do, and of a slow model a part."""
        self._late.stop()
        moving = self._rest.isActive()
        session, model, position, start = self._session, *self._asked[:3]
        if not self._holders or model is None or position is None:
            return
        self._forget_what_was_for_another(model, start)
        channels = self.layers.wanted(model)
        compared = self.layers.compared(model)
        if compared and compared not in channels:
            channels = [*channels, compared]
        line = session.scene.line if session.scene.position is position else None
        every = channels
        if moving and self._seconds > _QUICK and not (line and self._key_frames.reach(model, line, channels)):
            # A slow model keeps up with its reference channels alone; the rest follows when the hand rests.
            channels = [c for c in channels if c in model.config.references]
        whole = channels == every
        self._decoded, self._whole = self._asked, whole
        if not channels:
            return
        without_limits = [c for c in channels if c not in self._limits]
        at_start = [compared] if compared and start is not None and compared not in self._of_start else []

        def work(task: Task) -> Decoded:
            exact, took = True, [0.0]

            def decoded(there: Position) -> dict[str, Floats]:
                begun = time.perf_counter()
                found = decode(model, there, channels, cancel=task.token)
                took[0] = time.perf_counter() - begun
                return found

            if line is None:
                volumes = decoded(position)
            elif moving:
                volumes, exact = self._key_frames.volumes(model, line, channels, decoded)
            else:
                volumes = decoded(position)
                self._key_frames.keep(model, line, volumes)
            limits = fixed_limits(model, position, without_limits) if without_limits else {}
            of_start = decode(model, start, at_start, cancel=task.token) if start and at_start else {}
            return Decoded(model, position, volumes, limits, of_start, took[0], whole and exact)

        self._busy = True
        session.tasks.start(
            SLOT, "Decoding the position", work, on_done=self._show, on_end=self._drawing.start
        )

    def _forget_what_was_for_another(self, model: Any, start: Any) -> None:
        known_model, known_start = self._known_for
        if model is not known_model:
            self._limits, self._seconds, self._key_frames = {}, 0.0, KeyFrames()
        if model is not known_model or start is not known_start:
            self._of_start = {}
        self._known_for = model, start

    def _show(self, decoded: Decoded) -> None:
        if decoded.model is not self._session.model:
            return
        self._limits.update(decoded.limits)
        self._of_start.update(decoded.start)
        if decoded.whole and decoded.seconds:
            self._seconds = decoded.seconds
        self._whole = decoded.whole
        self.layers.show(decoded.volumes, self._limits, self._of_start, decoded.model)
        self.showing = decoded.position
        self.shown.emit()

    def _drawn(self) -> None:
        """The window has drawn, which it cannot do while it hears the hand: listen first, then go on."""
        self._busy = False
        if self._asked is not self._decoded:
            self._late.start()

    def _at_rest(self) -> None:
        """The hand rests: decode what a slow model has left out, and tell everyone about the layers."""
        if self._busy or self._late.isActive():
            self._rest.start()
        elif not self._whole:
            self._decode()
            self._rest.start()
        else:
            self.layers.settle()


def _timer(interval: int, then: Callable[[], None]) -> QTimer:
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(interval)
    timer.timeout.connect(then)
    return timer


def scene_of(viewer: ViewerModel, session: Session) -> Scene:
    """The scene of a session; whoever wants it followed holds it."""
    scene = _scenes.get(session.key)
    if scene is None:
        scene = _scenes[session.key] = Scene(viewer, session)
    return scene


def fixed_limits(model: IntegratedCell, position: Position, channels: list[str]) -> dict[str, Limits]:
    """Contrast limits that serve the whole latent space: of the brightest among the position, mode and landmarks.

    With one contrast throughout, what changes in the window has changed in the cell.
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
