"""Axes of the latent spaces, and their effects on decoded cells."""

from __future__ import annotations

import numpy as np
import pytest
from explore_window import lying
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_integrated_cell.latent.axes import principal_axes, raw_axes
from napari_integrated_cell.latent.axis_effects import (
    SHAPE,
    STRUCTURE,
    AxisEffect,
    axis_effect,
    enclosed,
    measure_shape,
    measure_structure,
    quantities,
)
from napari_integrated_cell.latent.position import Position, decode
from napari_integrated_cell.model.latent import LatentDistribution
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

D = 6
VOXEL = 0.5


@pytest.fixture(scope="module")
def distribution():
    return lying(D, 0)


# ------------------------------------------------------------------------------------------------ axes


@given(st.integers(0, 10**6), st.integers(0, D - 1), st.floats(-5, 5))
def test_a_move_along_an_axis_is_that_move_and_no_other(seed, axis, value):
    axes = principal_axes(lying(D, 0))
    z = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    before, after = axes.values(z), axes.values(axes.moved(z, {axis: value}))
    assert after[axis] == pytest.approx(value, abs=1e-4)
    others = np.arange(D) != axis
    np.testing.assert_allclose(after[others], before[others], atol=1e-4)


def test_principal_axes_count_standard_deviations_from_the_mean(distribution):
    axes = principal_axes(distribution)
    np.testing.assert_allclose(axes.values(distribution.mean), 0, atol=1e-6)
    cells = np.random.default_rng(1).multivariate_normal(distribution.mean, distribution.covariance, 4000)
    values = np.stack([axes.values(z.astype(np.float32)) for z in cells])
    np.testing.assert_allclose(values.std(0), 1, atol=0.06)
    assert (np.diff(axes.shares) <= 0).all()
    assert axes.shares.sum() == pytest.approx(1)


def test_axes_along_which_nothing_varies_are_left_out():
    flat = LatentDistribution.of_moments(9, np.zeros(3), np.diag([2.0, 1.0, 0.0]))
    axes = principal_axes(flat)
    assert axes.names == ("PC 1", "PC 2")
    z = np.float32([1, 2, 3])
    assert axes.moved(z, {0: 0.0})[2] == 3  # and stay as they are


def test_raw_dimensions_are_the_position_itself(distribution):
    axes = raw_axes(D, distribution)
    z = np.arange(D, dtype=np.float32)
    np.testing.assert_array_equal(axes.values(z), z)
    assert axes.moved(z, {2: 7.0, 3: -1.0}).tolist() == [0, 1, 7, -1, 4, 5]
    assert axes.shares.sum() == pytest.approx(1)
    assert raw_axes(D).shares is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [*range(12)]),
        ("3", [3]),
        ("3, 7 11", [3, 7, 11]),
        ("9-40", [9, 10, 11]),
        ("9–10", [9, 10]),
        ("z 4", [4]),
        ("99", []),
        ("-", []),
        ("1-99999999999999", [*range(1, 12)]),
    ],
)
def test_axes_are_found_by_number(query, found):
    assert raw_axes(12).found(query) == found


def test_principal_axes_are_found_by_the_number_in_their_name(distribution):
    assert principal_axes(distribution).found("1 3") == [0, 2]


# ------------------------------------------------------------------------------------------------ measuring


def drawn(radii, nucleus, centre=(12, 24, 32), shape=(24, 48, 64)):
    """A cell's shell and its nucleus, ellipsoids of radii (z, y, x) in µm, blurred as by a microscope."""
    grid = (np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))) * VOXEL

    def depth(r):
        return np.sqrt(((grid / np.reshape(r, (3, 1, 1, 1))) ** 2).sum(0))

    thickness = (1 - depth(radii)) * min(radii)
    shell = ndimage.gaussian_filter((np.abs(thickness) < 0.3).astype(np.float32), 0.8)
    dna = ndimage.gaussian_filter((depth(nucleus) < 1).astype(np.float32), 0.5)
    return shell / shell.max(), dna / dna.max()


def volume(radii):
    return 4 / 3 * np.pi * np.prod(radii)


@pytest.mark.parametrize("radii", [(4.5, 8.0, 8.0), (4.0, 7.0, 11.0), (5.0, 9.5, 12.0)])
def test_a_drawn_cell_has_the_measures_it_was_drawn_with(radii):
    nucleus = (2.5, 3.0, 5.0)
    found = measure_shape(*drawn(radii, nucleus), VOXEL)
    assert list(found) == [q.name for q in SHAPE]
    assert found["cell_volume"] == pytest.approx(volume(radii), rel=0.12)
    assert found["nucleus_volume"] == pytest.approx(volume(nucleus), rel=0.08)
    assert found["height"] == pytest.approx(2 * radii[0], rel=0.12)
    assert found["elongation"] == pytest.approx(radii[2] / radii[1], rel=0.06)
    assert found["nucleus_eccentricity"] == pytest.approx((1 - (3 / 5) ** 2) ** 0.5, abs=0.05)


