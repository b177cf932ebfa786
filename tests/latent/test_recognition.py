"""Recognise the structure of a cell's channel, or say that it is none that the model knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_integrated_cell import simulate_cell
from napari_integrated_cell.integration import classify_cell
from napari_integrated_cell.latent.recognition import recognise_cell
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.novelty import KnownStructures

torch.set_num_threads(1)


def knowing(model: IntegratedCell, largest_energy: float) -> IntegratedCell:
    k = model.config.n_structures
    means = {"TOM20": np.zeros(k)}
    model.known_structures = KnownStructures(means, np.eye(k), largest_energy, 1e6, 4, 40, 0.05)
    return model


@pytest.fixture
def model() -> IntegratedCell:
    return IntegratedCell.untrained(preset("tiny"), seed=1)


@pytest.fixture(scope="module")
def cell():
    return simulate_cell(seed=1, voxel_size=1.268, structure="TOM20").cell


def test_the_probabilities_are_those_of_classify_cell(cell, model) -> None:
    expected = classify_cell(cell, "membrane", model)
    without = recognise_cell(cell, "membrane", model)
    found = recognise_cell(cell, "membrane", knowing(model, 1e6))
    assert without.probabilities == expected
    assert list(found.probabilities) == list(expected)
    np.testing.assert_allclose(list(found.probabilities.values()), list(expected.values()), atol=1e-6)


def test_a_model_without_statistics_rejects_nothing_and_says_so(cell, model) -> None:
    found = recognise_cell(cell, "membrane", model)
    assert found.none_of_these is None
    assert "not measured" in found.sentence
    assert set(found.novelty.values()) == {None}


@pytest.mark.parametrize(("largest_energy", "new"), [(1e6, False), (-1e6, True)])
def test_a_channel_above_a_limit_is_none_of_the_structures(cell, model, largest_energy, new) -> None:
    found = recognise_cell(cell, "membrane", knowing(model, largest_energy))
    assert found.none_of_these is new
    assert found.sentence == (
        "The channel looks like none of the structures that the model knows." if new else ""
    )
    assert found.novelty["none_of_these"] is new
    assert found.novelty["largest_energy"] == largest_energy
    assert found.novelty["distance"] == found.distance > 0


def test_another_channel_is_refused_by_name(cell, model) -> None:
    for each in (model, knowing(model, 0.0)):
        with pytest.raises(ValueError, match="no channel"):
            recognise_cell(cell, "GFP", each)
