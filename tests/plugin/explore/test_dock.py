"""The axes of the dock "Latent explorer", driven by its sliders and buttons."""

from __future__ import annotations

import numpy as np
import pytest
from explore_window import SHOWN, assert_shows, choose, drag, opened, settled
from integrate_window import needs_display, press

from napari_integrated_cell.plugin.explore import actions as explore_actions
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]


@pytest.fixture
def session(viewer):
    return session_of(viewer)


# ------------------------------------------------------------------------------------------------ axes


def test_rows_show_axes_by_falling_share(dock, session, model):
    shown = [row for row in dock.sliders.rows if row.isVisibleTo(dock)]
    explained = model.latent.z_ref.explained
    assert len(shown) == model.config.n_ref == 8
    for i, row in enumerate(shown):
        assert row.name.text() == f"PC {i + 1} · {100 * explained[i]:.1f} %"
    dock.sliders.count.setValue(3)
    assert sum(row.isVisibleTo(dock) for row in dock.sliders.rows) == 3


def test_raw_dimensions_are_found_by_number(dock, viewer, session, qtbot):
    choose(dock.sliders.basis, False)
    dock.sliders.search.setText("6, 2")
    shown = [row for row in dock.sliders.rows if row.isVisibleTo(dock)]
    assert [row.name.text().split(" ·")[0] for row in shown] == ["z 2", "z 6"]
    shown[1].value.setValue(-1.5)
    assert session.scene.position.z_ref[6] == -1.5
    dock.sliders.search.setText("77")
    assert dock.sliders.none.isVisibleTo(dock)
    dock.sliders.search.clear()
    assert not dock.sliders.none.isVisibleTo(dock)


def test_a_structures_own_space(dock, viewer, session, model, qtbot):
    choose(dock.sliders.space, "lamin-B1")
    assert "lamin-B1" in session.scene.shown  # else its sliders would do nothing
    drag(dock.sliders.rows[0], 2.0)
    settled(viewer, qtbot)
    assert list(session.scene.position.z_struct) == ["lamin-B1"]
    assert_shows(viewer, session.scene.position, (*SHOWN, "lamin-B1"))
    choose(dock.sliders.space, "ZO1")
    assert not dock.sliders.basis.isEnabled()  # its principal axes are unknown
    assert dock.sliders.rows[0].name.text().startswith("z 0")


def test_lock_and_reset_by_their_buttons(dock, viewer, session, qtbot):
    rows = dock.sliders.rows
    drag(rows[0], 2.0)
    drag(rows[1], -2.0)
    rows[0].lock.click()
    assert session.explore.held == {0}
    press(qtbot, dock.sliders.back)
    assert rows[0].value.value() == 2.0
    assert rows[1].value.value() == pytest.approx(
        explore_actions.axes_of(session).values(session.scene.start.z_ref)[1], abs=0.01
    )
    press(qtbot, rows[0].back)
    np.testing.assert_allclose(session.scene.position.z_ref, session.scene.start.z_ref, atol=1e-4)


def test_the_random_walk_plays_and_pauses(dock, viewer, session, qtbot):
    dock.sliders.rows[0].lock.click()
    held, start = dock.sliders.rows[0].value.value(), session.scene.position
    seen = []
    session.scene.events.position.connect(seen.append)
    press(qtbot, dock.sliders.walk)
    qtbot.waitUntil(lambda: len(seen) > 8, timeout=60_000)
    press(qtbot, dock.sliders.walk)
    assert not session.explore.walking
    n = len(seen)
    qtbot.wait(200)
    assert len(seen) == n
    assert dock.sliders.rows[0].value.value() == held
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position)
    press(qtbot, dock.positions.undo)
    assert session.scene.position == start


def test_a_hand_on_a_slider_ends_the_walk(dock, session, qtbot):
    press(qtbot, dock.sliders.walk)
    drag(dock.sliders.rows[2], 1.0)
    assert not session.explore.walking
    assert dock.sliders.walk.text() == "R&andom walk"


def test_what_changes_along_an_axis_is_drawn_beside_it(dock, viewer, session, qtbot):
    dock.sliders.count.setValue(3)
    dock.sliders.effects.click()
    rows = dock.sliders.rows[:3]
    qtbot.waitUntil(lambda: all(row.effect.effect is not None for row in rows), timeout=60_000)
    assert all(row.effect.isVisibleTo(dock) for row in rows)
    assert "nucleus volume" in rows[0].effect.toolTip()
    dock.sliders.count.setValue(4)
    qtbot.waitUntil(lambda: dock.sliders.rows[3].effect.effect is not None, timeout=60_000)
    dock.sliders.effects.click()
    assert not rows[0].effect.isVisibleTo(dock)


# ------------------------------------------------------------------------------------------------ the whole dock


def test_a_value_has_room_for_its_number(dock):
    dock.grab()  # a window that is not shown lays its widgets out when they are asked for their picture
    value = dock.sliders.rows[0].value
    assert value.lineEdit().width() >= value.fontMetrics().horizontalAdvance("-12.25")


def test_it_fits_beside_an_image_in_a_small_window(dock):
    assert dock.minimumSizeHint().width() <= 400
    assert dock.minimumSizeHint().height() <= 400


@pytest.mark.slow
def test_the_demo_model_under_the_hand(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot)
    session = session_of(viewer)
    drag(dock.sliders.rows[0], 0.5, 1.0)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position, session.scene.shown)
    choose(dock.origin, "metaphase")
    press(qtbot, dock.start)
    settled(viewer, qtbot)
    assert_shows(viewer, session.scene.position, session.scene.shown)
