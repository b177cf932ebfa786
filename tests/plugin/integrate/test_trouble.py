"""Errors during a run, and wrong input: the message is clear, no layer is lost, and no task goes on."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from integrate_window import (
    add_cell,
    fields,
    finished,
    inside,
    needs_display,
    opened_dock,
    press,
    run,
    running,
    sampled,
)

from napari_integrated_cell.plugin.layers.marks import result_layers
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]


def held(qtbot, viewer, dock, echo):
    """A run that has shown its first structure and waits before the next."""
    echo.gate.clear()
    press(qtbot, dock.run)
    qtbot.waitUntil(lambda: len(result_layers(viewer)) == 1, timeout=60_000)
    assert dock.cancel.isEnabled()


def no_thread_left(qtbot):
    from napari.qt.threading import FunctionWorker

    qtbot.waitUntil(lambda: not FunctionWorker._worker_set, timeout=60_000)


@pytest.mark.slow
def test_structures_stream_in_and_cancel_keeps_what_is_ready(dock, viewer, qtbot, echo, notified):
    held(qtbot, viewer, dock, echo)
    press(qtbot, dock.cancel)
    assert running(viewer) is None
    no_thread_left(qtbot)
    assert len(result_layers(viewer)) == 1
    assert not dock.cancel.isEnabled()
    assert [n for n in notified if n[0] == "error"] == []
    echo.gate.set()
    run(qtbot, viewer, dock)
    assert len(result_layers(viewer)) == 11


@pytest.mark.slow
def test_a_source_layer_removed_in_mid_run(dock, viewer, qtbot, echo, notified):
    held(qtbot, viewer, dock, echo)
    viewer.layers.remove("membrane")
    assert running(viewer) is None
    assert any("'membrane' was removed" in message for _, message in notified)
    no_thread_left(qtbot)
    assert len(result_layers(viewer)) == 1


@pytest.mark.slow
def test_a_result_layer_removed_in_mid_run_disturbs_nothing(dock, viewer, qtbot, echo, notified):
    held(qtbot, viewer, dock, echo)
    viewer.layers.remove(next(iter(result_layers(viewer).values())))
    echo.gate.set()
    finished(qtbot, viewer)
    assert len(result_layers(viewer)) == 10
    assert [n for n in notified if n[0] == "error"] == []


@pytest.mark.slow
@pytest.mark.parametrize("change", ["model", "device"])
def test_the_model_changed_in_mid_run(dock, viewer, qtbot, echo, notified, change):
    held(qtbot, viewer, dock, echo)
    session = session_of(viewer)
    session.choose_model("other") if change == "model" else session.choose_device("cpu")
    assert running(viewer) is None
    assert any("model was changed" in message for _, message in notified)
    no_thread_left(qtbot)
    assert session.model is None


@pytest.mark.slow
def test_a_second_run_overtakes_the_first(dock, viewer, qtbot, echo):
    held(qtbot, viewer, dock, echo)
    dock.structures.tick(["ZO1"])
    press(qtbot, dock.run)
    echo.gate.set()
    finished(qtbot, viewer)
    no_thread_left(qtbot)
    assert {fields(layer)["structure"] for layer in result_layers(viewer).values()} == {
        "alpha-actinin",
        "ZO1",
    }


@pytest.mark.slow
def test_the_viewer_closed_in_mid_run_leaves_nothing_running(dock, viewer, qtbot, echo):
    before = set(threading.enumerate())
    held(qtbot, viewer, dock, echo)
    task = running(viewer)
    viewer.close()
    assert task.token.cancelled
    no_thread_left(qtbot)
    assert task.wait(0)
    assert [t for t in set(threading.enumerate()) - before if not t.daemon and t.name != "MainThread"] == []


@pytest.mark.slow
def test_the_dock_closed_in_mid_run_lets_the_run_end(dock, viewer, qtbot, echo):
    held(qtbot, viewer, dock, echo)
    viewer.window.remove_dock_widget(dock.parent())
    echo.gate.set()
    finished(qtbot, viewer)
    assert len(result_layers(viewer)) == 11
    again = opened_dock(viewer)
    run(qtbot, viewer, again)
    assert len(result_layers(viewer)) == 11


def test_layers_of_different_size(dock, viewer, qtbot, notified):
    other = viewer.add_image(np.zeros((5, 6, 7)), name="Hoechst", scale=(1, 1, 1), units=("µm",) * 3)
    combo = dock.cell.combo("dna")
    combo.layer = other
    press(qtbot, dock.run)
    severity, message = notified[-1]
    assert severity == "error"
    assert "'Hoechst'" in message
    assert "(5, 6, 7)" in message
    assert running(viewer) is None


def test_wrong_layers_are_not_offered_and_explained(viewer, qtbot, notified):
    viewer.add_image(np.zeros((5, 6, 7, 3), np.uint8), rgb=True, name="overview")
    viewer.add_image(np.zeros((6, 7)), name="slice")
    viewer.add_points(np.zeros((1, 3)), name="clicks")
    dock = opened_dock(viewer)
    assert dock.cell.layers == []
    viewer.layers.selection.active = viewer.layers["overview"]
    press(qtbot, dock.run)
    assert "RGB" in notified[-1][1]


def test_a_layer_without_a_voxel_size_asks_for_it(viewer, qtbot, simulated, notified):
    add_cell(viewer, simulated, scale=(1, 1, 1), units=("pixel",) * 3)
    dock = opened_dock(viewer)
    assert dock.cell.voxel_size.value is None
    press(qtbot, dock.run)
    assert "voxel size of 'membrane' is not known" in notified[-1][1]
    dock.cell.voxel_size.value = simulated.voxel_size
    dock.structures.tick(["fibrillarin"])
    run(qtbot, viewer, dock)
    (made,) = result_layers(viewer).values()
    # It lies over the image in the window, whose voxels napari shows as cubes of 1.
    nucleus, outside = inside(simulated, {"cells": viewer.layers["cell labels"]})
    assert sampled(made, nucleus).mean() > 0.3
    assert sampled(made, outside).mean() < 0.02


def test_a_label_that_does_not_exist(dock, viewer, qtbot, notified):
    labels = viewer.layers["cell labels"]
    labels.data = np.where(labels.data, 5, 0).astype(np.uint8)
    dock.cell.label.setValue(3)
    run(qtbot, viewer, dock)
    assert any(severity == "error" and "no cell with label 3" in message for severity, message in notified)
    assert result_layers(viewer) == {}


def test_a_model_that_cannot_be_opened(dock, viewer, qtbot, notified):
    def broken(source, device):
        raise ValueError("model.json of this bundle is damaged: get the model again.")

    session_of(viewer).open_model = broken
    run(qtbot, viewer, dock)
    assert ("error", "model.json of this bundle is damaged: get the model again.") in notified
