"""p(z^s | z^r, y): the plain formulas, its file in a bundle, bundles without it, and what is drawn from it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.stats import multivariate_normal
from tiny_bundle import CONFIG

from napari_integrated_cell.model.bundle import load_model, replace_files, save_bundle, update_card
from napari_integrated_cell.model.conditional_prior import (
    CONDITIONAL_PRIOR,
    ConditionalPrior,
    LinearGaussian,
    checked_draw_from,
    drawn_from,
)
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.variation.structure_variation import Draws, structure_variations

R, S = CONFIG.n_ref, CONFIG.n_struct


def gaussian(seed: int, n_ref: int = R, n_struct: int = S) -> LinearGaussian:
    draw = np.random.default_rng(seed)
    root = draw.normal(size=(n_struct, n_struct))
    return LinearGaussian(
        draw.normal(size=(n_struct, n_ref)), draw.normal(size=n_struct), root @ root.T + np.eye(n_struct)
    )


@pytest.fixture
def known() -> ConditionalPrior:
    """All structures but the last."""
    return ConditionalPrior({name: gaussian(i) for i, name in enumerate(CONFIG.structures[:-1])})


@pytest.fixture
def informed(known) -> IntegratedCell:
    made = IntegratedCell.untrained(CONFIG, seed=1)
    made.conditional_prior = known
    return made


@pytest.fixture
def z_ref() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(1, R)).astype(np.float32)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 100))
@settings(deadline=None, max_examples=20)
def test_draws_and_density_are_those_of_the_plain_formulas(n_ref: int, n_struct: int, seed: int) -> None:
    known, draw = gaussian(seed, n_ref, n_struct), np.random.default_rng(seed + 1)
    z_ref, normal = draw.normal(size=(4, n_ref)), draw.normal(size=(4, n_struct))
    drawn = known.drawn(z_ref, normal)
    for z, e, found in zip(z_ref, normal, drawn, strict=True):
        mean = known.slope @ z + known.intercept
        np.testing.assert_allclose(found, mean + np.linalg.cholesky(known.covariance) @ e, rtol=1e-9)
        density = multivariate_normal.logpdf(found, mean, known.covariance)
        assert known.log_density(z[None], found[None])[0] == pytest.approx(density, rel=1e-9)


def test_many_draws_have_the_mean_and_the_covariance() -> None:
    known = gaussian(3)
    z_ref = np.random.default_rng(1).normal(size=(1, R))
    drawn = known.drawn(z_ref, np.random.default_rng(2).normal(size=(200_000, S)))
    size = np.sqrt(np.trace(known.covariance))
    assert np.abs(drawn.mean(0) - known.mean(z_ref)[0]).max() < 0.01 * size
    assert np.abs(np.cov(drawn.T) - known.covariance).max() < 0.02 * size**2


def test_the_model_draws_from_it_unless_the_prior_is_asked_for(informed, known, z_ref) -> None:
    plain = IntegratedCell.untrained(CONFIG, seed=1)
    normal = plain.draw_z_struct(5, "ZO1", 7)
    conditional = informed.draw_z_struct(5, "ZO1", 7, z_ref=z_ref)
    np.testing.assert_allclose(conditional, known.structures["ZO1"].drawn(z_ref, normal), rtol=1e-5)
    assert conditional.dtype == np.float32
    np.testing.assert_array_equal(informed.draw_z_struct(3, "ZO1", 7, z_ref=z_ref), conditional[:3])
    # The prior is what it was, to the last bit; also for a structure that has no entry, and without a shape.
    np.testing.assert_array_equal(informed.draw_z_struct(5, "ZO1", 7, z_ref=z_ref, draw_from="prior"), normal)
    np.testing.assert_array_equal(informed.draw_z_struct(5, "ZO1", 7), normal)
    last = CONFIG.structures[-1]
    np.testing.assert_array_equal(
        informed.draw_z_struct(5, last, 7, z_ref=z_ref), plain.draw_z_struct(5, last, 7)
    )


def test_samples_and_draws_agree_and_the_prior_gives_the_samples_of_before(informed, z_ref) -> None:
    plain = IntegratedCell.untrained(CONFIG, seed=1)
    for draw_from in ("prior", "conditional"):
        sampled = informed.sample(4, "ZO1", z_ref=z_ref, seed=3, draw_from=draw_from)["ZO1"][:, -1]
        drawn = np.concatenate([*Draws(informed, z_ref, "ZO1", 3, draw_from).blocks(4, 4)])
        np.testing.assert_allclose(sampled, drawn, atol=1e-6)
        if draw_from == "prior":
            np.testing.assert_array_equal(sampled, plain.sample(4, "ZO1", z_ref=z_ref, seed=3)["ZO1"][:, -1])
        else:
            np.testing.assert_array_equal(
                sampled, informed.sample(4, "ZO1", z_ref=z_ref, seed=3)["ZO1"][:, -1]
            )
            assert np.abs(sampled - plain.sample(4, "ZO1", z_ref=z_ref, seed=3)["ZO1"][:, -1]).max() > 1e-4
    # Each drawn shape has its own z^s.
    many = informed.sample(3, "ZO1", seed=3)["ZO1"]
    np.testing.assert_allclose(informed.sample(2, "ZO1", seed=3)["ZO1"], many[:2], atol=1e-6)


def test_a_variation_says_where_it_was_drawn_from(informed, z_ref) -> None:
    plain = IntegratedCell.untrained(CONFIG, seed=1)
    before = structure_variations(plain, z_ref, "ZO1", 5)["ZO1"]
    prior = structure_variations(informed, z_ref, "ZO1", 5, draw_from="prior")["ZO1"]
    assert (prior.score, prior.draw_from) == (before.score, "prior") == (before.score, before.draw_from)
    conditional = structure_variations(informed, z_ref, "ZO1", 5)["ZO1"]
    assert conditional.draw_from == Draws(informed, z_ref, "ZO1").draw_from == "conditional"
    assert conditional.score != prior.score


def test_what_cannot_be_drawn_is_refused_in_a_sentence(informed, known, z_ref) -> None:
    plain = IntegratedCell.untrained(CONFIG, seed=1)
    with pytest.raises(ValueError, match=r"has no p\(z\^s \| z\^r, y\).*draw from the prior"):
        plain.sample(2, "ZO1", z_ref=z_ref, draw_from="conditional")
    with pytest.raises(ValueError, match="needs a shape: give z_ref"):
        informed.draw_z_struct(2, "ZO1", 0, draw_from="conditional")
    with pytest.raises(ValueError, match="'posterior': choose prior, conditional"):
        informed.draw_z_struct(2, "ZO1", 0, z_ref=z_ref, draw_from="posterior")
    with pytest.raises(ValueError, match="3 positions for 2 cells"):
        informed.draw_z_struct(2, "ZO1", 0, z_ref=z_ref.repeat(3, 0))
    assert checked_draw_from(None) is None
    assert drawn_from(known, None, None, "m") is None
    assert drawn_from(known, None, z_ref, "m") is known


@pytest.mark.parametrize("place", ["again", "again.zip"])
def test_a_bundle_keeps_it_and_gives_it_back(save_model, tmp_path, known, place) -> None:
    bundle = save_model(tmp_path / "b.zip")
    assert load_model(bundle).conditional_prior is None  # as a bundle of an older version
    replace_files(bundle, {CONDITIONAL_PRIOR: known.to_bytes()})
    update_card(bundle, card={"licence": "other"}, model_card_markdown="# other\n")
    loaded = load_model(bundle)
    found = loaded.conditional_prior
    assert tuple(found.structures) == CONFIG.structures[:-1]
    for name, expected in known.structures.items():
        for part in ("slope", "intercept", "covariance"):
            np.testing.assert_allclose(
                getattr(found.structures[name], part), getattr(expected, part), rtol=1e-6
            )
    again = save_bundle(loaded, tmp_path / place, card={}, model_card_markdown="# tiny\n")
    assert load_model(again).conditional_prior.to_bytes() == known.to_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"peroxisomess/slope": np.ones((S, R), np.float32)}, "peroxisomess"),
        ({"ZO1/slope": np.ones((S, R + 1), np.float32)}, "ZO1/slope is not"),
        ({"ZO1/intercept": np.ones(S, np.int32)}, "ZO1/intercept is not"),
        ({"ZO1/covariance": None}, "ZO1/covariance is not"),
        ({"ZO1/covariance": -np.eye(S, dtype=np.float32)}, "not positive definite"),
        ({"ZO1/intercept": np.full(S, np.nan, np.float32)}, "NaN or infinite"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(save_model, tmp_path, known, change, says) -> None:
    bundle = save_model(tmp_path / "b.zip")
    tensors = {**load(known.to_bytes()), **change}
    content = save({name: array for name, array in tensors.items() if array is not None})
    replace_files(bundle, {CONDITIONAL_PRIOR: content})
    with pytest.raises(ValueError, match=says) as refused:
        load_model(bundle)
    assert CONDITIONAL_PRIOR in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_safetensors_is_refused(save_model, tmp_path) -> None:
    bundle = save_model(tmp_path / "b.zip")
    replace_files(bundle, {CONDITIONAL_PRIOR: b"no tensors"})
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_model(bundle)


@pytest.mark.parametrize(
    "parts",
    [
        (np.ones((2, 3)), np.ones(3), np.eye(3)),
        (np.ones(3), np.ones(3), np.eye(3)),
        (np.ones((3, 2)), np.ones((3, 1)), np.eye(3)),
        (np.ones((3, 2)), np.ones(3), np.eye(2)),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        LinearGaussian(*parts)


def test_importing_it_imports_no_torch() -> None:
    code = (
        "import sys, napari_integrated_cell.model.conditional_prior, napari_integrated_cell.model.latent_draws\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
