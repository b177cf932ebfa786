"""The explorer's actions, on a session without a window."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.latent.axis_effects import axis_effect
from napari_integrated_cell.latent.position import Position, read_positions, write_positions
from napari_integrated_cell.latent.projection import SHAPE
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.plugin.explore import actions as explore_actions
from napari_integrated_cell.plugin.explore.random_walk import RandomWalk
from napari_integrated_cell.plugin.layers.place import ORIGIN, ImageFrame, Place
from napari_integrated_cell.walk.traversal import stop_at_cell

STAGES = ("interphase", "metaphase")


@pytest.fixture
def under_way(session):
    """A session that has set out from a landmark."""
    explore_actions.start_from(session, "metaphase")
    return session


def values(session, space=SHAPE):
    """Where the session is on the principal axes of a space."""
    axes = explore_actions.axes_of(session, (space, True))
    return axes.values(explore_actions.vector(session, session.scene.position, space))


# ------------------------------------------------------------------------------------------------ start


def test_starting_at_the_mode_and_at_landmarks(session, model):
    explore_actions.start_from(session, explore_actions.MODE)
    assert session.scene.position == Position(np.zeros(model.config.n_ref))
    for mark in model.landmarks:
        explore_actions.start_from(session, mark.stage)
        np.testing.assert_array_equal(session.scene.position.z_ref, mark.z_ref)
        assert session.scene.start is session.scene.position
    session.scene.undo()
    session.scene.undo()
    assert session.scene.position == Position(np.zeros(model.config.n_ref))


def test_a_stage_without_a_landmark_and_a_cell_that_is_not_there(session, notified):
    explore_actions.start_from(session, "anaphase")
    assert "no landmark of anaphase" in notified[-1][1]
    assert session.scene.position is None
    with pytest.raises(ValueError, match="no active cell"):
        explore_actions.start_from(session, explore_actions.CELL)


def test_starting_at_the_active_cell_encodes_it_in_its_place(session, model, simulated):
    session.integrate.cell = simulated
    explore_actions.start_from(session, explore_actions.CELL)
    np.testing.assert_array_equal(session.scene.position.z_ref, stop_at_cell(model, simulated).z_ref)
    assert session.scene.position.name == simulated.name
    expected = pose_of(simulated, model_box(model.config)).layer_affine
    np.testing.assert_allclose(session.scene.place.affine, expected)


def test_the_place_of_an_integrated_cell_is_kept(session, simulated):
    session.integrate.cell, session.integrate.integration = (
        simulated,
        SimpleNamespace(cell=replace(simulated)),
    )
    session.scene.place = over = Place(np.diag([2.0, 2.0, 2.0, 1.0]))
    explore_actions.start_from(session, explore_actions.CELL)
    assert session.scene.place is over


def test_a_cell_of_a_layer_lies_over_that_layer(session, model, simulated):
    ground = ImageFrame(np.diag([2.0, 2.0, 2.0, 1.0]), ("micrometer",) * 3, "image")
    session.integrate.cell, session.integrate.image_frame = simulated, ground
    # Another cell of that name was integrated before.
    session.integrate.integration = SimpleNamespace(cell=replace(simulated))
    explore_actions.start_from(session, explore_actions.CELL)
    expected = ground.to_world @ pose_of(simulated, model_box(model.config)).layer_affine
    np.testing.assert_allclose(session.scene.place.affine, expected)


def test_starting_where_one_is(session):
    with pytest.raises(ValueError, match="no position"):
        explore_actions.start_from(session, explore_actions.HERE)
    explore_actions.start_from(session, "metaphase")
    explore_actions.move(session, 0, 1.0)
    explore_actions.start_from(session, explore_actions.HERE)
    assert session.scene.start is session.scene.position
    session.scene.undo()
    assert session.scene.position != session.scene.start


def test_a_random_draw_is_a_whole_cell_and_another_each_time(session, model):
    explore_actions.start_from(session, explore_actions.DRAW, seed=1)
    first = session.scene.position
    assert set(first.z_struct) == set(model.config.structures)
    explore_actions.start_from(session, explore_actions.DRAW, seed=2)
    assert session.scene.position != first
    explore_actions.start_from(session, explore_actions.DRAW, seed=1)
    assert session.scene.position == first


def test_a_random_draw_leaves_locked_axes_alone(under_way):
    session = under_way
    explore_actions.lock(session, 2, True)
    explore_actions.change(session, space="TOM20")
    explore_actions.lock(session, 1, True)
    before, before_struct = values(session), values(session, "TOM20")
    explore_actions.start_from(session, explore_actions.DRAW, seed=5)
    after, after_struct = values(session), values(session, "TOM20")
    assert after[2] == pytest.approx(before[2], abs=1e-4)
    assert after_struct[1] == pytest.approx(before_struct[1], abs=1e-4)
    assert np.abs(np.delete(after - before, 2)).min() > 1e-3
    assert np.abs(np.delete(after_struct - before_struct, 1)).min() > 1e-3


# ------------------------------------------------------------------------------------------------ axes


def test_a_move_changes_one_axis(under_way):
    session, before = under_way, values(under_way)
    explore_actions.move(session, 3, 1.25)
    after = values(session)
    assert after[3] == pytest.approx(1.25, abs=1e-4)
    np.testing.assert_allclose(np.delete(after, 3), np.delete(before, 3), atol=1e-4)
    assert session.scene.position.name == ""  # it is not the landmark any more
    session.scene.undo()
    assert session.scene.position == session.scene.start


def test_a_move_in_a_structures_space_leaves_the_shape(under_way):
    session = under_way
    explore_actions.change(session, space="TOM20")
    explore_actions.move(session, 0, 2.0)
    assert session.scene.position.z_struct.keys() == {"TOM20"}
    np.testing.assert_array_equal(session.scene.position.z_ref, session.scene.start.z_ref)
    assert values(session, "TOM20")[0] == pytest.approx(2.0, abs=1e-4)


def test_raw_dimensions_where_no_statistics_are_known(under_way, model):
    session = under_way
    explore_actions.change(session, space="ZO1")
    assert not explore_actions.has_principal(session, "ZO1")
    axes = explore_actions.axes_of(session)
    assert axes.names[0] == "z 0"
    assert len(axes) == model.config.n_struct
    explore_actions.change(session, space=SHAPE, principal=False)
    explore_actions.move(session, 1, -2.0)
    assert session.scene.position.z_ref[1] == -2


def test_reset_of_one_axis_and_of_all_that_are_free(under_way):
    session, start = under_way, values(under_way)
    for axis in range(3):
        explore_actions.move(session, axis, 3.0)
    explore_actions.reset(session, 1)
    np.testing.assert_allclose(values(session)[:3], [3, start[1], 3], atol=1e-4)
    explore_actions.lock(session, 2, True)
    explore_actions.reset(session)
    np.testing.assert_allclose(values(session)[:3], [start[0], start[1], 3], atol=1e-4)


def test_a_walk_is_smooth_stays_among_the_cells_and_leaves_locked_axes_alone(under_way):
    session, random_walk = under_way, RandomWalk(under_way, seed=0)
    explore_actions.lock(session, 0, True)
    held = values(session)[0]
    random_walk.step(remember=True)
    walked = [values(session)]
    for _ in range(1500):
        random_walk.step()
        walked.append(values(session))
    walked = np.array(walked)
    np.testing.assert_allclose(walked[:, 0], held, atol=1e-3)
    free = walked[:, 1:]
    assert np.abs(np.diff(free, axis=0)).max() < 0.3
    assert 0.6 < free.std() < 1.4
    session.scene.undo()  # the whole walk is one move
    assert session.scene.position == session.scene.start


# ------------------------------------------------------------------------------------------------ positions


def test_positions_are_kept_by_name_and_come_back_from_a_table(under_way, tmp_path):
    session = under_way
    explore_actions.keep(session, "first")
    explore_actions.move(session, 0, 1.0)
    explore_actions.keep(session, "second")
    explore_actions.move(session, 0, 2.0)
    explore_actions.keep(session, "second")  # again: it is replaced
    assert [p.name for p in session.explore.kept] == ["first", "second"]
    path = explore_actions.save(session, tmp_path / "mine.csv")
    kept = session.explore.kept
    assert tuple(read_positions(path)) == kept
    explore_actions.change(session, kept=())
    explore_actions.open_table(session, path)
    assert session.explore.kept == kept
    assert session.scene.position == kept[0]


def test_without_kept_positions_the_present_one_is_saved(under_way, tmp_path):
    path = explore_actions.save(under_way, tmp_path / "one.csv")
    assert read_positions(path) == [under_way.scene.position]
    assert read_positions(path)[0].weights == fingerprint(under_way.model)


def test_another_models_positions_are_refused_and_nothing_moves(under_way, tmp_path):
    session, foreign = under_way, Position(np.ones(3))
    before = session.scene.position
    with pytest.raises(ValueError, match="another model"):
        explore_actions.paste(session, foreign.to_json())
    path = write_positions(tmp_path / "foreign.csv", [foreign])
    with pytest.raises(ValueError, match="another model"):
        explore_actions.open_table(session, path)
    fitted_again = replace(
        before, weights=fingerprint(IntegratedCell.untrained(session.model.config, seed=9))
    )
    with pytest.raises(ValueError, match="other weights"):
        explore_actions.paste(session, fitted_again.to_json())
    path = write_positions(tmp_path / "fitted_again.csv", [before, fitted_again])
    with pytest.raises(ValueError, match="other weights"):
        explore_actions.open_table(session, path)
    with pytest.raises(ValueError, match="not a latent position"):
        explore_actions.paste(session, "hello")
    assert session.scene.position is before
    assert session.explore.kept == ()


def test_a_pasted_position_can_be_undone(under_way):
    session, before = under_way, under_way.scene.position
    explore_actions.paste(session, Position(before.z_ref + 1, name="pasted").to_json())
    assert session.scene.position.name == "pasted"
    session.scene.undo()
    assert session.scene.position is before


# ------------------------------------------------------------------------------------------------ effects


def test_effects_are_measured_once_from_where_the_user_set_out(under_way, model):
    session = under_way
    explore_actions.move(session, 0, 2.0)
    explore_actions.measure(session, [0, 2])
    found = explore_actions.effects_of(session, [0, 1, 2])
    assert sorted(found) == [0, 2]
    expected = axis_effect(model, session.scene.start, SHAPE, explore_actions.axes_of(session), 2)
    np.testing.assert_array_equal(found[2].measured["nucleus_volume"], expected.measured["nucleus_volume"])
    explore_actions.measure(session, [0, 1])
    assert explore_actions.effects_of(session, [0, 1])[0] is found[0]
    explore_actions.start_from(session, "metaphase")  # the same place again
    assert explore_actions.effects_of(session, [0, 1])[0] is found[0]
    explore_actions.start_from(session, "interphase")
    assert explore_actions.effects_of(session, [0, 1, 2]) == {}


def test_another_model_leaves_nothing_of_the_old_ones_spaces(under_way):
    session = under_way
    explore_actions.change(session, space="TOM20", count=3)
    session.scene.difference = "dna"
    explore_actions.lock(session, 0, True)
    explore_actions.keep(session, "mine")
    session.choose_model("/another")
    explore = session.explore
    assert (explore.space, explore.count) == (SHAPE, 3)
    assert not explore.locked
    assert not explore.kept
    assert not session.scene.difference
    assert session.scene.position is None
    assert session.scene.place is ORIGIN