def test_measures_change_evenly_with_the_cell():
    """Sub-voxel precision: a cell that grows by a tenth of a voxel is higher and larger."""
    measures = [measure_shape(*drawn((h, 8.0, 10.0), (2.5, 3.0, 4.0)), VOXEL) for h in np.arange(4, 5, 0.1)]
    for name in ("cell_volume", "height"):
        assert (np.diff([m[name] for m in measures]) >= 0).mean() > 0.8
        assert measures[-1][name] > 1.1 * measures[0][name]


def test_both_halves_of_a_dividing_nucleus_count_and_specks_do_not():
    shell, one = drawn((4, 8, 12), (2, 2, 2), centre=(12, 24, 24))
    _, other = drawn((4, 8, 12), (2, 2, 2), centre=(12, 24, 40))
    dna = one + other
    dna[2, 3, 3] = 1.0
    found = measure_shape(shell, dna, VOXEL)
    assert found["nucleus_volume"] == pytest.approx(2 * volume((2, 2, 2)), rel=0.15)


def test_a_gap_in_the_membrane_does_not_lose_the_cell():
    shell, dna = drawn((5, 8, 11), (2, 3, 4))
    whole = measure_shape(shell, dna, VOXEL)["cell_volume"]
    holed = shell.copy()
    holed[11:14, 22:27, :14] = 0  # at one pole
    assert measure_shape(holed, dna, VOXEL)["cell_volume"] == pytest.approx(whole, rel=0.1)


def test_what_is_not_there_is_not_a_number():
    empty = np.zeros((8, 9, 10), np.float32)
    assert all(np.isnan(v) for v in measure_shape(empty, empty, VOXEL).values())
    found = measure_structure(empty, VOXEL)
    assert found["amount"] == 0
    assert np.isnan(found["spread"])
    assert not enclosed(empty > 0).any()


def test_a_structures_light():
    light = np.zeros((10, 20, 30), np.float32)
    light[4:6, 8:12, 10:20] = 0.5
    found = measure_structure(light, VOXEL)
    assert list(found) == [q.name for q in STRUCTURE]
    assert found["amount"] == pytest.approx(0.5 * 80 * VOXEL**3)
    assert found["height_of_centre"] == pytest.approx(4.5 * VOXEL)
    expected = VOXEL * np.sqrt(sum((n**2 - 1) / 12 for n in (2, 4, 10)))
    assert found["spread"] == pytest.approx(expected)


# ------------------------------------------------------------------------------------------------ effects


def test_an_effect_is_what_is_measured_on_the_decoded_cells(model):
    axes = principal_axes(model.latent.z_ref)
    start = Position(np.full(model.config.n_ref, 0.2))
    found = axis_effect(model, start, "z_ref", axes, 1, steps=(1.5, -1.5))
    assert found.steps.tolist() == [-1.5, 1.5]
    for i, step in enumerate(found.steps):
        cell = decode(model, Position(axes.moved(start.z_ref, {1: step})), ["membrane", "dna"])
        measured = measure_shape(cell["membrane"], cell["dna"], model.config.voxel_size)
        for name, value in measured.items():
            np.testing.assert_equal(found.measured[name][i], value)
    change = found.measured["nucleus_volume"]
    assert found.change("nucleus_volume") == pytest.approx((change[1] - change[0]) / change.mean())


def test_along_an_axis_of_a_structure_its_light_is_measured(model):
    axes = principal_axes(model.latent.z_struct["TOM20"])
    found = axis_effect(model, Position(np.zeros(model.config.n_ref)), "TOM20", axes, 0)
    assert tuple(found.measured) == tuple(q.name for q in quantities("TOM20"))
    assert np.ptp(found.measured["amount"]) > 0


def test_where_an_end_could_not_be_measured_the_change_is_unknown():
    steps = np.array([-1.0, 0.0, 1.0])
    values = {"height": np.array([np.nan, 2.0, 3.0]), "spread": np.full(3, np.nan), "amount": np.zeros(3)}
    effect = AxisEffect(steps, values)
    assert np.isnan(effect.change("height"))
    assert np.isnan(effect.change("spread"))
    assert effect.change("amount") == 0


def test_measuring_can_be_stopped(model):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        axis_effect(
            model,
            Position(np.zeros(model.config.n_ref)),
            "z_ref",
            raw_axes(model.config.n_ref),
            0,
            cancel=token,
        )
