"""The plan of the dock "Mitosis traversal", driven by its buttons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from integrate_window import needs_display
from traverse_window import (
    BETWEEN,
    STAGES,
    checked,
    choose,
    library_walk,
    made,
    opened,
    planned,
    tiny_model,
)

from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.walk.paths import PATHS

pytestmark = [pytest.mark.gui, needs_display]


def test_the_dock_shows_the_models_stages_and_the_papers_walk(dock, viewer, walker):
    assert list(dock.way.strip.buttons) == list(STAGES)
    assert checked(dock) == ["interphase", *BETWEEN, "metaphase"]
    assert dock.way.start.currentData() == "interphase"
    assert [dock.way.end.itemData(i) for i in range(dock.way.end.count())] == list(STAGES)
    assert dock.way.strip.buttons["prophase-2"].accessibleName() == "Prophase 2, stop 3 of 5"
    assert not dock.way.strip.buttons["anaphase"].isEnabled()
    assert "medoid of 5 cells" in dock.way.strip.buttons["anaphase"].toolTip()
    for path in PATHS:
        expected = library_walk(walker, ["interphase", *BETWEEN, "metaphase"], path=path)
        norm, turn = dock.plot.curves[path]
        np.testing.assert_array_equal(norm.getData()[1], expected.norm)
        np.testing.assert_array_equal(turn.getData()[1], np.diff(expected.turned))
    assert dock.memory.text().startswith("41 frames × 4 channels: 8 MB, all kept")


def test_controls_change_the_sessions_plan_and_the_plan_the_controls(dock, viewer, qtbot, walker):
    session = session_of(viewer)
    choose(dock.way.end, "anaphase")
    assert checked(dock) == ["interphase", *BETWEEN, "metaphase", "anaphase"]
    dock.way.strip.buttons["prophase-2"].click()
    dock.way.strip.buttons["metaphase"].click()
    dock.way.strip.buttons["interphase"].click()  # an end cannot be passed by
    assert checked(dock) == ["interphase", "prophase-1", "prometaphase-1", "anaphase"]
    dock.way.steps.setValue(4)
    choose(dock.way.path, "straight")
    choose(dock.way.easing, "smooth")
    dock.structures.tick(["ZO1", "TOM20"])
    dock.budget.setValue(10)
    planned(dock, qtbot)
    plan = session.traverse.plan
    assert plan.through == ("prophase-1", "prometaphase-1")
    assert (plan.steps, plan.path, plan.easing) == (4, "straight", "smooth")
    assert (plan.structures, plan.budget) == (("TOM20", "ZO1"), 10)
    names = ["interphase", "prophase-1", "prometaphase-1", "anaphase"]
    expected = library_walk(walker, names, 4, path="straight", easing="smooth")
    np.testing.assert_array_equal(dock.plot.curves["straight"][0].getData()[1], expected.norm)
    session.traverse.plan = replace(plan, end="prophase-2", through=None, steps=7)
    assert dock.way.end.currentData() == "prophase-2"
    assert dock.way.steps.value() == 7
    assert checked(dock) == ["interphase", "prophase-1", "prophase-2"]
    planned(dock, qtbot)
    np.testing.assert_array_equal(
        dock.plot.curves["radial"][0].getData()[1],
        library_walk(walker, ["interphase", "prophase-1", "prophase-2"], 7, easing="smooth").norm,
    )


def test_a_walk_back_goes_the_other_way(dock, viewer, qtbot, walker):
    choose(dock.way.start, "anaphase")
    choose(dock.way.end, "prophase-2")
    shown = made(viewer, dock, qtbot)
    assert [stop.name for stop in shown.traversal.walk.stops] == [
        "anaphase",
        "metaphase",
        "prometaphase-1",
        "prophase-2",
    ]


def test_a_plan_that_stands_still_is_said_and_not_walked(dock, viewer, qtbot, notified):
    choose(dock.way.end, "interphase")
    planned(dock, qtbot)
    assert "the same position" in dock.plot.words.text()
    assert not dock.plot.curves
    dock.make.click()
    qtbot.waitUntil(lambda: bool(notified), timeout=60_000)
    assert "the same position" in notified[-1][1]
    assert session_of(viewer).traverse.walk is None


def test_a_model_without_landmarks_and_one_with_others(viewer, qtbot):
    session, bare = session_of(viewer), tiny_model("bare", ())
    others = tiny_model("others", ("prophase-1", "metaphase", "anaphase"))
    session.open_model = lambda source, device: bare if source == "bare" else others
    session.choose_model("bare")
    dock = opened(viewer, qtbot)
    assert "has no landmarks" in dock.plot.words.text()
    session.choose_model("others")
    qtbot.waitUntil(lambda: bool(dock.way.strip.buttons), timeout=60_000)
    planned(dock, qtbot)
    assert checked(dock) == ["prophase-1", "metaphase"]
    assert (session.traverse.plan.start, session.traverse.plan.end) == ("prophase-1", "metaphase")
    assert dock.plot.curves
