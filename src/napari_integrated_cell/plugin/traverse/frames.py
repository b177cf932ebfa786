"""The frames of a walk while it is played: decoded ahead of the playhead, and kept up to a memory budget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.model.runtime import CancelToken
from napari_integrated_cell.walk.traversal import Traversal

_LEAST = 2  # frames that are always kept: the shown one and the next
# A frame behind the playhead counts like one this many times as far ahead. Larger steps back are jumps.
_BACK = 3
MB = 10**6


def frames_kept(frames: int, frame_bytes: int, budget: int) -> int:
    """Return how many frames of a walk stay in memory under a budget in bytes."""
    return min(frames, max(_LEAST, budget // frame_bytes))


def memory_said(shape: tuple[int, ...], budget: int) -> str:
    """Return a sentence with the memory for a walk of ``shape`` (T, C, Z, Y, X)."""
    frames, channels = shape[:2]
    frame_bytes = int(np.prod(shape[1:])) * 4
    kept = frames_kept(frames, frame_bytes, budget)
    whole = f"{frames} frames × {channels} channels: {frames * frame_bytes / MB:,.0f} MB"
    if kept == frames:
        return f"{whole}, all kept in memory."
    return f"{whole}; keeps {kept} frames around the playhead, {kept * frame_bytes / MB:,.0f} MB."


class Frames:
    """Decoded frames of a walk, around the playhead. Safe to use from any thread.

    Parameters
    ----------
    traversal : Traversal
        The walk.
    budget : int
        Memory for frames in bytes. At least two frames are kept.
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

    def move(self, frame: int) -> None:
        """Move the playhead to ``frame``. It is expected to go on in the same direction."""
        with self._lock:
            ahead = (frame - self.playhead) % len(self)
            back = len(self) - ahead
            if ahead:
                self._forward = not (back < ahead and back <= _BACK)  # a jump has no direction
            self.playhead = frame

    def get(self, frame: int) -> Floats | None:
        """Return a frame (C, Z, Y, X); None if it is not in memory."""
        with self._lock:
            return self._kept.get(frame)

    def nearest(self, frame: int) -> Floats | None:
        """Return the frame in memory that is nearest to ``frame``; None if there is none."""
        with self._lock:
            if not self._kept:
                return None
            return self._kept[min(self._kept, key=lambda t: abs(t - frame))]

    def put(self, frame: int, volumes: Floats) -> None:
        """Keep a decoded frame, and drop the frame that is needed last if there are too many."""
        with self._lock:
            self._kept[frame] = volumes
            while len(self._kept) > self.capacity:
                del self._kept[max(self._kept, key=self._cost)]

    def missing(self) -> int | None:
        """Return the frame to decode next; None if nothing is missing."""
        with self._lock:
            wanted = sorted(range(len(self)), key=self._cost)[: self.capacity]
            return next((t for t in wanted if t not in self._kept), None)

    def decode_ahead(self, cancel: CancelToken, on_frame: Callable[[int], None]) -> None:
        """Decode all missing frames, and call ``on_frame`` with each. Slow: call it in a task."""
        while (frame := self.missing()) is not None:
            cancel.raise_if_cancelled()
            self.put(frame, self.traversal.decoded(frame, cancel))
            on_frame(frame)

    def decoded(self, frame: int, cancel: CancelToken | None = None) -> Floats:
        """Return a frame, from memory or decoded now. Of those decoded now, only the last is kept."""
        with self._decoding:  # several layers ask for one frame at the same time
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
        """Return how late a frame will be needed, if the walk is played in a loop with a few steps back."""
        ahead, behind = (frame - self.playhead) % len(self), (self.playhead - frame) % len(self)
        if not self._forward:
            ahead, behind = behind, ahead
        return min(ahead, _BACK * behind)


class WalkImage:
    """One channel of a walk, as an array (T, Z, Y, X) of float32 for napari.

    napari reads what it draws on the main thread, with an index for every axis. It must not wait: if the frame is not
    decoded yet, it gets the nearest one, and the layer is refreshed later. All other readers, for example to save or to
    measure, wait for the frame.

    Parameters
    ----------
    frames : Frames
        The frames of the walk, shared by its channels.
    channel : int
        The number of the channel.
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
            raise ValueError("A walk is decoded when it is read: an array of it is always a copy.")
        every = self.frames.traversal
        name = every.channels[self.channel]
        # The walk with only this structure, so that nothing else is decoded.
        alone = type(every)(every.model, every.walk, [name] if name in every.structures else [])
        channel = alone.channels.index(name)
        whole = np.empty(self.shape, self.dtype)
        for t in range(len(self)):
            kept = self.frames.get(t)
            whole[t] = alone[t][channel] if kept is None else kept[self.channel]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def _nearest(self, frame: int) -> Floats:
        volumes = self.frames.nearest(frame)
        return np.zeros(self.shape[1:], self.dtype) if volumes is None else volumes[self.channel]

    def _decoded(self, frame: int) -> Floats:
        return self.frames.decoded(frame)[self.channel]


def _is_drawing(key: Any) -> bool:
    """Return whether napari draws with this index: an integer or a slice for each axis."""
    return isinstance(key, tuple) and len(key) == 4 and all(isinstance(part, int | slice) for part in key)


def _index(frame: int, count: int) -> int:
    if not -count <= frame < count:
        raise IndexError(f"There is no frame {frame}: the walk has {count}.")
    return frame % count
