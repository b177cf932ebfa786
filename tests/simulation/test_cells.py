"""One simulated cell: its parts, its labels as simulated, and its random seed."""

from __future__ import annotations

import numpy as np
import pytest
from plain_simulation import plain_metric, plain_simulation, plain_surfaces, plain_waves
from scipy import ndimage

from napari_integrated_cell.simulation import (
    expected_localisation,
    residual_variability,
    simulate_cell,
    simulate_shape,
    structure_draws,
)
from napari_integrated_cell.simulation.cells import draw_stage
from napari_integrated_cell.simulation.geometry import metric
from napari_integrated_cell.simulation.grid import Waves
from napari_integrated_cell.vocabulary import STAGE_NAMES, STRUCTURE_NAMES

COARSE = 0.8


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_every_stage_gives_a_whole_cell_with_every_structure(stage):
    simulated = simulate_cell(4, stage=stage, structure="all", voxel_size=COARSE)
    cell = simulated.cell
    assert set(cell.channels) == {"membrane", "dna", *STRUCTURE_NAMES}
    assert not (cell.nucleus_mask & ~cell.cell_mask).any()
    assert ndimage.label(cell.cell_mask, np.ones((3, 3, 3)))[1] == 1
    edges = [np.take(cell.cell_mask, i, axis).any() for axis in range(3) for i in (0, -1)]
    assert not any(edges)
    for image in cell.channels.values():
        assert image.dtype == np.uint16
        assert image.max() > 200  # signal above the camera's offset
    assert cell.metadata["simulated"] is True
    assert cell.metadata["stage"] == simulated.truth.stage == stage
    assert "simulated" in cell.name
    assert cell.source == "simulated"


@pytest.mark.parametrize("name", STRUCTURE_NAMES)
@pytest.mark.parametrize("stage", ["interphase", "metaphase", "telophase-cytokinesis"])
def test_a_structure_lies_in_its_own_cell(name, stage):
    simulated = simulate_cell(8, stage=stage, structure=name, voxel_size=0.5, noise=False)
    image = simulated.cell.channels[name]
    near = ndimage.distance_transform_edt(~simulated.cell.cell_mask, sampling=0.5) <= 1.0
    assert image.max() == pytest.approx(1)
    assert image[near].sum() > 0.97 * image.sum()


def test_a_seed_is_a_cell():
    one, same, other = (simulate_cell(s, structure="TOM20", voxel_size=COARSE).cell for s in (3, 3, 4))
    assert all((one.channels[c] == same.channels[c]).all() for c in one.channels)
    assert one.shape != other.shape or (one.cell_mask != other.cell_mask).any()


@pytest.mark.parametrize(
    ("seed", "stage"), [(1, "interphase"), (2, "metaphase"), (3, "telophase-cytokinesis")]
)
@pytest.mark.parametrize("at_once", [1, 5_000, 10**9])
def test_a_cell_is_that_of_the_plain_formulas(seed, stage, at_once, monkeypatch):
    """Bit by bit: a rounding error may change the number of photons of a voxel, and then all noise after it."""
    waves_on = Waves.on
    monkeypatch.setattr(Waves, "on", plain_waves)
    monkeypatch.setattr("napari_integrated_cell.simulation.grid._VOXELS_AT_ONCE", at_once)
    ours = simulate_cell(seed, stage=stage, structure=("TOM20", "ZO1"), voxel_size=COARSE)
    with plain_simulation():
        plain = simulate_cell(seed, stage=stage, structure=("TOM20", "ZO1"), voxel_size=COARSE)
    for name, image in plain.cell.channels.items():
        np.testing.assert_array_equal(ours.cell.channels[name], image)
        np.testing.assert_array_equal(ours.noise_free[name], plain.noise_free[name])
    np.testing.assert_array_equal(ours.cell.cell_mask, plain.cell.cell_mask)
    np.testing.assert_array_equal(ours.cell.nucleus_mask, plain.cell.nucleus_mask)
    shape, grid = ours.shape, ours.grid
    for one, other in zip(shape.surfaces(grid), plain_surfaces(shape, grid), strict=True):
        np.testing.assert_array_equal(one, other)
    cell = shape.surfaces(grid)[2]
    np.testing.assert_array_equal(metric(cell, grid), plain_metric(cell, grid))
    waves = shape.roughness[1]
    np.testing.assert_allclose(waves_on(waves, grid), plain_waves(waves, grid), atol=1e-6)


@pytest.mark.parametrize(
    ("seed", "stage", "population", "shape", "volume", "nucleus", "light"),
    [
        (1, "interphase", "field", (26, 77, 70), 18844, 5301, (0.06557377, 0.02882205, 0.007120874)),
        (2, "metaphase", "field", (24, 43, 42), 12862, 1631, (0.08725519, 0.03294013, 0.008980235)),
        (
            3,
            "telophase-cytokinesis",
            "field",
            (24, 72, 46),
            18788,
            2957,
            (0.07734418, 0.02306077, 0.01034209),
        ),
        (1, "interphase", "hipsc", (32, 65, 78), 18342, 5876, (0.06604636, 0.0267843, 0.006035356)),
        (1, "interphase", "spread", (16, 93, 70), 9142, 4177, (0.05378641, 0.03134335, 0.006118236)),
    ],
)
def test_a_seed_keeps_its_cell(seed, stage, population, shape, volume, nucleus, light):
    simulated = simulate_cell(seed, stage=stage, structure="TOM20", voxel_size=0.5, population=population)
    assert simulated.cell.shape == shape
    assert (simulated.cell.cell_mask.sum(), simulated.cell.nucleus_mask.sum()) == (volume, nucleus)
    assert [image.mean() for image in simulated.noise_free.values()] == pytest.approx(light, rel=1e-5)


