"""Render references from masks: right place and width, for any voxel size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_rendering import plain_dna, plain_membrane

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import Box, pose_of, posed_references
from napari_integrated_cell.imaging.rendering import SPINNING_DISC, PointSpread, render_references

ROUND_PSF = PointSpread((0.3, 0.3, 0.3))


def grid(size: tuple[float, ...], voxel_size: tuple[float, ...]) -> list[NDArray[np.float64]]:
    """Coordinates (z, y, x) in µm from the middle of a volume of ``size`` µm."""
    axes = [
        (np.arange(round(s / v)) - (round(s / v) - 1) / 2) * v for s, v in zip(size, voxel_size, strict=True)
    ]
    return np.meshgrid(*axes, indexing="ij")


def ellipsoid_cell(
    voxel_size: tuple[float, float, float],
    axes: tuple[float, float, float] = (3.0, 5.0, 8.0),
    size: tuple[float, float, float] = (11.0, 15.0, 21.0),
) -> Cell:
    where = grid(size, voxel_size)
    inside = sum((c / a) ** 2 for c, a in zip(where, axes, strict=True)) < 1
    nucleus = sum((2 * c / a) ** 2 for c, a in zip(where, axes, strict=True)) < 1
    return Cell({}, inside, nucleus, voxel_size)


@given(
    sigma=st.tuples(*[st.floats(0.15, 0.6)] * 3),
    voxel=st.tuples(*[st.floats(0.1, 0.2)] * 3),
)
@settings(deadline=None, max_examples=25)
def test_a_point_spreads_by_sigma_micrometres_in_every_axis(sigma, voxel):
    shape = tuple(2 * int(np.ceil(4 * s / v)) + 1 for s, v in zip(sigma, voxel, strict=True))
    point = np.zeros(shape)
    point[tuple(n // 2 for n in shape)] = 1
    seen = PointSpread(sigma).blur(point, voxel)
    assert seen.dtype == np.float32
    assert seen.sum() == pytest.approx(1, abs=1e-3)
    for axis in range(3):
        profile = seen.sum(axis=tuple({0, 1, 2} - {axis}))
        at = (np.arange(shape[axis]) - shape[axis] // 2) * voxel[axis]
        assert np.sqrt((profile * at**2).sum()) == pytest.approx(sigma[axis], rel=0.05)


@pytest.mark.parametrize("sigma", [(0.1, 0.1), (0.1, -0.1, 0.1), (0.1, float("nan"), 0.1)])
def test_a_point_spread_has_three_widths(sigma):
    with pytest.raises(ValueError, match="three widths"):
        PointSpread(sigma)


def test_references_are_float32_with_maximum_one_on_the_cells_grid():
    cell = ellipsoid_cell((0.29, 0.2, 0.2))
    references = render_references(cell)
    assert list(references) == ["membrane", "dna"]
    for image in references.values():
        assert image.shape == cell.shape
        assert image.dtype == np.float32
        assert image.min() >= 0
        assert image.max() == 1


# At a Z step of 0.35 µm the poles are 15.2 % brighter than the equator; the public data have 0.29 µm, the box 0.317 µm.
@given(voxel=st.tuples(*[st.floats(0.1, 0.32)] * 3), radius=st.floats(3.0, 4.0))
@settings(deadline=None, max_examples=15)
def test_a_spheres_membrane_lies_at_its_radius_and_shines_alike_all_round(voxel, radius):
    where = grid((12.0, 12.0, 12.0), voxel)
    away = np.sqrt(sum(c**2 for c in where))
    cell = Cell({}, away < radius, away < radius / 2, voxel)
    membrane = render_references(cell, PointSpread((0.4, 0.4, 0.4)))["membrane"]
    # Weighted by brightness, the light lies at the radius: half of it within, half without.
    assert np.average(away, weights=membrane) == pytest.approx(radius, abs=0.12)
    assert membrane[away < radius - 1.6].max() < 0.05
    assert membrane[away > radius + 1.6].max() < 0.05
    # As bright at the poles as at the equator and between: the shell does not depend on the grid.
    ridge = (away > radius - 0.15) & (away < radius + 0.15)
    height = np.abs(where[0][ridge]) / radius
    by_height = [membrane[ridge][(height >= h) & (height < h + 0.25)].mean() for h in (0, 0.25, 0.5, 0.75)]
    assert max(by_height) / min(by_height) < 1.15


def test_a_flat_membranes_profile_is_the_point_spread():
    voxel = (0.1, 0.2, 0.2)
    mask = np.zeros((160, 60, 60), dtype=bool)
    mask[60:100] = True
    membrane = render_references(Cell({}, mask, mask, voxel), ROUND_PSF)["membrane"][:, 30, 30]
    z = np.arange(160) * 0.1
    surfaces = [5.95, 9.95]  # between the voxels
    expected = sum(np.exp(-((z - s) ** 2) / (2 * 0.3**2)) for s in surfaces)
    np.testing.assert_allclose(membrane / membrane.max(), expected / expected.max(), atol=0.03)


@pytest.mark.parametrize("voxel", [(0.29, 0.108333, 0.108333), (0.317, 0.317, 0.317), (0.2, 0.25, 0.15)])
def test_the_same_cell_looks_the_same_at_any_voxel_size(voxel):
    box = Box((32, 48, 64), 0.317)
    fine, other = (
        posed_references(cell, pose_of(cell, box)) for cell in map(ellipsoid_cell, [(0.108333,) * 3, voxel])
    )
    for name, a, b in zip(("membrane", "dna"), fine, other, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98, name
        assert b.mean() == pytest.approx(a.mean(), rel=0.15), name


def test_dna_fills_the_nucleus_and_halves_at_its_edge():
    cell = ellipsoid_cell((0.1, 0.1, 0.1), axes=(6.0, 6.0, 6.0), size=(13.0, 13.0, 13.0))
    dna = render_references(cell, ROUND_PSF)["dna"]
    away = np.sqrt(sum(c**2 for c in grid((13.0, 13.0, 13.0), (0.1, 0.1, 0.1))))
    assert dna[away < 1.8].min() > 0.98
    assert dna[np.abs(away - 3.0) < 0.05].mean() == pytest.approx(0.5, abs=0.06)
    assert dna[away > 4.2].max() < 0.01


def test_a_mask_that_touches_the_crops_edge_has_its_membrane_there():
    mask = np.zeros((30, 40, 50), dtype=bool)
    mask[6:24, 8:32, 10:40] = True
    voxel = (0.2, 0.2, 0.2)
    loose = Cell({}, mask, mask, voxel)
    tight = Cell({}, mask[6:24, 8:32, 10:40], mask[6:24, 8:32, 10:40], voxel)
    expected = render_references(loose)["membrane"][6:24, 8:32, 10:40]
    np.testing.assert_allclose(render_references(tight)["membrane"], expected / expected.max(), atol=0.02)


def test_the_point_spread_is_longer_along_z():
    assert SPINNING_DISC.sigma[0] > 2 * SPINNING_DISC.sigma[1] == 2 * SPINNING_DISC.sigma[2]
    membrane = render_references(ellipsoid_cell((0.1, 0.1, 0.1), axes=(4.0, 4.0, 4.0), size=(10.0,) * 3))[
        "membrane"
    ]
    middle = [n // 2 for n in membrane.shape]
    top, side = membrane[:, middle[1], middle[2]].max(), membrane[middle[0], middle[1], :].max()
    assert top < 0.6 * side


def test_a_cell_that_needs_absurd_memory_is_refused_before_it_is_rendered(monkeypatch):
    mask = np.ones((4, 5, 6), bool)
    monkeypatch.setattr("napari_integrated_cell.imaging.rendering._MOST_VOXELS", 10_000)
    with pytest.raises(
        ValueError, match=r"cell at 0\.01 x 0\.01 x 0\.01 µm .* voxels are needed: check the voxel"
    ):
        render_references(Cell({}, mask, mask, (0.01, 0.01, 0.01)))


@given(
    shape=st.tuples(*[st.integers(2, 16)] * 3),
    voxel=st.tuples(*[st.sampled_from([0.05, 0.108333, 0.29, 0.317, 0.4, 0.6, 1.0])] * 3),
    share=st.sampled_from([0.05, 0.6, 1.0]),
    psf=st.sampled_from([SPINNING_DISC, ROUND_PSF]),
    at_once=st.sampled_from([1, 2_000, 250_000]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_references_are_those_of_the_plain_form(shape, voxel, share, psf, at_once, seed):
    mask = np.random.default_rng(seed).random(shape) < share
    mask[0, 0, 0] = True
    cell = Cell({}, mask, mask, voxel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_integrated_cell.imaging.rendering._VOXELS_AT_ONCE", at_once)
        ours = render_references(cell, psf)
    np.testing.assert_allclose(ours["membrane"], plain_membrane(cell, psf), atol=1e-5)
    np.testing.assert_allclose(ours["dna"], plain_dna(cell, psf), atol=1e-5)
