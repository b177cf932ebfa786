"""p(z^s | z^r, y): fitted in closed form, against a literal leave-one-out fit; in exports, and by the command."""

from __future__ import annotations

import json
from shutil import copytree

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_ic_train.bundle import conditional_prior as fitting
from napari_ic_train.bundle.conditional_prior import (
    FLOOR,
    TooFewCells,
    conditional_prior,
    fitted_gaussians,
    linear_gaussian,
)
from napari_ic_train.bundle.export import export_bundle
from napari_ic_train.cli import app
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.model.bundle import load_model

torch.set_num_threads(1)


@pytest.fixture
def few_are_enough(monkeypatch):
    monkeypatch.setattr(fitting, "FEWEST_CELLS", 3)


def cells(n: int, n_ref: int, n_struct: int, seed: int, noise: float = 0.5):
    """Cells whose z^s is linear in z^r, with correlated noise."""
    draw = np.random.default_rng(seed)
    slope, offset = draw.normal(size=(n_struct, n_ref)) / np.sqrt(n_ref), draw.normal(size=n_struct)
    root = noise * (np.eye(n_struct) + np.tril(draw.normal(size=(n_struct, n_struct)), -1) / 2)
    z_ref = draw.normal(size=(n, n_ref)) + 0.3
    return z_ref, z_ref @ slope.T + offset + draw.normal(size=(n, n_struct)) @ root.T, slope, root @ root.T


def test_with_many_cells_the_fit_is_the_truth():
    z_ref, z_struct, slope, covariance = cells(20_000, 5, 3, 1)
    found, _, explained = linear_gaussian(z_ref, z_struct)
    np.testing.assert_allclose(found.slope, slope, atol=0.03)
    np.testing.assert_allclose(found.covariance, covariance, atol=0.03)
    np.testing.assert_allclose(found.mean(z_ref).mean(0), z_struct.mean(0), atol=1e-6)
    truth = 1 - np.trace(covariance) / ((z_struct - z_struct.mean(0)) ** 2).mean(0).sum()
    assert explained == pytest.approx(truth, abs=0.02)


def test_the_residuals_are_those_of_a_literal_leave_one_out_fit():
    z_ref, z_struct, _, _ = cells(30, 8, 2, 2)
    found, penalty, _ = linear_gaussian(z_ref, z_struct)
    left_out = []
    # The mean is the one of all other cells too: a column of ones that is not penalised.
    for i in range(30):
        x, y = np.delete(z_ref, i, 0), np.delete(z_struct, i, 0)
        centre = x - z_ref.mean(0)
        design = np.hstack([centre, np.ones((29, 1))])
        weights = np.diag([penalty] * 8 + [0.0])
        fit = np.linalg.solve(design.T @ design + weights, design.T @ y)
        left_out.append(z_struct[i] - np.append(z_ref[i] - z_ref.mean(0), 1) @ fit)
    covariance = np.cov(np.array(left_out).T, bias=True) + np.outer(*[np.mean(left_out, 0)] * 2)
    floor = FLOOR * np.trace(covariance) / 2 * np.eye(2)
    np.testing.assert_allclose(found.covariance, covariance + floor, rtol=1e-6)


def test_with_more_dimensions_than_cells_unseen_cells_are_as_far_as_it_says():
    z_ref, z_struct, _, _ = cells(460, 60, 4, 3)
    found, _, explained = linear_gaussian(z_ref[:60], z_struct[:60])
    residuals = z_struct[60:] - found.mean(z_ref[60:])
    assert np.trace(np.cov(residuals.T)) == pytest.approx(np.trace(found.covariance), rel=0.3)
    assert 0 < explained < 1


def test_a_structure_that_the_shape_says_nothing_about_keeps_its_own_distribution():
    draw = np.random.default_rng(4)
    z_struct = draw.normal(size=(200, 3))
    found, penalty, explained = linear_gaussian(draw.normal(size=(200, 100)), z_struct)
    assert penalty > 1e3
    assert abs(explained) < 0.05
    assert np.abs(found.slope).max() < 0.05
    np.testing.assert_allclose(found.covariance, np.cov(z_struct.T), atol=0.1)


def test_cells_that_are_all_alike_can_be_fitted():
    found, _, explained = linear_gaussian(np.ones((5, 3)), np.ones((5, 2)))
    np.testing.assert_allclose(found.mean(np.ones((1, 3))), [[1, 1]])
    assert np.isfinite(explained)


def test_training_cells_are_fitted_and_held_out_cells_measured(exported, store, few_are_enough):
    model = load_model(exported, device="cpu")
    assert model.conditional_prior is None  # the export found too few cells
    told = []
    fits = fitted_gaussians(model, store, lambda *step: told.append(step))
    train = CellStore(store.path, "train")
    images = train.images(np.arange(len(train)))
    z_ref, z_struct = model.encode(images[:, :-1]), model.encode_all(images)[2]
    for label, name in enumerate(store.structures):
        mine = train.labels == label
        if mine.sum() < 3:
            assert name not in fits
            continue
        expected, penalty, explained = linear_gaussian(z_ref[mine], z_struct[mine])
        fit = fits[name]
        np.testing.assert_allclose(fit.gaussian.slope, expected.slope, atol=1e-4)
        assert (fit.penalty, fit.n_cells) == (penalty, mine.sum())
        assert fit.explained == pytest.approx(explained, abs=1e-3)
    assert told
    assert sum(fit.n_held_out for fit in fits.values()) <= 11


def test_a_store_with_few_cells_or_of_other_structures_is_refused(exported, store, monkeypatch):
    model = load_model(exported, device="cpu")
    with pytest.raises(TooFewCells, match="training cells of a structure: 50 or more"):
        conditional_prior(model, store)
    model.config = model.config.model_copy(update={"structures": ("a", "b", "c")})
    with pytest.raises(ValueError, match="other structures"):
        conditional_prior(model, store)


def test_an_export_fits_the_weights_that_it_stores(run, store, tmp_path, few_are_enough):
    path = export_bundle(run, store, tmp_path / "b.zip", name="b", licence="CC0-1.0", weights="float16")
    model = load_model(path, device="cpu")
    assert model.conditional_prior.to_bytes() == conditional_prior(model, store).to_bytes()


def test_the_command_puts_it_into_the_bundle(exported, store, tmp_path, few_are_enough):
    bundle = copytree(exported, tmp_path / "copy")
    asked = ["draws", str(bundle), "--data", str(store.path), "--device", "cpu"]
    done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    found = load_model(bundle, device="cpu").conditional_prior
    said = json.loads(done.stdout)["structures"]
    assert list(said) == list(found.structures)
    assert all(entry["training_cells"] >= 3 for entry in said.values())
    told = CliRunner().invoke(app, asked)
    assert "nats per cell" in told.stdout
