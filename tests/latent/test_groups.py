"""Groups of embedded cells, and their projection to a plane."""

from __future__ import annotations

import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch
from made_up_cells import made_up

from napari_integrated_cell.latent import groups, projection
from napari_integrated_cell.latent.axes import principal_axes
from napari_integrated_cell.latent.position import read_positions
from napari_integrated_cell.model.latent import LatentDistribution, LatentStatistics
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

torch.set_num_threads(1)


def test_a_groups_mean_medoid_and_shape_are_those_of_its_cells() -> None:
    cells, chosen = made_up(12), np.array([1, 2, 4, 8, 11])
    np.testing.assert_allclose(
        groups.mean_position(cells, chosen).z_ref, cells.z_ref[chosen].mean(0), atol=1e-6
    )
    sums = [sum(abs(cells.z_ref[i] - cells.z_ref[j]).sum() for j in chosen) for i in chosen]
    assert groups.medoid_cell(cells, chosen) == chosen[int(np.argmin(sums))]
    (volume,) = groups.compared(cells, chosen)
    values, rest = cells.table["cell_volume"].to_numpy(), np.setdiff1d(np.arange(12), chosen)
    assert volume.group == pytest.approx((values[chosen].mean(), values[chosen].std()))
    assert volume.rest == pytest.approx((values[rest].mean(), values[rest].std()))
    assert volume.difference == pytest.approx((volume.group[0] - volume.rest[0]) / values.std())


def test_in_the_space_of_a_structure_a_position_has_its_z_struct() -> None:
    cells = made_up(12)
    tom20 = np.flatnonzero((cells.table["structure"] == "TOM20").to_numpy() & cells.has_z_struct)
    here = groups.position_of(cells, int(tom20[0]), "TOM20")
    np.testing.assert_allclose(here.z_struct["TOM20"], cells.z_struct[tom20[0]])
    assert not groups.position_of(cells, int(tom20[0])).z_struct
    mean = groups.mean_position(cells, tom20, "TOM20")
    np.testing.assert_allclose(mean.z_struct["TOM20"], cells.z_struct[tom20].mean(0), rtol=1e-5)
    with pytest.raises(ValueError, match="lasso"):
        groups.mean_position(cells, np.array([], int))


def test_of_a_large_group_some_are_compared(monkeypatch) -> None:
    monkeypatch.setattr(groups, "MOST_COMPARED", 5)
    cells, chosen = made_up(40), np.arange(3, 40)
    found = groups.medoid_cell(cells, chosen)
    assert found in chosen
    assert found == groups.medoid_cell(cells, chosen)


def test_a_written_group_opens_as_positions(tmp_path) -> None:
    cells, chosen = made_up(12, weights="abc"), np.array([1, 3, 4])
    path = groups.write_group(tmp_path / "group.csv", cells, chosen)
    positions = read_positions(path)
    assert [p.name for p in positions] == ["c1", "c3", "c4"]
    assert {p.weights for p in positions} == {"abc"}
    for position, cell in zip(positions, chosen, strict=True):
        np.testing.assert_array_equal(position.z_ref, cells.z_ref[cell])
        own = cells.table["structure"].iloc[cell]
        assert set(position.z_struct) == ({own} if cells.has_z_struct[cell] else set())
    table = pd.read_csv(path)
    assert table["cell_volume"].tolist() == pytest.approx(cells.table["cell_volume"].iloc[chosen].tolist())


# The plane.


def test_cells_lie_on_the_axes_that_sliders_move_along() -> None:
    draw = np.random.default_rng(0)
    z = draw.normal(size=(50, 4)).astype(np.float32) @ np.diag([3, 2, 1, 0.5]).astype(np.float32)
    known = LatentDistribution.of_moments(50, z.mean(0), np.cov(z.T))
    latent = LatentStatistics(known, {})
    axes = projection.axes_in("z_ref", latent, z)
    plane = projection.on_axes("z_ref", axes, (2, 0), np.arange(50), z)
    expected = np.array([principal_axes(known).values(one)[[2, 0]] for one in z])
    np.testing.assert_allclose(plane.points, expected, atol=1e-4)
    np.testing.assert_allclose(plane.place(z[7]), plane.points[7], atol=1e-5)
    assert plane.titles[1].startswith("PC 1 · ")
    # Without statistics the axes are those of the cells; with too few cells there are no axes.
    own = projection.axes_in("z_ref", None, z)
    np.testing.assert_allclose(np.abs((own.directions * axes.directions).sum(1)), 1, atol=1e-3)
    with pytest.raises(ValueError, match="too few"):
        projection.axes_in("TOM20", latent, z[:1])


def test_only_cells_of_the_structure_are_in_its_space() -> None:
    cells = made_up(12)
    shown, z = projection.positions_in(cells, "ZO1")
    assert {cells.table["structure"].iloc[i] for i in shown} == {"ZO1"}
    assert np.isfinite(z).all()
    assert len(projection.positions_in(cells, "z_ref")[0]) == 12
    assert len(projection.positions_in(cells, "lamin-B1")[0]) == 0


def test_without_umap_a_sentence_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'napari-integrated-cell\[umap\]'"):
        projection.by_umap("z_ref", np.arange(20), np.zeros((20, 3), np.float32))


@pytest.fixture
def umap(monkeypatch):
    """A stand-in: it "lays out" positions by their first two numbers, doubled."""

    class Umap:
        fitted = 0

        def __init__(self, **settings):
            assert settings["random_state"] == 0

        def fit_transform(self, z):
            Umap.fitted = len(z)
            return 2 * z[:, :2]

        def transform(self, z):
            return 2 * z[:, :2]

    module = types.ModuleType("umap")
    module.UMAP = Umap
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(projection, "find_spec", lambda name: object())
    return Umap


def test_a_umap_is_fitted_to_some_and_the_others_take_their_places(umap, monkeypatch) -> None:
    monkeypatch.setattr(projection, "_FITTED", 30)
    monkeypatch.setattr(projection, "_PART", 8)
    z = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    told = []
    plane = projection.by_umap("z_ref", np.arange(50), z, progress=lambda *at: told.append(at))
    assert umap.fitted == 30
    np.testing.assert_allclose(plane.points, 2 * z[:, :2], rtol=1e-6)
    assert told[-1][:2] == (50, 50)
    np.testing.assert_allclose(plane.place(z[3]), plane.points[3], atol=1e-2)
    low, high = plane.points.min(0), plane.points.max(0)
    assert (
        (plane.place(np.full(3, 50, np.float32)) >= low) & (plane.place(np.full(3, 50, np.float32)) <= high)
    ).all()
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        projection.by_umap("z_ref", np.arange(50), z, cancel=token)
    with pytest.raises(ValueError, match="10 cells or more"):
        projection.by_umap("z_ref", np.arange(4), z[:4])
