"""Background tasks: only the latest gives a result, errors are reported, and no thread is left."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from integrate_window import EchoModel, needs_display
from napari.components import ViewerModel

from napari_integrated_cell.plugin.session import Session, session_of
from napari_integrated_cell.plugin.tasks import Task, Tasks


class Later:
    """An executor that runs tasks when the test says so."""

    def __init__(self):
        self.tasks = []

    def __call__(self, task):
        self.tasks.append(task)


def test_parts_come_before_the_result_and_the_end_is_last():
    heard = []

    def work(task):
        task.give("part")
        return "whole"

    Tasks(Task.__call__).start(
        "slot",
        "Working",
        work,
        on_given=heard.append,
        on_done=heard.append,
        on_end=lambda: heard.append("end"),
    )
    assert heard == ["part", "whole", "end"]


def test_only_the_latest_answer_of_a_slot_counts():
    later, answers = Later(), []
    tasks = Tasks(later)
    for number in (1, 2):
        tasks.start("slot", "Working", lambda _, n=number: n, on_done=answers.append)
    tasks.start("other", "Working", lambda _: "other", on_done=answers.append)
    first, second, other = later.tasks
    assert first.token.cancelled
    assert not second.token.cancelled
    second()
    first()  # late, and stale
    other()
    assert answers == [2, "other"]
    assert tasks.running("slot") is None


def test_a_stopped_task_answers_no_more():
    later, heard = Later(), []
    tasks = Tasks(later)

    def work(task):
        task.give("too late")
        task.token.raise_if_cancelled()

    tasks.start("slot", "Working", work, on_given=heard.append, on_end=lambda: heard.append("end"))
    assert tasks.running("slot") is not None
    assert tasks.cancel("slot")
    assert not tasks.cancel("slot")
    later.tasks[0]()
    assert heard == ["end"]


def test_what_a_task_gives_after_it_was_stopped_is_dropped():
    heard = []
    tasks = Tasks(Task.__call__)

    def work(task):
        task.give("in time")
        tasks.cancel("slot")  # as the user would, while it runs
        task.give("too late")
        return "too late"

    tasks.start("slot", "Working", work, on_given=heard.append, on_done=heard.append)
    assert heard == ["in time"]


def test_a_sentence_for_people_is_shown_as_it_is(notified):
    def work(_):
        raise ValueError("There is no cell with label 7.")

    Tasks(Task.__call__).start("slot", "Working", work)
    assert notified == [("error", "There is no cell with label 7.")]


def test_memory_that_runs_out_is_told_in_words(notified):
    def work(_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")

    Tasks(Task.__call__).start("slot", "Integrating cell 3", work)
    ((severity, message),) = notified
    assert severity == "error"
    assert message.startswith("Integrating cell 3 needs more memory than there is")


def test_an_unforeseen_error_keeps_its_traceback(notified):
    Tasks(Task.__call__).start("slot", "Working", lambda _: 1 / 0)
    ((severity, message),) = notified
    assert severity == "error"
    assert "division by zero" in message


def test_an_error_that_was_dealt_with_is_not_told_again(notified):
    def work(_):
        raise ValueError("said elsewhere")

    Tasks(Task.__call__).start("slot", "Working", work, on_error=lambda error: True)
    assert notified == []


def test_what_cannot_be_shown_stops_the_work(notified):
    done = []

    def show(_):
        raise ValueError("There is no room for another layer.")

    def work(task):
        task.give(1)
        task.token.raise_if_cancelled()
        done.append("worked on")

    Tasks(Task.__call__).start("slot", "Working", work, on_given=show)
    assert done == []
    assert notified == [("error", "There is no room for another layer.")]


def test_an_ended_task_lets_go_of_its_images():
    """napari keeps its tasks as long as the window is open; the volumes must not be kept with them."""

    class Volume:
        pass

    def start(volume):
        return Tasks(Task.__call__).start("slot", "Working", lambda _: volume, on_done=lambda _: volume)

    volume = Volume()
    gone = weakref.ref(volume)
    task = start(volume)
    del volume
    gc.collect()
    assert gone() is None
    assert task.ended


def test_closed_tasks_start_nothing():
    tasks, done = Tasks(Task.__call__), []
    assert tasks.close()
    tasks.start("slot", "Working", lambda _: 1, on_done=done.append)
    assert done == []


@needs_display
@pytest.mark.gui
def test_work_runs_in_a_thread_and_its_answers_on_the_main_one(qtbot):
    threads = {}

    def work(task):
        threads["work"] = threading.current_thread()
        task.give(1)
        task.progress(1, 2, "half")
        return 2

    tasks = Tasks()
    tasks.start(
        "slot",
        "Working",
        work,
        on_given=lambda _: threads.setdefault("given", threading.current_thread()),
        on_done=lambda _: threads.setdefault("done", threading.current_thread()),
        bar=True,
    )
    qtbot.waitUntil(lambda: "done" in threads, timeout=60_000)
    assert threads["work"] is not threading.main_thread()
    assert threads["given"] is threads["done"] is threading.main_thread()


@needs_display
@pytest.mark.gui
def test_close_waits_for_the_thread(qtbot):
    ended = threading.Event()

    def work(task):
        while not task.token.cancelled:
            time.sleep(0.005)
        time.sleep(0.1)
        ended.set()

    tasks = Tasks()
    task = tasks.start("slot", "Working", work)
    qtbot.waitUntil(task._started.is_set, timeout=60_000)
    assert tasks.close()
    assert ended.is_set()


@needs_display
@pytest.mark.gui
def test_the_activity_dock_s_cancel_button_stops_the_work(qtbot):
    from napari.utils.progress import progress

    def work(task):
        while True:
            task.token.raise_if_cancelled()
            time.sleep(0.005)

    tasks, ended = Tasks(), []
    before = set(progress._all_instances)
    tasks.start("slot", "Working", work, on_end=lambda: ended.append(1), bar=True)
    (bar,) = set(progress._all_instances) - before
    bar.cancel()
    qtbot.waitUntil(lambda: ended == [1], timeout=60_000)
    assert bar not in progress._all_instances


# ------------------------------------------------------------------------------------------- session


def test_one_session_per_viewer_also_through_napari_s_proxies():
    from napari.utils._proxies import PublicOnlyProxy

    one, other = ViewerModel(), ViewerModel()
    assert session_of(one) is session_of(one)
    assert session_of(PublicOnlyProxy(one)) is session_of(one)
    assert session_of(other) is not session_of(one)
    assert session_of(other).key != session_of(one).key


def test_a_session_tells_its_changes_and_lets_the_old_model_go():
    session, told = Session(), []
    session.model = EchoModel("tiny")
    session.events.connect(lambda info: told.append(info.signal.name))
    session.choose_model("/models/mine.zip")
    assert told == ["model_source", "model"]
    assert session.model is None
    session.choose_model("/models/mine.zip")
    session.choose_device("cpu")
    assert told == ["model_source", "model", "device"]


def test_a_model_is_opened_once_per_source_and_device():
    opened = []

    def open_model(source, device):
        opened.append((source, device))
        return EchoModel("tiny")

    session = Session(open_model=open_model)
    assert session.load() is session.load()
    session.choose_device("cpu")
    session.load()
    assert opened == [("demo", "auto"), ("demo", "cpu")]
