"""The scores of the model card, on cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ic_train.bundle.model_card import TARGETS, model_card, verdicts
from napari_ic_train.evaluation.localisation import (
    at_box_voxels,
    pearson,
    score_real_cell,
    score_simulated,
    signed_distance,
)
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import Box, pose_of
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.config import preset

CONFIG = preset("tiny")
VOXEL = (0.6, 0.4, 0.4)


def ball(centre, radius, shape=(30, 70, 90)):
    grid = np.indices(shape) * np.reshape(VOXEL, (3, 1, 1, 1)) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(0) <= radius**2


CELL = Cell({}, ball((9, 14, 18), 7.5), ball((9, 14, 19), 3.5), VOXEL, name="ball")


class ConstantModel:
    """A stand-in for a model that predicts the same volume for every structure."""

    config = CONFIG
    name = "fake"
    trained_on = "simulated cells"
    typicality = latent = None

    def __init__(self, volume):
        self.volume = volume

    def encode(self, x, **_):
        return np.zeros((len(x), CONFIG.n_ref), np.float32)

    def decode_structures(self, z_ref, structures=None, **_):
        return dict.fromkeys(structures or CONFIG.structures, self.volume[None])


def distances():
    pose = pose_of(CELL, model_box(CONFIG))
    return [
        at_box_voxels(signed_distance(mask, VOXEL), VOXEL, CELL.offset, pose)
        for mask in (CELL.cell_mask, CELL.nucleus_mask)
    ]


def test_pearson_of_known_pairs():
    a = np.random.default_rng(1).normal(size=500)
    assert pearson(a, 3 * a + 1) == pytest.approx(1)
    assert pearson(a, -a) == pytest.approx(-1)
    assert pearson(a, np.ones_like(a)) == 0
    b = np.random.default_rng(2).normal(size=500)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_signed_distance_of_a_ball_is_the_distance_to_its_surface():
    distance = signed_distance(ball((9, 14, 18), 7.5), VOXEL)
    grid = np.indices(distance.shape) * np.reshape(VOXEL, (3, 1, 1, 1))
    exact = np.linalg.norm(grid - np.reshape((9, 14, 18), (3, 1, 1, 1)), axis=0) - 7.5
    assert np.abs(distance - exact).max() < 0.75  # one voxel's diagonal


def test_a_map_is_interpolated_at_the_positions_of_the_box_voxels():
    pose = pose_of(CELL, Box((16, 24, 32), 1.0))
    to_membrane = at_box_voxels(signed_distance(CELL.cell_mask, VOXEL), VOXEL, CELL.offset, pose)
    # The nucleus is in the centre of the box. The cell's centre is 1 µm away, so the depth there is 6.5 µm.
    centre = to_membrane[7:9, 11:13, 15:17].mean()
    assert centre == pytest.approx(-6.5, abs=0.8)
    assert (to_membrane[0, 0, 0] > 2) & (to_membrane[-1, -1, -1] > 2)


@pytest.mark.parametrize(
    ("where", "fibrillarin", "lamin", "tom20"),
    [
        (lambda cell, nucleus: nucleus < -1.5, 1.0, 0.0, 0.0),
        (lambda cell, nucleus: np.abs(nucleus) < 0.9, None, 1.0, None),
        (lambda cell, nucleus: (nucleus > 1.5) & (cell < 0), 0.0, 0.0, 1.0),
    ],
)
def test_shares_of_intensity_by_compartment(where, fibrillarin, lamin, tom20):
    model = ConstantModel(where(*distances()).astype(np.float32))
    score = score_real_cell(CELL, np.zeros(CELL.shape, bool), model)
    for key, wanted in (
        ("fibrillarin_in_nucleus", fibrillarin),
        ("lamin_at_surface", lamin),
        ("tom20_outside_nucleus", tom20),
    ):
        if wanted is not None:
            assert score[key] == pytest.approx(wanted, abs=0.02)
    assert all(share == pytest.approx(1, abs=0.01) for share in score["inside_cell"].values())


def test_intensity_outside_the_cell_lowers_the_share_inside():
    to_membrane, _ = distances()
    model = ConstantModel((to_membrane > 1).astype(np.float32))
    score = score_real_cell(CELL, np.zeros(CELL.shape, bool), model)
    assert max(score["inside_cell_unmasked"].values()) < 0.05


def test_a_model_that_predicts_the_cytoplasm_scores_like_a_uniform_cytoplasm():
    to_membrane, to_nucleus = distances()
    model = ConstantModel(((to_membrane <= 0) & (to_nucleus > 0)).astype(np.float32))
    mitochondria = CELL.cell_mask & ~CELL.nucleus_mask
    score = score_real_cell(CELL, mitochondria, model)
    assert score["tom20_pearson"] == pytest.approx(score["cytoplasm_pearson"], abs=1e-6)
    assert score["cytoplasm_pearson"] > 0.8


def test_the_card_states_what_is_reached_and_what_is_not():
    metrics = {
        "simulated": {
            "n_cells": 5,
            "label_accuracy": 0.95,
            "label_recall": {"TOM20": 0.9},
            "localisation_pearson": 0.5,
            "localisation_pearson_by_structure": {"TOM20": 0.5},
            "localisation_pearson_by_stage": {"interphase": 0.5},
        }
    }
    reached = {what: ok for what, _, _, ok in verdicts(metrics)}
    assert len(reached) == len(TARGETS)
    assert list(reached.values()) == [True, False, *[None] * (len(TARGETS) - 2)]
    card = {"simulated": True, "licence": "BSD-3-Clause", "provenance": {"seed": 1}, "metrics": metrics}
    text = model_card("demo", "A model.", card)
    assert "Trained on simulated cells only" in text
    assert "**not reached**" in text
    assert "not scored on real cells" in text


def test_a_model_is_not_asked_for_structures_that_it_does_not_have():
    config = CONFIG.model_copy(update={"structures": ("LAMP1", "TOM20")})
    model = ConstantModel(np.ones(CONFIG.box, np.float32))
    model.config = config
    model.decode_structures = lambda z_ref, structures=None, **_: dict.fromkeys(
        structures or config.structures, model.volume[None]
    )
    score = score_real_cell(CELL, np.zeros(CELL.shape, bool), model)
    assert set(score["inside_cell"]) == {"LAMP1", "TOM20"}
    assert "tom20_outside_nucleus" in score
    assert not any(key.startswith(("fibrillarin", "lamin")) for key in score)
    asked = " ".join(what for what, *_ in verdicts({"real": score}, config.structures))
    assert "TOM20" in asked
    assert "lamin" not in asked
    model.config = CONFIG.model_copy(update={"structures": ("LAMP1", "tubes")})
    assert score_simulated(model, n_cells=1) == {}
