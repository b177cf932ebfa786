"""Imaging with faults: the edge of the field, wrong voxel sizes, blur, light and masks that are off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ic_train.data.prepare import prepare
from napari_ic_train.evaluation.simulated_truth import SimulatedTruth
from napari_integrated_cell.imaging.pose import Box
from napari_integrated_cell.simulation import simulate_cell, simulate_shape, write_dataset
from napari_integrated_cell.simulation.acquisition import Acquisition
from napari_integrated_cell.simulation.cells import drawn_acquisition, drawn_population
from napari_integrated_cell.simulation.grid import Grid

SEEDS = st.integers(0, 2**32 - 1)


def cut_seeds(count: int) -> list[int]:
    """Seeds of the first cells that varied imaging cuts."""
    return [seed for seed in range(200) if drawn_acquisition(seed, "varied").is_cut][:count]


@given(SEEDS)
def test_faults_stay_within_what_real_files_have(seed):
    drawn = drawn_acquisition(seed, "varied")
    assert all(1 / 1.3 - 1e-9 <= s <= 1.3 + 1e-9 for s in drawn.stated)
    assert drawn.stated[1] == drawn.stated[2]
    assert min(drawn.blur) >= 1
    assert 0 <= drawn.fading < 1
    assert np.isfinite(list(drawn.parameters().values())).all()
    assert drawn == drawn_acquisition(seed, "varied")


def test_ideal_imaging_has_no_faults():
    assert drawn_acquisition(5, "ideal") == Acquisition()


def test_about_one_cell_in_seven_is_cut_and_three_in_ten_are_spread():
    assert np.mean([drawn_acquisition(seed, "varied").is_cut for seed in range(1000)]) == pytest.approx(
        0.15, abs=0.03
    )
    spread = np.mean([drawn_population(seed, "mixed") == "spread" for seed in range(1000)])
    assert spread == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("seed", cut_seeds(4))
def test_the_edge_of_the_field_cuts_the_cell_and_leaves_its_nucleus_centre(seed):
    cut, whole = (
        simulate_cell(seed, voxel_size=0.6, imaging=imaging).cell for imaging in ("varied", "ideal")
    )
    axis, side, _ = drawn_acquisition(seed, "varied").edge
    assert np.take(cut.cell_mask, 0 if side < 0 else -1, axis).any()
    assert cut.cell_mask.shape[axis] < whole.cell_mask.shape[axis]
    assert cut.nucleus_mask.sum() > 0.4 * whole.nucleus_mask.sum()


@given(
    shape=st.tuples(*[st.integers(2, 30)] * 3),
    axis=st.integers(0, 2),
    place=st.floats(-20, 40),
    voxel=st.floats(0.1, 2),
)
def test_the_two_parts_of_a_grid_make_the_grid(shape, axis, place, voxel):
    grid = Grid(shape, (0.0, -1.0, 3.0), (voxel, voxel, voxel))
    low, high = grid.cut(axis, 1, place), grid.cut(axis, -1, place)
    assert low.shape[axis] + high.shape[axis] == grid.shape[axis]
    assert min(low.shape[axis], high.shape[axis]) >= 1
    joined = np.concatenate([low.axes[axis].ravel(), high.axes[axis].ravel()])
    np.testing.assert_allclose(joined, grid.axes[axis].ravel(), atol=1e-4)


def test_segmentations_may_be_too_large_or_too_small():
    seeds = range(8)
    grown = [drawn_acquisition(seed, "varied").grown[1] for seed in seeds]
    ratios = []
    for seed in seeds:
        varied, ideal = (
            simulate_cell(seed, voxel_size=0.3, imaging=imaging, noise=False)
            for imaging in ("varied", "ideal")
        )
        ratios.append(varied.cell.nucleus_mask.sum() / ideal.cell.nucleus_mask.sum())
    whole = [i for i, seed in enumerate(seeds) if not drawn_acquisition(seed, "varied").is_cut]
    assert np.corrcoef(np.array(grown)[whole], np.array(ratios)[whole])[0, 1] > 0.8


def test_light_fades_towards_the_top_and_haze_is_everywhere():
    shape = simulate_shape(3)
    grid = shape.grid((0.6, 0.6, 0.6))
    image = np.zeros(grid.shape, np.float32)
    image[:, 5, 5] = 1
    lit = replace(Acquisition(), fading=0.5, haze=0.1).lit(image, grid, shape)
    assert lit[-1, 5, 5] == pytest.approx(0.5 * lit[0, 5, 5], rel=0.1)
    assert lit.min() > 0
    assert Acquisition().lit(image, grid, shape) is image


def test_a_data_set_states_the_wrong_voxel_size_and_its_truth_is_in_place(tmp_path):
    manifest = write_dataset(
        tmp_path / "cells", 6, seed=4, voxel_size=0.8, population="mixed", imaging="varied"
    )
    store = prepare(manifest, tmp_path / "store", Box((16, 24, 32), 1.5), workers=1)
    truth = SimulatedTruth(store)
    assert truth.table["stated_z"].nunique() > 2
    assert set(truth.table["population"]) == {"hipsc", "spread"}
    for position in range(len(store)):
        expected = truth.expected(position, draws=2)  # raises an error if the cell has another pose
        light = store.images(np.array([position])).numpy()[0, 2]
        assert np.corrcoef(expected.ravel(), light.ravel())[0, 1] > 0.3
