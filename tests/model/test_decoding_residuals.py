"""What decoding leaves out: marginal distribution and correlation of what is drawn, its file, and draws with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.special import ndtri
from tiny_bundle import CONFIG

from napari_integrated_cell.model.bundle import load_model, replace_files, save_bundle
from napari_integrated_cell.model.conditional_prior import CONDITIONAL_PRIOR, ConditionalPrior
from napari_integrated_cell.model.decoding_residuals import (
    DECODING_RESIDUALS,
    LEVELS,
    DecodingResiduals,
    Residuals,
)
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.variation.structure_variation import Draws, structure_variation

NAME = "ZO1"


def residuals(correlation=((1.0, 0.5), (0.6, 0.3))) -> Residuals:
    """Observed voxels are between the decoded one and three times it."""
    decoded = np.array([0.1, 0.2, 0.3])
    return Residuals(decoded, decoded[:, None] * (1 + 2 * LEVELS), np.array(correlation))


@pytest.fixture
def informed() -> IntegratedCell:
    model = IntegratedCell.untrained(CONFIG, seed=1)
    model.conditional_prior = ConditionalPrior({}, DecodingResiduals({NAME: residuals()}))
    return model


@pytest.fixture
def z_ref() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(1, CONFIG.n_ref)).astype(np.float32)


@given(st.floats(0.1, 0.3), st.integers(0, 50))
@settings(deadline=None, max_examples=15)
def test_a_drawn_voxel_has_the_quantiles_of_its_decoded_value(value: float, seed: int) -> None:
    drawn = residuals().drawn(np.full((30, 30, 30), value, np.float32), np.random.default_rng(seed))
    assert drawn.dtype == np.float32
    ranks = (drawn / value - 1) / 2  # uniform in this example, between bins too
    assert -1e-5 <= ranks.min() <= ranks.max() <= 1 + 1e-5
    np.testing.assert_allclose(np.quantile(ranks, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.05)


def test_neighbouring_voxels_have_the_correlation_and_values_beyond_the_bins_take_the_last() -> None:
    drawn = residuals().drawn(np.full((60, 60, 60), 0.2, np.float32), np.random.default_rng(1))
    scores = ndtri(((drawn / 0.2 - 1) / 2).clip(1e-6, 1 - 1e-6))
    in_z, in_x = (
        np.corrcoef(scores[a].ravel(), scores[b].ravel())[0, 1]
        for a, b in (
            (np.s_[1:], np.s_[:-1]),
            (np.s_[:, :, 1:], np.s_[:, :, :-1]),
        )
    )
    # No field has exactly this correlation; its negative powers are left out.
    assert in_z == pytest.approx(0.6, abs=0.12)
    assert in_x == pytest.approx(0.5, abs=0.12)
    outside = np.full((4, 4, 4), 0.9, np.float32)
    assert residuals().drawn(outside, np.random.default_rng(1)).max() <= 0.9 + 1e-6


def test_draws_are_reproducible_each_by_its_number(informed, z_ref) -> None:
    draws = Draws(informed, z_ref, NAME, 3, "observed")
    many = np.concatenate([*draws.blocks(5, 2)])
    for i in (0, 1, 4):
        np.testing.assert_allclose(draws.draw(i), many[i], atol=1e-5)
    assert (
        np.abs(np.concatenate([*Draws(informed, z_ref, NAME, 4, "observed").blocks(1)]) - many[0]).max()
        > 0.01
    )
    decoded = np.concatenate([*Draws(informed, z_ref, NAME, 3).blocks(5, 5)])
    assert np.abs(decoded - many).max() > 0.01
    # A structure without an entry is left as it is decoded.
    plain, same = (Draws(informed, z_ref, "TOM20", 3, source).draw(0) for source in (None, "observed"))
    np.testing.assert_array_equal(plain, same)


def test_draws_with_texture_are_less_alike(informed, z_ref) -> None:
    found = {
        source: structure_variation(informed, z_ref, NAME, 6, draw_from=source)
        for source in ("prior", "conditional", "observed")
    }
    assert [v.draw_from for v in found.values()] == [*found]
    assert found["observed"].score < found["conditional"].score


def test_a_model_without_it_refuses(z_ref) -> None:
    model = IntegratedCell.untrained(CONFIG, seed=1)
    model.conditional_prior = ConditionalPrior({})
    with pytest.raises(ValueError, match="does not say what its decoder leaves out: draw from conditional"):
        Draws(model, z_ref, NAME, 0, "observed")


def test_a_bundle_keeps_it_and_gives_it_back(save_model, tmp_path) -> None:
    bundle = save_model(tmp_path / "b.zip")
    known = ConditionalPrior({}, DecodingResiduals({NAME: residuals()}))
    replace_files(bundle, {CONDITIONAL_PRIOR: known.to_bytes()})
    assert load_model(bundle).conditional_prior.residuals is None
    replace_files(bundle, {DECODING_RESIDUALS: known.residuals.to_bytes()})
    loaded = load_model(bundle)
    again = save_bundle(loaded, tmp_path / "again", card={}, model_card_markdown="# tiny\n")
    assert load_model(again).conditional_prior.residuals.to_bytes() == known.residuals.to_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"peroxisomess/decoded": np.ones(3, np.float32)}, "peroxisomess"),
        ({"ZO1/decoded": np.ones(3, np.float32)}, "do not increase"),
        ({"ZO1/quantiles": np.ones((2, len(LEVELS)), np.float32)}, "do not fit together"),
        ({"ZO1/correlation": None}, "lacks 'ZO1/correlation'"),
        ({"ZO1/correlation": np.zeros((2, 2), np.float32)}, "not positive"),
        ({"ZO1/correlation": np.full((2, 2), np.nan, np.float32)}, "NaN or infinite"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(save_model, tmp_path, change, says) -> None:
    bundle = save_model(tmp_path / "b.zip")
    known = ConditionalPrior({}, DecodingResiduals({NAME: residuals()}))
    tensors = {**load(known.residuals.to_bytes()), **change}
    content = save({name: array for name, array in tensors.items() if array is not None})
    replace_files(bundle, {CONDITIONAL_PRIOR: known.to_bytes(), DECODING_RESIDUALS: content})
    with pytest.raises(ValueError, match=says) as refused:
        load_model(bundle)
    assert "\n" not in str(refused.value)


def test_parts_can_be_replaced() -> None:
    assert replace(ConditionalPrior({}), residuals=DecodingResiduals({})).residuals.structures == {}
