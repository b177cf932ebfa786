"""Grids, random fields and splats: the same result on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_integrated_cell.simulation.grid import Grid, Waves, blend_max

spacings = st.tuples(*[st.floats(0.1, 0.9)] * 3)


@given(low=st.tuples(*[st.floats(-20, 5)] * 3), size=st.tuples(*[st.floats(0.5, 12)] * 3), voxel=spacings)
@settings(deadline=None, max_examples=50)
def test_a_grid_covers_its_box_and_no_more_than_a_voxel_beyond(low, size, voxel):
    high = np.add(low, size)
    grid = Grid.covering(low, high, voxel, margin=0.5)
    first = np.asarray(grid.origin)
    last = first + (np.asarray(grid.shape) - 1) * voxel
    assert (first <= np.subtract(low, 0.5) + 1e-9).all()
    assert (last >= high + 0.5 - 1e-9).all()
    assert (first > np.subtract(low, 0.5) - np.asarray(voxel) - 1e-9).all()
    assert (last < high + 0.5 + np.asarray(voxel) + 1e-9).all()
    # Voxel centres lie at whole multiples of the voxel size: grids of one spacing fit into each other.
    assert np.allclose(first / voxel, np.rint(first / voxel), atol=1e-6)


@given(point=st.tuples(*[st.floats(-2, 2)] * 3), voxel=spacings)
@settings(deadline=None, max_examples=50)
def test_a_splatted_point_keeps_its_place_and_its_weight(point, voxel):
    grid = Grid.covering((-3, -3, -3), (3, 3, 3), voxel)
    density = grid.splat(np.array([point]), 2.5).astype(float)
    assert density.sum() * grid.voxel_volume == pytest.approx(2.5, rel=1e-4)
    centre = [float((density * axis).sum() / density.sum()) for axis in grid.axes]
    assert centre == pytest.approx(point, abs=1e-3)


def test_points_outside_the_grid_are_left_out():
    grid = Grid.covering((0, 0, 0), (2, 2, 2), (0.5, 0.5, 0.5))
    assert grid.splat(np.array([[9.0, 1, 1], [1, -4, 1]])).sum() == 0


def test_waves_are_the_same_field_on_every_grid_and_of_unit_variance():
    waves = Waves(np.random.default_rng(0), 2.0, 64)
    grid = Grid.covering((0, 0, 0), (12, 12, 12), (0.5, 0.4, 0.6))
    on = waves.on(grid)
    everywhere = grid.points(np.ones(grid.shape, bool))
    assert np.allclose(on.ravel(), waves.at(everywhere), atol=1e-4)
    assert abs(on.mean()) < 0.1
    assert on.std() == pytest.approx(1, abs=0.15)


@given(a=st.floats(-9, 9), b=st.floats(-9, 9), k=st.floats(0, 4))
def test_a_rounded_maximum_is_never_below_the_plain_one_nor_more_than_a_quarter_of_its_width_above(a, b, k):
    rounded = float(blend_max(np.float64(a), np.float64(b), k))
    assert max(a, b) - 1e-6 <= rounded <= max(a, b) + k / 4 + 1e-6