def test_one_structure_more_changes_nothing_else():
    alone = simulate_cell(3, structure="TOM20", voxel_size=COARSE).cell
    together = simulate_cell(3, structure=("ZO1", "TOM20"), voxel_size=COARSE).cell
    for name in ("membrane", "dna", "TOM20"):
        assert (alone.channels[name] == together.channels[name]).all()


@pytest.mark.parametrize("stage", ["interphase", "anaphase"])
def test_a_cell_has_the_same_size_place_and_structures_on_any_grid(stage):
    fine = simulate_cell(5, stage=stage, structure="TOM20", voxel_size=(0.4, 0.3, 0.3), noise=False)
    coarse = simulate_cell(5, stage=stage, structure="TOM20", voxel_size=0.634, noise=False)
    assert fine.cell.volume == pytest.approx(coarse.cell.volume, rel=0.05)
    assert fine.cell.nucleus_volume == pytest.approx(coarse.cell.nucleus_volume, rel=0.10)
    for name in ("dna", "TOM20", "membrane"):
        centres = []
        for simulated in (fine, coarse):
            place = np.array(ndimage.center_of_mass(simulated.cell.channels[name]))
            centres.append(place * simulated.grid.voxel_size + simulated.grid.origin)
        assert centres[0] == pytest.approx(centres[1], abs=0.35)


def test_the_membrane_stain_is_the_surface_and_the_dna_stain_the_nucleus():
    cell = simulate_cell(2, voxel_size=0.317, noise=False).cell
    depth = ndimage.distance_transform_edt(cell.cell_mask, sampling=cell.voxel_size)
    membrane, dna = cell.channels["membrane"], cell.channels["dna"]
    assert membrane[(depth > 0) & (depth < 0.4)].mean() > 4 * membrane[depth > 1.5].mean()
    assert dna[cell.nucleus_mask].sum() > 0.8 * dna.sum()


def test_noise_is_photons_on_an_offset():
    cell = simulate_cell(2, voxel_size=COARSE, margin=4.0)
    counts = cell.cell.channels["dna"].astype(float)
    dark = counts[cell.noise_free["dna"] < 1e-4]
    assert dark.mean() == pytest.approx(100, abs=1)
    assert 1.5 < dark.std() < 4
    bright = cell.noise_free["dna"] > 0.5
    signal = counts[bright] - 100
    scale = (signal * cell.noise_free["dna"][bright]).sum() / (cell.noise_free["dna"][bright] ** 2).sum()
    residual = signal - scale * cell.noise_free["dna"][bright]
    # Photons: the variance is the mean (and the camera's read noise).
    assert residual.var() == pytest.approx(signal.mean(), rel=0.25)


def test_dark_nucleoli_of_the_dna_stain_are_where_fibrillarin_is():
    cell = simulate_cell(6, structure="fibrillarin", voxel_size=0.317, noise=False).cell
    nucleoli = cell.channels["fibrillarin"] > 0.5
    inner = ndimage.binary_erosion(cell.nucleus_mask, iterations=3)
    dna = cell.channels["dna"]
    assert dna[nucleoli & inner].mean() < 0.85 * dna[inner & ~nucleoli].mean()


def test_stages_drawn_cover_all_eight_with_interphase_most():
    rng = np.random.default_rng(0)
    drawn = [draw_stage(rng) for _ in range(400)]
    assert set(drawn) == set(STAGE_NAMES)
    assert 0.5 < drawn.count("interphase") / len(drawn) < 0.7
    stages = {simulate_cell(seed, stage=None, voxel_size=2.0, noise=False).truth.stage for seed in range(12)}
    assert len(stages) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "negative"),
        ({"seed": 1, "stage": "lunch"}, "No stage"),
        ({"seed": 1, "structure": "flagellum"}, "No structure"),
        ({"seed": 1, "voxel_size": 0.0}, "positive"),
        ({"seed": 1, "voxel_size": (0.3, 0.3)}, "three"),
        ({"seed": 1, "population": "yeast"}, "hipsc, spread, field, mixed"),
        ({"seed": 1, "imaging": "sharp"}, "ideal, varied"),
    ],
)
def test_bad_wishes_are_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_cell(**arguments)


def test_the_expectation_is_the_mean_of_the_draws_on_the_cells_own_grid():
    simulated = simulate_cell(1, structure="ST6GAL1", voxel_size=COARSE)
    draws = list(structure_draws(simulated.shape, "ST6GAL1", simulated.grid, 5, seed=9))
    expected = simulated.expected_localisation("ST6GAL1", draws=5, seed=9)
    assert expected.shape == simulated.cell.shape
    assert np.allclose(expected, np.mean(draws, axis=0), atol=1e-6)
    assert expected.max() <= 1
    again = expected_localisation(simulated.shape, "ST6GAL1", COARSE, draws=5, seed=9)
    assert (again == expected).all()
    assert not np.allclose(draws[0], draws[1])


def test_no_draws_are_refused():
    shape = simulate_shape(1)
    with pytest.raises(ValueError, match="give 1 or more"):
        expected_localisation(shape, "ZO1", draws=0)
    with pytest.raises(ValueError, match="give 2 or more"):
        residual_variability(shape, "ZO1", draws=1)
