"""Write the shown walk to a file: the canvas as a film, or decoded cells as film, volumes or contact sheet."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_info
from PIL import Image

from napari_integrated_cell.arrays import Rgb
from napari_integrated_cell.imaging.movies import write_gif, write_mp4
from napari_integrated_cell.model.runtime import CancelToken
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.tasks import Task
from napari_integrated_cell.plugin.traverse.layers import ShownWalk
from napari_integrated_cell.walk.traversal import Traversal

SLOT = "walk export"
FILMS = (".mp4", ".gif")

_GONE = "The walk was removed or replaced while it was filmed: no film was written."
_POLL = 0.05  # seconds between two checks for a cancelled task


def export_canvas(session: Session, path: Path) -> Task:
    """Film the canvas frame by frame, with the user's camera and contrast. The file's ending chooses MP4 or GIF.

    Each frame is filmed on the main thread, as soon as it is decoded. Then the walk returns to its frame.

    Raises
    ------
    ValueError
        If no walk is shown, or the ending of the name is none of :data:`FILMS`.
    OSError
        If the folder does not exist, or a folder has this name.
    """
    from napari_integrated_cell.walk.files import ending_of
    from napari_integrated_cell.walk.pictures import title_of

    shown = _shown(session)
    ending = ending_of(path)
    if ending not in FILMS:
        raise ValueError(f"{path.name!r} is not a film: end its name in {' or '.join(FILMS)}.")
    traversal, fps = shown.traversal, session.traverse.plan.fps
    recorder = CanvasRecorder(shown)

    def work(task: Task) -> Path:
        pictures = recorder.pictures(task)
        about = traversal.description
        if ending == ".mp4":
            return write_mp4(path, pictures, fps=fps, title=title_of(traversal), description=about)
        return write_gif(path, pictures, fps=fps, description=about)

    recorder.open()
    return _start(session, path, work, on_given=recorder.shoot, on_end=recorder.close)


def export_decoded(session: Session, path: Path) -> Task:
    """Write the shown walk as film, volumes or contact sheet, by the file's ending.

    Raises
    ------
    ValueError
        If no walk is shown, or the ending of the name is unknown.
    OSError
        If the folder does not exist, or a folder has this name.
    """
    from napari_integrated_cell.walk.files import SHEETS, ending_of, write_walk

    shown = _shown(session)
    traversal = sheet_of(shown.traversal) if ending_of(path) in SHEETS else shown.traversal
    fps = session.traverse.plan.fps

    def work(task: Task) -> Path:
        return write_walk(traversal, path, fps=fps, cancel=task.token, progress=task.progress)

    return _start(session, path, work)


def sheet_of(traversal: Traversal) -> Traversal:
    """Return the walk with two steps from each stop to the next, so that a sheet of it fits a page."""
    from napari_integrated_cell.walk.traversal import Traversal, walk

    way = traversal.walk
    frames = min(len(way), 2 * (len(way.stops) - 1) + 1)
    return Traversal(
        traversal.model, walk(way.stops, frames, path=way.path, easing=way.easing), traversal.structures
    )


class CanvasRecorder:
    """Film a walk on the canvas: take pictures on the main thread, for the thread that writes the film."""

    def __init__(self, shown: ShownWalk) -> None:
        self._shown = shown
        self._taken: queue.Queue[Rgb | Exception] = queue.Queue()
        self._waiting_for: int | None = None
        self._before = 0

    def open(self) -> None:
        """Start, on the main thread."""
        self._before = self._shown.playhead
        self._shown.filmed = True
        self._shown.arrived.connect(self._arrived)

    def close(self) -> None:
        """Return to the frame before, on the main thread."""
        self._waiting_for = None
        self._shown.arrived.disconnect(self._arrived)
        self._shown.filmed = False
        if not self._shown.ended:
            self._shown.go_to(self._before)

    def pictures(self, task: Task) -> Iterator[Rgb]:
        """Yield the picture (rows, columns, 3) of each frame, all of one size, on the writing thread."""
        total, size = len(self._shown.traversal), None
        for frame in range(total):
            task.give(frame)
            picture = self._wait(task.token)
            size = size or (picture.shape[1], picture.shape[0])
            if (picture.shape[1], picture.shape[0]) != size:  # the window was resized
                picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
            yield picture
            task.progress(frame + 1, total, "filming")

    def shoot(self, frame: int) -> None:
        """Film a frame as soon as it is decoded, on the main thread."""
        self._waiting_for = frame
        if self._shown.ended:
            self._taken.put(ValueError(_GONE))
            return
        self._shown.go_to(frame)
        if self._shown.frames.get(frame) is not None:
            self._arrived(frame)
        else:
            self._shown.decode()

    def _arrived(self, frame: int) -> None:
        if frame != self._waiting_for:
            return
        self._waiting_for = None
        self._shown.go_to(frame)
        self._shown.draw()  # the canvas may still show the nearest frame in its place
        try:
            picture = self._shown.viewer.screenshot(canvas_only=True, flash=False)
        except Exception as error:
            self._taken.put(error)
            return
        self._taken.put(np.ascontiguousarray(picture[..., :3]))

    def _wait(self, cancel: CancelToken) -> Rgb:
        while True:
            cancel.raise_if_cancelled()
            try:
                taken = self._taken.get(timeout=_POLL)
            except queue.Empty:
                # A walk ends when its last layer is removed: no picture would come.
                if self._shown.ended:
                    raise ValueError(_GONE) from None
                continue
            if isinstance(taken, Exception):
                raise taken
            return taken


def _shown(session: Session) -> ShownWalk:
    if session.traverse.walk is None:
        raise ValueError("There is no walk to save: make one first.")
    return session.traverse.walk


def _start(session: Session, path: Path, work: Callable[[Task], Path], **callbacks: Any) -> Task:
    what = f"Writing {path.name}"
    callbacks["on_done"] = lambda written: show_info(f"Wrote {written}.")
    return session.tasks.start(SLOT, what, work, bar=True, **callbacks)
