"""The bundled demo model: its configuration, and its scores compared with its card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ic_train.bundle.model_card import TARGETS, verdicts
from napari_ic_train.config import preset
from napari_ic_train.evaluation.localisation import field_cells, score_real_field, score_simulated
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry_cell import read_entry
from napari_integrated_cell.latent.recognition import recognise_cell
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import locate, read_model_card
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.vocabulary import STAGE_NAMES, STRUCTURE_NAMES


@pytest.fixture(scope="module")
def model():
    return load_model("demo", device="cpu")


def test_the_bundle_is_small_and_has_the_configuration_of_the_preset(model):
    files = [path for path in locate("demo").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    assert model.config == preset("demo").model
    assert model.config.structures == STRUCTURE_NAMES


def test_the_card_says_that_the_model_was_trained_on_simulated_cells(model):
    assert model.card["simulated"] is True
    assert tuple(model.card["stages"]) == STAGE_NAMES
    assert model.card["licence"] == "BSD-3-Clause"
    assert "Trained on simulated cells only" in read_model_card("demo")


def test_the_card_has_every_wanted_score(model):
    rows = verdicts(model.card["metrics"])
    assert len(rows) == len(TARGETS) + 1  # and TOM20 against a uniform cytoplasm
    text = read_model_card("demo")
    for what, _, measured, reached in rows:
        assert measured is not None, f"{what} was not measured"
        assert f"{measured:.3f}" in text
        assert ("**not reached**" in text) or reached


@pytest.mark.slow
def test_new_simulated_cells_score_as_the_card_says(model):
    """A fifth of the card's number of cells, with another random seed, within the sampling error."""
    card = model.card["metrics"]["simulated"]
    scores = score_simulated(model, n_cells=44, seed=31, draws=64)
    assert scores["label_accuracy"] == pytest.approx(card["label_accuracy"], abs=0.08)
    assert scores["localisation_pearson"] == pytest.approx(card["localisation_pearson"], abs=0.06)


@pytest.mark.real_data
@pytest.mark.slow
def test_real_cells_score_as_the_card_says(model, real_data):
    card = model.card["metrics"]["real"]
    scores = score_real_field(real_data / "hipsc_tomm20_field", model)
    assert scores["n_cells"] == card["n_cells"] == 13
    for key in ("fibrillarin_in_nucleus", "lamin_at_surface", "tom20_outside_nucleus", "tom20_pearson"):
        assert scores[key] == pytest.approx(card[key], abs=0.01)
    np.testing.assert_allclose(
        list(scores["inside_cell_mean"].values()), list(card["inside_cell_mean"].values()), atol=0.01
    )


def test_one_held_out_cell_in_twenty_is_rejected(model):
    known = model.known_structures
    assert tuple(known.means) == STRUCTURE_NAMES
    assert (known.n_training, known.n_held_out) == (4190, 210)
    assert known.held_out_rejected == pytest.approx(0.05, abs=0.02)
    assert f"{known.held_out_rejected:.1%} of 210 held-out cells" in read_model_card("demo")


@pytest.mark.slow
def test_few_new_simulated_cells_are_rejected_but_other_channels_are(model):
    """Of 880 other new cells, 6 % are rejected: up to 10 of 66 are within the sampling error."""
    rejected = {"structure": 0, "dna": 0}
    for i in range(66):
        name = STRUCTURE_NAMES[i % 11]
        cell = simulate_cell(5_000 + i, stage=None, structure=name, voxel_size=0.4).cell
        rejected["structure"] += recognise_cell(cell, name, model).none_of_these
        rejected["dna"] += recognise_cell(cell, "dna", model).none_of_these
    assert rejected["structure"] <= 10
    assert rejected["dna"] >= 60


@pytest.mark.real_data
@pytest.mark.slow
def test_most_real_lysosomes_and_transferrin_receptors_are_none_of_the_structures(model, real_data):
    rejected = {"LAM": [], "TfR": []}
    for entry in open_table(real_data / "hela3d" / "manifest.csv").entries():
        if entry.name[:3] in rejected:
            cell = read_entry(entry, structure_needed=True)
            rejected[entry.name[:3]].append(recognise_cell(cell, "structure", model).none_of_these)
    assert [len(found) for found in rejected.values()] == [25, 25]
    assert min(np.mean(found) for found in rejected.values()) >= 0.7


@pytest.mark.real_data
def test_most_real_mitochondria_of_hipscs_are_not_rejected(model, real_data):
    cells, mitochondria = field_cells(real_data / "hipsc_tomm20_field")
    found = []
    for cell in cells:
        window = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
        shown = replace(cell, channels={"mask": mitochondria[window]})
        found.append(recognise_cell(shown, "mask", model))
    assert [next(iter(r.probabilities)) for r in found] == ["TOM20"] * 13
    assert np.mean([r.none_of_these for r in found]) <= 0.25
