"""Tasks in the background, with progress and cancelling. In each slot, only the latest task may answer."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, Unpack

from napari.qt.threading import FunctionWorker, create_worker
from psygnal import Signal as Event
from qtpy.QtCore import QObject, Signal

from napari_integrated_cell.model.runtime import Cancelled, CancelToken
from napari_integrated_cell.plugin.activity import ActivityBar, notify

Work: TypeAlias = "Callable[[Task], Any]"
Executor: TypeAlias = "Callable[[Task], None]"


def _nothing(*_: Any) -> Any:
    """Do nothing: the default callback."""


class Callbacks(TypedDict, total=False):
    """What a task calls on the main thread: for each part, for the result, at the end in any case, for an error."""

    on_given: Callable[[Any], None]
    on_done: Callable[[Any], None]
    on_end: Callable[[], None]
    on_error: Callable[[Exception], bool]


class Task(QObject):
    """Work in another thread.

    ``work(task)`` runs in a worker thread. It may call :meth:`progress` and :meth:`give`, and passes ``task.token`` to
    functions that can be cancelled. The callbacks run on the main thread. After the task was cancelled or replaced by a
    newer one, only ``on_end`` is called.
    """

    _given = Signal(object)
    _progressed = Signal(int, int, str)
    _ended = Signal(object, object)

    def __init__(self, what: str, work: Work, **callbacks: Unpack[Callbacks]) -> None:
        super().__init__()
        self.what = what
        self.token = CancelToken()
        self.wanted = True
        self.ended = False
        self._work = work
        self._callbacks = callbacks
        self._after: Callable[[], None] = _nothing
        self._bar: ActivityBar | None = None
        self._to_draw: tuple[int, int, str] | None = None
        self._drawing = False
        self._started = threading.Event()
        self._finished = threading.Event()
        self._given.connect(self._take)
        self._progressed.connect(self._draw)
        self._ended.connect(self._end)

    # napari lists running tasks by this name when its window is closed.
    def __str__(self) -> str:
        return self.what

    def __call__(self) -> None:
        """Do the work. The executor calls this in its thread."""
        self._started.set()
        result, error = None, None
        try:
            self.token.raise_if_cancelled()
            with warnings.catch_warnings():
                # napari would notify the user of every warning.
                warnings.simplefilter("ignore")
                result = self._work(self)
        except Exception as raised:
            error = raised
        self._finished.set()
        self._ended.emit(result, error)

    def give(self, value: Any) -> None:
        """Send a part of the result to the main thread."""
        self._given.emit(value)

    def progress(self, done: int, total: int, what: str) -> None:
        """Report progress, from any thread. A ``total`` of 0 means that the duration is unknown."""
        self._progressed.emit(done, total, what)

    def cancel(self) -> None:
        """Ask the work to stop, and ignore its results."""
        self.token.cancel()
        self.wanted = False

    def show_bar(self, on_cancel: Callable[[], Any]) -> None:
        """Open a bar with a Cancel button in the activity dock. Call this on the main thread."""
        self._bar = ActivityBar(desc=self.what, total=0, on_cancel=on_cancel)

    def afterwards(self, what: Callable[[], None]) -> None:
        """Call ``what`` after all callbacks of this task."""
        self._after = what

    def wait(self, seconds: float) -> bool:
        """Wait until started work has ended; return whether it has."""
        return not self._started.is_set() or self._finished.wait(seconds)

    def _take(self, value: Any) -> None:
        if self.wanted:
            try:
                self._callbacks.get("on_given", _nothing)(value)
            except Exception as error:
                self.cancel()  # a result that cannot be shown is not needed
                notify(self.what, error)

    def _draw(self, done: int, total: int, what: str) -> None:
        # napari's bars run the event loop when they change. Meanwhile more progress can arrive, or the task can end.
        self._to_draw = done, total, what
        if self._drawing:
            return
        self._drawing = True
        while self._to_draw is not None and self._bar is not None:
            (done, total, what), self._to_draw = self._to_draw, None
            self._bar.set_description(f"{self.what}: {what}" if what else self.what)
            if self._bar is not None:
                self._bar.total = total
            if self._bar is not None:
                self._bar.update(done - self._bar.n)
        self._drawing = False

    def _end(self, result: Any, error: Exception | None) -> None:
        self.ended = True
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
        try:
            if not self.wanted or isinstance(error, Cancelled):
                return
            if error is None:
                self._callbacks.get("on_done", _nothing)(result)
            elif not self._callbacks.get("on_error", _nothing)(error):
                notify(self.what, error)
        finally:
            self._callbacks.get("on_end", _nothing)()
            self._after()
            # napari keeps every task of a window in a list: release the images in these functions.
            self._work = self._after = _nothing
            self._callbacks = {}


class Tasks:
    """The running tasks of a session, at most one in each slot.

    Parameters
    ----------
    execute : callable, optional
        Runs a task. The default is a worker thread of napari; ``Task.__call__`` runs it in this thread.

    Attributes
    ----------
    changed : Signal
        Emitted with a slot's name when work there starts or ends.
    """

    changed = Event(str)

    def __init__(self, execute: Executor | None = None) -> None:
        self.execute: Executor = execute or in_thread
        self._wanted: dict[str, Task] = {}
        self._alive: set[Task] = set()
        self.closed = False

    def start(
        self, slot: str, what: str, work: Work, *, bar: bool = False, **callbacks: Unpack[Callbacks]
    ) -> Task:
        """Start ``work``. A task that still runs in the same slot is cancelled and its results are ignored.

        Parameters
        ----------
        slot : str
            Tasks of one kind share a slot.
        what : str
            What the task does, for the activity dock.
        work : callable
            Called with its task in the background.
        bar : bool
            Whether to show a bar with a Cancel button in the activity dock.
        on_given, on_done, on_end, on_error : callable, optional
            Called on the main thread: for each part, for the result, at the end in any case, and for an error
            (return true if the user need not be notified).
        """
        self.cancel(slot)
        task = Task(what, work, **callbacks)
        if self.closed:
            task.cancel()
            return task
        self._wanted[slot] = task
        self._alive.add(task)
        task.afterwards(lambda: self._forget(slot, task))
        if bar:
            task.show_bar(lambda: self.cancel(slot) if self._wanted.get(slot) is task else task.cancel())
        self.changed.emit(slot)
        self.execute(task)
        return task

    def running(self, slot: str) -> Task | None:
        """Return the running task of a slot; None if there is none."""
        task = self._wanted.get(slot)
        return task if task is not None and task.wanted and not task.ended else None

    def cancel(self, slot: str) -> bool:
        """Cancel the slot's task; return whether there was one."""
        task = self._wanted.pop(slot, None)
        if task is not None:
            task.cancel()
            self.changed.emit(slot)
        return task is not None

    def close(self, seconds: float = 10.0) -> bool:
        """Cancel all tasks, start no more, and wait for their threads; return whether all ended in time."""
        self.closed = True
        for task in [*self._alive]:
            task.cancel()
        self._wanted.clear()
        return all(task.wait(seconds) for task in [*self._alive])

    def _forget(self, slot: str, task: Task) -> None:
        self._alive.discard(task)
        if self._wanted.get(slot) is task:
            del self._wanted[slot]
        self.changed.emit(slot)


class _Worker(FunctionWorker):
    """A napari worker that cancels its task when napari closes the window."""

    def quit(self) -> None:
        self._func.cancel()
        super().quit()


def in_thread(task: Task) -> None:
    """Run a task in one of napari's worker threads."""
    create_worker(task, _worker_class=_Worker, _start_thread=True)
