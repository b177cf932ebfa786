"""Statistics of known structures: measured in training cells, limits from held-out cells, put into a bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_ic_train.bundle import novelty
from napari_ic_train.bundle.export import export_bundle
from napari_ic_train.bundle.novelty import TooFewHeldOut, known_structures, limits, moments
from napari_ic_train.cli import app
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.model.bundle import load_model, read_model_card
from napari_integrated_cell.model.label_logits import label_logits
from napari_integrated_cell.model.novelty import KnownStructures, energies

torch.set_num_threads(1)
STRUCTURES = ("tubes", "sheets", "dots")


@pytest.fixture
def few_are_enough(monkeypatch):
    monkeypatch.setattr(novelty, "FEWEST_HELD_OUT", 5)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of n cells of three structures, and their structures."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, n)
    root = np.array([[1.0, 0, 0], [0.5, 2, 0], [-1, 0.3, 0.5]])
    return 12 * np.eye(3)[labels] + draw.normal(size=(n, 3)) @ root.T, labels


def test_moments_are_those_of_numpy_around_each_structures_mean():
    added, labels = drawn(60, 1)
    labels[labels == 1] = 0  # no cell of the second structure
    means, covariance = moments(added, labels, STRUCTURES)
    assert list(means) == ["tubes", "dots"]
    centred = added.copy()
    for label, name in ((0, "tubes"), (2, "dots")):
        np.testing.assert_allclose(means[name], added[labels == label].mean(0))
        centred[labels == label] -= means[name]
    expected = np.cov(centred.T, bias=True)
    np.testing.assert_allclose(covariance, expected + 1e-3 * np.trace(expected) / 3 * np.eye(3), atol=1e-12)


def test_cells_that_are_all_alike_have_a_covariance_that_can_be_inverted():
    _, covariance = moments(np.ones((4, 3)), np.zeros(4, int), STRUCTURES)
    assert np.isfinite(np.linalg.cholesky(covariance)).all()


@pytest.mark.parametrize("rejected", [0.05, 0.2])
def test_the_limits_reject_the_wanted_share_and_no_more(rejected):
    draw = np.random.default_rng(2)
    energy, distance = draw.normal(size=(2, 1000))
    largest_energy, largest_distance = limits(energy, distance, rejected)
    above = (energy > largest_energy) | (distance > largest_distance)
    assert above.mean() == pytest.approx(rejected, abs=0.002)
    assert above.mean() <= rejected
    # Both decide: each alone rejects about half of them.
    assert (energy > largest_energy).mean() == pytest.approx((distance > largest_distance).mean(), abs=0.002)
    gaps = [
        np.abs(values - limit).min()
        for values, limit in ((energy, largest_energy), (distance, largest_distance))
    ]
    assert min(gaps) > 0, "a limit lies between two cells, not on one"


def test_five_per_cent_of_new_cells_of_known_structures_are_rejected():
    added, labels = drawn(4000, 3)
    means, covariance = moments(added, labels, STRUCTURES)
    without_limits = KnownStructures(means, covariance, 0, 0, 4000, 0, 0)
    held_out, _ = drawn(1500, 4)
    limit = limits(energies(held_out), without_limits.distances(held_out), 0.05)
    known = KnownStructures(means, covariance, *limit, 4000, 1500, 0.05)
    unseen, _ = drawn(4000, 5)
    assert known.are_new(unseen, unseen).mean() == pytest.approx(0.05, abs=0.02)
    between = np.full((10, 3), 4.0)  # as far from each structure as from the others
    assert known.are_new(between, between).all()


def test_training_cells_give_the_statistics_and_held_out_cells_the_limits(exported, store, few_are_enough):
    model = load_model(exported, device="cpu")
    told = []
    found = known_structures(model, store, rejected=0.2, progress=lambda *step: told.append(step))
    train, held_out = CellStore(store.path, "train"), CellStore(store.path, "test")
    logits, added = label_logits(model, train.images(np.arange(len(train))))
    means, covariance = moments(added, train.labels, store.structures)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-3, atol=1e-9)
    assert set(found.means) == set(means)
    assert (found.n_training, found.n_held_out) == (25, 11)
    logits, added = label_logits(model, held_out.images(np.arange(11)))
    assert found.held_out_rejected == found.are_new(logits, added).mean() <= 2 / 11
    assert {what for *_, what in told} == {"classifying training cells", "classifying held-out cells"}


def test_a_store_with_few_held_out_cells_gives_no_limits(exported, store):
    model = load_model(exported, device="cpu")
    assert model.known_structures is None  # the export left it out
    with pytest.raises(TooFewHeldOut, match="11 held-out cells: 40 or more"):
        known_structures(model, store)


@pytest.mark.parametrize("rejected", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(exported, store, rejected):
    with pytest.raises(ValueError, match="between 0 and 1"):
        known_structures(load_model(exported, device="cpu"), store, rejected=rejected)


def test_an_export_measures_the_weights_that_it_stores_and_the_card_says_so(
    run, store, tmp_path, few_are_enough
):
    path = export_bundle(run, store, tmp_path / "b.zip", name="b", licence="CC0-1.0", weights="float16")
    model = load_model(path, device="cpu")
    found = model.known_structures
    assert found.to_json() == known_structures(model, store).to_json()
    assert f"{found.held_out_rejected:.1%} of 11 held-out cells" in read_model_card(path)


def test_the_command_puts_the_statistics_into_the_bundle(exported, store, tmp_path, few_are_enough):
    from shutil import copytree

    bundle = copytree(exported, tmp_path / "copy")
    done = CliRunner().invoke(
        app,
        ["novelty", str(bundle), "--data", str(store.path), "--rejected", "0.2", "--device", "cpu", "--json"],
    )
    assert done.exit_code == 0, done.output
    found = load_model(bundle, device="cpu").known_structures
    said = json.loads(done.stdout)
    assert said["largest_energy"] == found.largest_energy
    assert said["held_out_rejected"] == found.held_out_rejected
    refused = CliRunner().invoke(app, ["novelty", str(bundle), "--data", str(store.path), "--rejected", "2"])
    assert refused.exit_code == 1
    assert "between 0 and 1" in refused.stderr
