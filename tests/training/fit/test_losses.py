"""Equations 3 to 14 against their definitions, and where a naive computation would fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from napari_ic_train.fit.losses import (
    binary_cross_entropy,
    decoder_deception_loss,
    decoding_discriminator_loss,
    encoding_discriminator_loss,
    latent_loss,
    reconstruction_loss,
    source_loss,
    structure_loss,
)

LOGITS = st.lists(st.floats(-20, 20), min_size=1, max_size=8)


@given(LOGITS, st.integers(0, 2**31 - 1))
def test_binary_cross_entropy_is_equation_4(logits: list[float], seed: int) -> None:
    u = np.random.default_rng(seed).random(len(logits))
    u_hat = 1 / (1 + np.exp(-np.array(logits)))
    expected = -np.mean(u * np.log(u_hat) + (1 - u) * np.log1p(-u_hat))
    found = binary_cross_entropy(torch.tensor(logits, dtype=torch.float64), torch.from_numpy(u))
    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_cross_entropies_stay_finite_where_probabilities_round_to_0_and_1() -> None:
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = source_loss(logits, observed=True)
    loss.backward()
    assert loss.item() == pytest.approx(100.0)
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0.0, -0.5])
    assert structure_loss(torch.tensor([[500.0, 0.0, -500.0]]), torch.tensor([2])).item() == pytest.approx(
        1000.0
    )


def test_reconstruction_is_a_mean_over_voxels_channels_and_cells() -> None:
    torch.manual_seed(0)
    logits, x = torch.randn(3, 2, 4, 4, 4), torch.rand(3, 2, 4, 4, 4)
    parts = [reconstruction_loss(logits[i : i + 1, c], x[i : i + 1, c]) for i in range(3) for c in range(2)]
    assert reconstruction_loss(logits, x).item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-6)


def test_reconstruction_is_least_where_the_image_is_met() -> None:
    x = torch.rand(2, 1, 3, 3, 3, generator=torch.Generator().manual_seed(0)).clamp(0.05, 0.95)
    best = reconstruction_loss(torch.logit(x), x)
    assert all(reconstruction_loss(torch.logit(x) + shift, x) > best for shift in (-0.1, 0.1))


def test_latent_loss_is_equation_8() -> None:
    z, z_hat = torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 5.0]])
    assert latent_loss(z_hat, z).item() == pytest.approx((9 + 16) / 2)


@given(st.integers(2, 12), st.integers(0, 2**31 - 1))
def test_structure_loss_is_minus_log_softmax(n_structures: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    u, y = random.normal(size=(5, n_structures + 1)), random.integers(n_structures + 1, size=5)
    expected = -np.mean([np.log(np.exp(row)[k] / np.exp(row).sum()) for row, k in zip(u, y, strict=True)])
    assert structure_loss(torch.from_numpy(u), torch.from_numpy(y)).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_source_loss_asks_observed_or_generated() -> None:
    sure_it_is_observed = torch.full((4, 1), 5.0)
    assert source_loss(sure_it_is_observed, observed=True).item() == pytest.approx(
        math.log1p(math.exp(-5)), rel=1e-5
    )
    assert source_loss(sure_it_is_observed, observed=False).item() == pytest.approx(
        5 + math.log1p(math.exp(-5))
    )


def test_sums_are_the_papers_and_halves_its_codes() -> None:
    a, b, c = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0)
    assert encoding_discriminator_loss(a, b) == 3
    assert encoding_discriminator_loss(a, b, "paper-code") == 1.5
    assert decoding_discriminator_loss(a, b, c) == 1 + (2 + 4) / 2
    assert decoding_discriminator_loss(a, b, c, "paper-code") == (1 + (2 + 4) / 2) / 2
    assert decoder_deception_loss(b, c) == 6
    assert decoder_deception_loss(b, c, "paper-code") == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_logits_are_float32(dtype: torch.dtype) -> None:
    logits = torch.linspace(-4, 4, 4096).to(dtype).reshape(64, 64)
    found = binary_cross_entropy(logits, torch.full((64, 64), 0.3))
    exact = binary_cross_entropy(logits.double(), torch.full((64, 64), 0.3).double())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact.item(), rel=1e-6)
    assert structure_loss(logits, torch.zeros(64, dtype=torch.int64)).dtype == torch.float32
    assert latent_loss(logits, torch.zeros(64, 64)).dtype == torch.float32


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_the_reconstruction_loss_has_the_value_and_gradient_of_pytorchs_cross_entropy(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(2, 3, 4, 5, 6, dtype=torch.float64, generator=generator)
    x = torch.rand(2, 3, 4, 5, 6, dtype=torch.float64, generator=generator).round(decimals=1)
    weight = torch.tensor([0.3, 0.3, 2.4], dtype=torch.float64).view(3, 1, 1, 1)
    logits.requires_grad_()
    found = reconstruction_loss(logits, x, last_channel_weight=8.0)
    expected = F.binary_cross_entropy_with_logits(logits, x, weight)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    gradients = [torch.autograd.grad(3 * loss, logits)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weight", [0.5, 1.0, 30.0])
def test_the_last_channel_may_weigh_more_than_the_others(weight: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, x = (torch.rand(2, 3, 2, 2, 2, generator=generator) for _ in range(2))
    a, b, c = (binary_cross_entropy(logits[:, i], x[:, i]).item() for i in range(3))
    expected = (a + b + weight * c) / (2 + weight)
    found = reconstruction_loss(logits, x, last_channel_weight=weight)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_cell_weights_weigh_the_last_channel_of_each_cell() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, x = (torch.rand(2, 3, 2, 2, 2, generator=generator) for _ in range(2))
    h = [[binary_cross_entropy(logits[n, i], x[n, i]).item() for i in range(3)] for n in range(2)]
    expected = sum(a + b + 4 * w * c for (a, b, c), w in zip(h, (0.5, 3.0), strict=True)) / (2 * 6)
    weights = torch.tensor([0.5, 3.0])
    found = reconstruction_loss(logits, x, last_channel_weight=4.0, cell_weights=weights)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    parts = [
        reconstruction_loss(
            logits[n : n + 1], x[n : n + 1], last_channel_weight=4.0, cell_weights=weights[n : n + 1]
        )
        for n in range(2)
    ]
    assert found.item() == pytest.approx(((parts[0] + parts[1]) / 2).item(), rel=1e-6)


def test_class_weights_weigh_cells_and_parts_of_a_batch_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, y = torch.randn(6, 3, generator=generator), torch.tensor([0, 0, 0, 1, 2, 2])
    weights = torch.tensor([0.5, 2.0, 1.0])
    each = -scores.log_softmax(1)[torch.arange(6), y]
    whole = structure_loss(scores, y, weights)
    assert whole.item() == pytest.approx(((weights[y] * each).sum() / 6).item())
    parts = [structure_loss(scores[s], y[s], weights) for s in (slice(0, 3), slice(3, 6))]
    assert whole.item() == pytest.approx(((parts[0] + parts[1]) / 2).item())
