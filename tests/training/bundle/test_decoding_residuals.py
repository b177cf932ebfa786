"""What decoding leaves out is measured: a known distribution and correlation are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ic_train.bundle.decoding_residuals import decoding_residuals, normal_scores, residuals_of
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.decoding_residuals import LEVELS, Residuals

torch.set_num_threads(1)
BOX = (12, 32, 40)


def images(n: int, seed: int):
    """Decoded images, and observed ones drawn with known residuals."""
    draw = np.random.default_rng(seed)
    lags = np.exp(-((np.arange(8)[:, None] / 2) ** 2 + (np.arange(12)[None] / 3) ** 2) / 2)
    places = np.linspace(0, 1, 9)
    known = Residuals(places, places[:, None] * (LEVELS + 0.5) / 2, lags)
    decoded = [draw.uniform(size=BOX).astype(np.float32) for _ in range(n)]
    return known, decoded, [known.drawn(image, draw) for image in decoded]


def test_a_known_distribution_and_correlation_are_found_again():
    known, decoded, observed = images(6, 1)
    inside = [np.ones(BOX, bool)] * 6
    for mask in inside:
        mask[:, :2] = False
    found = residuals_of(observed, decoded, inside)
    expected = found.decoded[:, None] * (LEVELS + 0.5) / 2
    wide = np.diff(np.append(found.decoded, 1)) > 0.02
    np.testing.assert_allclose(found.quantiles[wide, 3:21], expected[wide, 3:21], atol=0.05)
    np.testing.assert_allclose(found.correlation[:4, 0], known.correlation[:4, 0], atol=0.12)
    np.testing.assert_allclose(found.correlation[0, :5], known.correlation[0, :5], atol=0.12)
    again = np.mean([found.drawn(image, np.random.default_rng(i)) for i, image in enumerate(decoded)])
    assert again == pytest.approx(np.mean(observed), abs=0.01)


def test_scores_are_standard_normal_and_equal_values_are_spread():
    known, decoded, observed = images(3, 2)
    random = np.random.default_rng(0)
    pairs = zip(observed, decoded, strict=True)
    scores = np.array([normal_scores(known, *pair, random) for pair in pairs])
    assert abs(scores.mean()) < 0.2  # about 160 independent places
    assert scores.std() == pytest.approx(1, abs=0.2)
    dark = Residuals(np.array([0.0, 1.0]), np.zeros((2, len(LEVELS))), np.ones((1, 1)))
    scores = normal_scores(dark, np.zeros(BOX, np.float32), decoded[0], np.random.default_rng(0))
    assert scores.std() > 0.5


def test_cells_of_a_store_are_measured_structure_by_structure(exported, store):
    model = load_model(exported, device="cpu")
    told = []
    found = decoding_residuals(model, store, lambda *step: told.append(step))
    assert set(found.structures) == set(store.table["structure"])
    done, total, what = told[-1]
    assert done == total
    assert what == "measuring what decoding leaves out"
    name = next(iter(found.structures))
    drawn = found.drawn(name, np.full(store.box, 0.2, np.float32), np.random.default_rng(0))
    assert drawn.shape == store.box
    assert 0 <= drawn.min() <= drawn.max() <= 1
