"""The frames of a walk while it is played: decoded ahead of the playhead, kept as far as a budget goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from napari_integrated_cell.model.runtime import CancelToken
    from napari_integrated_cell.walk.traversal import Traversal

Floats = NDArray[np.float32]

_LEAST = 2  # frames: the one that is shown, and the next
_BACK = (
    3  # a frame behind the playhead is worth one so many times as far ahead; it goes back in steps of no more
)
MB = 10**6


def frames_kept(frames: int, frame_bytes: int, budget: int) -> int:
    """How many of a walk's frames stay in memory under a budget in bytes."""
    return min(frames, max(_LEAST, budget // frame_bytes))


def memory_said(shape: tuple[int, ...], budget: int) -> str:
    """What a walk of ``shape`` (T, C, Z, Y, X) takes, as the user reads it before it starts."""
    frames, channels = shape[:2]
    frame_bytes = int(np.prod(shape[1:])) * 4
    kept = frames_kept(frames, frame_bytes, budget)
    whole = f"{frames} frames × {channels} channels: {frames * frame_bytes / MB:,.0f} MB"
    if kept == frames:
        return f"{whole}, all kept in memory."
    return f"{whole}; keeps {kept} frames around the playhead, {kept * frame_bytes / MB:,.0f} MB."


class Frames:
    """Decoded frames of a walk, the one at the playhead and those to come first. Safe to use from any thread.

    Parameters
    ----------
    traversal : Traversal
        The walk.
    budget : int
        Bytes that kept frames may take; two frames are kept in any case.
    """

    def __init__(self, traversal: Traversal, budget: int) -> None:
        self.traversal = traversal
        self.capacity = frames_kept(len(traversal), traversal.frame_bytes, budget)
        self.playhead = 0
        self._forward = True
        self._kept: dict[int, Floats] = {}
        self._asked: tuple[int, Floats] | None = None
        self._lock = threading.RLock()
        self._decoding = threading.Lock()

    def __len__(self) -> int:
        return len(self.traversal)

    @property
    def kept(self) -> list[int]:
        """The frames in memory."""
        with self._lock:
            return sorted(self._kept)

    @property
    def nbytes(self) -> int:
        """What the frames in memory take."""
        return len(self.kept) * self.traversal.frame_bytes

    def move(self, frame: int) -> None:
        """The playhead is at ``frame`` now; the way it came is the way it is expected to go on."""
        with self._lock:
            ahead = (frame - self.playhead) % len(self)
            back = len(self) - ahead
            if ahead:
                self._forward = not (back < ahead and back <= _BACK)  # a leap says nothing of the direction
            self.playhead = frame

    def get(self, frame: int) -> Floats | None:
        """A frame (C, Z, Y, X), if it is in memory."""
        with self._lock:
            return self._kept.get(frame)

    def nearest(self, frame: int) -> Floats | None:
        """A frame, or the one in memory that is nearest to it, if any is."""
        with self._lock:
            if not self._kept:
                return None
            return self._kept[min(self._kept, key=lambda t: abs(t - frame))]

    def put(self, frame: int, volumes: Floats) -> None:
        """Keep a decoded frame, and drop the one that is needed last where there are too many."""
        with self._lock:
            self._kept[frame] = volumes
            while len(self._kept) > self.capacity:
                del self._kept[max(self._kept, key=self._cost)]

    def missing(self) -> int | None:
        """The frame to decode next; None when all that should be in memory are."""
        with self._lock:
            wanted = sorted(range(len(self)), key=self._cost)[: self.capacity]
            return next((t for t in wanted if t not in self._kept), None)

    def decode_ahead(self, cancel: CancelToken, tell: Callable[[int], None]) -> None:
        """Decode what is missing, and ``tell`` of each frame, until nothing is. Slow: call it in a task."""
        while (frame := self.missing()) is not None:
            cancel.raise_if_cancelled()
            self.put(frame, self.traversal.decoded(frame, cancel))
            tell(frame)

    def decoded(self, frame: int, cancel: CancelToken | None = None) -> Floats:
        """A frame, from memory or decoded here and now; then it is not kept, but until another is asked for."""
        with self._decoding:  # several layers ask for one frame at once: it is decoded once
            volumes = self.get(frame)
            if volumes is None and self._asked is not None and self._asked[0] == frame:
                volumes = self._asked[1]
            if volumes is None:
                volumes = self.traversal.decoded(frame, cancel)
                self._asked = frame, volumes
            return volumes

    def clear(self) -> None:
        """Drop all frames."""
        with self._lock:
            self._kept.clear()
            self._asked = None

    def _cost(self, frame: int) -> int:
        """How late a frame will be needed: a walk is played on, in a circle, and now and then stepped back."""
        ahead, behind = (frame - self.playhead) % len(self), (self.playhead - frame) % len(self)
        if not self._forward:
            ahead, behind = behind, ahead
        return min(ahead, _BACK * behind)


class WalkImage:
    """One channel of a walk as napari takes it: reads like an array (T, Z, Y, X) of float32.

    napari asks for what it draws on the main thread, with an index for every axis. It must not be kept
    waiting: where that frame is still on its way the nearest one is given, and the layer is refreshed when it
    is there. Whoever else asks, to save or to measure, waits, and is given what was asked for.

    Parameters
    ----------
    frames : Frames
        The walk's, common to all its channels.
    channel : int
        Which one.
    """

    def __init__(self, frames: Frames, channel: int) -> None:
        self.frames, self.channel = frames, channel
        t, _, z, y, x = frames.traversal.shape
        self.shape = (t, z, y, x)
        self.ndim = 4
        self.size = t * z * y * x
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        drawn = _is_drawing(key) and threading.current_thread() is threading.main_thread()
        volume = self._nearest if drawn else self._decoded
        if not isinstance(key, tuple):
            key = (key,)
        if any(part is Ellipsis for part in key):
            at = next(i for i, part in enumerate(key) if part is Ellipsis)
            filled = (slice(None),) * (self.ndim - len(key) + 1)
            key = (*key[:at], *filled, *key[at + 1 :])
        which, rest = (key[0], key[1:]) if key else (slice(None), ())
        if isinstance(which, int | np.integer):
            return volume(_index(int(which), len(self)))[rest]
        at_frames = np.arange(len(self))[which]
        if not at_frames.size:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return np.stack([volume(int(t))[rest] for t in at_frames])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("A walk is decoded when it is asked for: as an array it is always a new one.")
        alone = self._alone()
        channel = alone.channels.index(self.frames.traversal.channels[self.channel])
        whole = np.empty(self.shape, self.dtype)
        for t in range(len(self)):
            kept = self.frames.get(t)
            whole[t] = alone[t][channel] if kept is None else kept[self.channel]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def _alone(self) -> Traversal:
        """The walk with no structure but this channel's."""
        whole = self.frames.traversal
        name = whole.channels[self.channel]
        return type(whole)(whole.model, whole.walk, [name] if name in whole.structures else [])

    def _nearest(self, frame: int) -> Floats:
        volumes = self.frames.nearest(frame)
        return np.zeros(self.shape[1:], self.dtype) if volumes is None else volumes[self.channel]

    def _decoded(self, frame: int) -> Floats:
        return self.frames.decoded(frame)[self.channel]


def _is_drawing(key: Any) -> bool:
    """Whether an index is one that napari draws by: a whole number or a slice for each axis."""
    return isinstance(key, tuple) and len(key) == 4 and all(isinstance(part, int | slice) for part in key)


def _index(frame: int, count: int) -> int:
    if not -count <= frame < count:
        raise IndexError(f"There is no frame {frame}: the walk has {count}.")
    return frame % count
