"""The bundled demo model: its configuration, and its scores compared with its card."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ic_train.bundle.model_card import TARGETS, verdicts
from napari_ic_train.config import preset
from napari_ic_train.evaluation.localisation import score_real_field, score_simulated
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import locate, read_model_card
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
