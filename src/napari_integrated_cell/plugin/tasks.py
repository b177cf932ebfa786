"""Background work: progress in the activity dock, a token that stops it; only the latest answer counts."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from napari.qt.threading import FunctionWorker, create_worker
from psygnal import Signal as Event
from qtpy.QtCore import QObject, Signal

from napari_integrated_cell.model.runtime import Cancelled, CancelToken
from napari_integrated_cell.plugin.activity import ActivityBar, tell

if TYPE_CHECKING:
    from typing import TypeAlias

    Work: TypeAlias = "Callable[[Task], Any]"
    Executor: TypeAlias = "Callable[[Task], None]"


def _nothing(*_: Any) -> Any:
    """The callback of those who want none."""


class Task(QObject):
    """One piece of work away from the main thread.

    ``work(task)`` runs in the worker; it may call :meth:`progress` and :meth:`give`, and hands ``task.token``
    to whatever can be stopped. The callbacks run on the main thread, and none but ``on_end`` once the task was
    stopped or overtaken by a newer one.
    """

    _given = Signal(object)
    _progressed = Signal(int, int, str)
    _ended = Signal(object, object)

    def __init__(
        self,
        what: str,
        work: Work,
        *,
        on_given: Callable[[Any], None] = _nothing,
        on_done: Callable[[Any], None] = _nothing,
        on_end: Callable[[], None] = _nothing,
        on_error: Callable[[Exception], bool] = _nothing,
    ) -> None:
        super().__init__()
        self.what = what
        self.token = CancelToken()
        self.wanted = True
        self.ended = False
        self._work = work
        self._on_given, self._on_done, self._on_end, self._on_error = on_given, on_done, on_end, on_error
        self._after: Callable[[], None] = _nothing
        self._bar: ActivityBar | None = None
        self._to_draw: tuple[int, int, str] | None = None
        self._drawing = False
        self._started = threading.Event()
        self._finished = threading.Event()
        self._given.connect(self._take)
        self._progressed.connect(self._draw)
        self._ended.connect(self._end)

    # napari lists running work by this when its window is asked to close.
    def __str__(self) -> str:
        return self.what

    def __call__(self) -> None:
        """Do the work; called by the executor, in its thread."""
        self._started.set()
        result, error = None, None
        try:
            self.token.raise_if_cancelled()
            with warnings.catch_warnings():
                # napari would notify the user of every warning of every library.
                warnings.simplefilter("ignore")
                result = self._work(self)
        except Exception as raised:
            error = raised
        self._finished.set()
        self._ended.emit(result, error)

    def give(self, value: Any) -> None:
        """Hand a part of the result to the main thread while the work goes on."""
        self._given.emit(value)

    def progress(self, done: int, total: int, what: str) -> None:
        """Report progress, from any thread. ``total`` of 0: nobody knows how long."""
        self._progressed.emit(done, total, what)

    def cancel(self) -> None:
        """Ask the work to stop, and drop whatever it may still answer."""
        self.token.cancel()
        self.wanted = False

    def show_bar(self, on_cancel: Callable[[], Any]) -> None:
        """Open a bar with a Cancel button in the activity dock; call it on the main thread."""
        self._bar = ActivityBar(desc=self.what, total=0, on_cancel=on_cancel)

    def afterwards(self, what: Callable[[], None]) -> None:
        """Call ``what`` when everything of this task is over."""
        self._after = what

    def wait(self, seconds: float) -> bool:
        """Wait for work that has begun, so that no thread outlives the window; whether it has ended."""
        return not self._started.is_set() or self._finished.wait(seconds)

    def _take(self, value: Any) -> None:
        if self.wanted:
            try:
                self._on_given(value)
            except Exception as error:
                self.cancel()  # what cannot be shown need not be worked out
                tell(self.what, error)

    def _draw(self, done: int, total: int, what: str) -> None:
        # napari's bars run the event loop whenever they change: in the middle of drawing, the next progress may
        # come, and the task may end.
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
                self._on_done(result)
            elif not self._on_error(error):
                tell(self.what, error)
        finally:
            self._on_end()
            self._after()
            # napari keeps every task of a window in its list of tasks: let go of the images in these functions.
            self._work = self._on_given = self._on_done = self._on_end = self._on_error = self._after = (
                _nothing
            )


class Tasks:
    """The running tasks of one session, at most one wanted in each slot.

    Parameters
    ----------
    execute : callable, optional
        How a task is run: in napari's worker threads, unless a test wants :func:`immediately`.

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
        self,
        slot: str,
        what: str,
        work: Work,
        *,
        on_given: Callable[[Any], None] = _nothing,
        on_done: Callable[[Any], None] = _nothing,
        on_end: Callable[[], None] = _nothing,
        on_error: Callable[[Exception], bool] = _nothing,
        bar: bool = False,
    ) -> Task:
        """Start ``work``; a task still running in the same slot is stopped and its answer dropped.

        Parameters
        ----------
        slot : str
            Work of one kind shares a slot.
        what : str
            What is being done, as the activity dock says it.
        work : callable
            Called with its task in the background.
        on_given, on_done, on_end, on_error : callable, optional
            On the main thread: for each part given, for the result, at the end in any case, and for an error
            (true when it needs no notification any more).
        bar : bool
            Whether to show a bar with a Cancel button in the activity dock.
        """
        self.cancel(slot)
        task = Task(what, work, on_given=on_given, on_done=on_done, on_end=on_end, on_error=on_error)
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
        """The wanted task of a slot, if it has not ended."""
        task = self._wanted.get(slot)
        return task if task is not None and task.wanted and not task.ended else None

    def cancel(self, slot: str) -> bool:
        """Stop the slot's task; whether there was one."""
        task = self._wanted.pop(slot, None)
        if task is not None:
            task.cancel()
            self.changed.emit(slot)
        return task is not None

    def close(self, seconds: float = 10.0) -> bool:
        """Stop everything for good and wait for the threads; whether all ended in time."""
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


def immediately(task: Task) -> None:
    """Run a task here and now, for tests."""
    task()


@cache
def _worker_class() -> type[FunctionWorker]:
    class Worker(FunctionWorker):
        """A napari worker that passes napari's request to quit (its window closes) on to the task's token."""

        def quit(self) -> None:
            self._func.cancel()
            super().quit()

    return Worker


def in_thread(task: Task) -> None:
    """Run a task in one of napari's worker threads."""
    create_worker(task, _worker_class=_worker_class(), _start_thread=True)
