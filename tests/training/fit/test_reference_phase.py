"""Algorithm 1: the real step against a literal implementation."""

from __future__ import annotations

import copy

import pytest
import torch
from literal import Adam, Four, IterationDraws, algorithm_1, assert_same_weights, published_step, quiet
from torch import Tensor
from toy_training import MODEL, toy_config

from napari_ic_train.fit.phase import initialised
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_integrated_cell.model.networks import ReferenceNetworks, reference_networks


def networks(seed: int = 0) -> ReferenceNetworks:
    made = initialised(reference_networks(MODEL), torch.Generator().manual_seed(seed))
    for network in made:
        network.double()
    return made


def images(n: int = 4, seed: int = 1) -> Tensor:
    shape = (n, MODEL.n_references, *MODEL.box)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def replay(generator: torch.Generator, x: Tensor) -> IterationDraws:
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    z_drawn = normal(len(x), MODEL.n_ref)
    return IterationDraws(None, z_drawn, None, [normal(*x.shape) for _ in range(3)])


@pytest.mark.parametrize("scaling", ["paper", "paper-code"])
@pytest.mark.parametrize("gammas", [(1e-4, 1e-5), (0.3, 0.7)])
def test_step_gives_the_weights_of_the_literal_algorithm(scaling: str, gammas: tuple[float, float]) -> None:
    config = toy_config(loss_scaling=scaling, gamma_enc=gammas[0], gamma_dec=gammas[1])
    ours, theirs = networks(), Four(*copy.deepcopy(networks()))
    quiet(theirs.dec_d)
    phase = ReferencePhase(config, ours, torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    rates = (2e-4, 2e-4, 0.01, 2e-4)
    adams = [Adam(list(n.parameters()), rate, (0.5, 0.999)) for n, rate in zip(theirs, rates, strict=True)]

    for iteration in range(3):
        x = images(seed=iteration)
        phase.step(x)
        gradients = algorithm_1(theirs, x, replay(generator, x), gammas, scaling)
        for index in (2, 3, 0, 1):  # the printed order of the updates
            adams[index].step(gradients[index])

    assert_same_weights(ours, theirs, gradients)


@pytest.mark.parametrize("gammas", [(1e-4, 1e-5), (0.3, 0.7)])
def test_the_published_order_takes_gradients_from_stepped_discriminators(gammas: tuple[float, float]) -> None:
    config = toy_config(
        loss_scaling="paper-code",
        discriminator_gradients="stepped",
        gamma_enc=gammas[0],
        gamma_dec=gammas[1],
    )
    ours, theirs = networks(), Four(*copy.deepcopy(networks()))
    quiet(theirs.dec_d)
    phase = ReferencePhase(config, ours, torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    rates = (2e-4, 2e-4, 0.01, 2e-4)
    adams = [Adam(list(n.parameters()), rate, (0.5, 0.999)) for n, rate in zip(theirs, rates, strict=True)]
    for iteration in range(3):
        x = images(seed=iteration)
        phase.step(x)
        draws = replay(generator, x)
        later = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(2)]
        gradients = published_step(
            lambda d, x=x: algorithm_1(theirs, x, d, gammas, "paper-code"), adams, draws, later
        )
    assert_same_weights(ours, theirs, gradients)


def test_the_order_of_updates_changes_the_step() -> None:
    made = {}
    for which in ("before", "stepped"):
        ours = networks()
        config = toy_config(discriminator_gradients=which, gamma_enc=0.3, gamma_dec=0.7)
        ReferencePhase(config, ours, torch.Generator().manual_seed(7)).step(images())
        made[which] = ours
    for name, same_weights in (("enc", False), ("dec", False), ("enc_d", True), ("dec_d", True)):
        weights = [
            torch.cat([p.flatten() for p in getattr(made[h], name).parameters()])
            for h in ("before", "stepped")
        ]
        assert torch.allclose(*weights, rtol=0, atol=1e-12) == same_weights, name


def test_running_statistics_are_those_of_the_printed_order_of_passes() -> None:
    ours, theirs = networks(), networks()
    quiet(theirs.dec_d)
    x = images()
    ReferencePhase(toy_config(), ours, torch.Generator().manual_seed(7)).step(x)

    draws = replay(torch.Generator().manual_seed(7), x)
    on_x, on_dec, on_gen = (0.01 * noise for noise in draws.noise)
    z = theirs.enc(x)
    x_hat, x_gen = theirs.dec(z), theirs.dec(draws.z_drawn)
    theirs.enc_d(draws.z_drawn), theirs.enc_d(z)
    theirs.dec_d(x + on_x), theirs.dec_d(x_hat + on_dec), theirs.dec_d(x_gen + on_gen)

    for network, literal in zip(ours, theirs, strict=True):
        for (key, buffer), other in zip(network.named_buffers(), literal.buffers(), strict=True):
            torch.testing.assert_close(buffer, other, rtol=0, atol=1e-12, msg=key)


def gradients(**fields: float) -> dict[str, list[Tensor]]:
    phase = ReferencePhase(toy_config(**fields), networks(), torch.Generator().manual_seed(7))
    phase.gradients(images())
    return {
        name: [p.grad for p in network.parameters()]
        for name, network in zip(phase.networks._fields, phase.networks, strict=True)
    }


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.allclose(p, q, rtol=1e-12, atol=1e-15) for p, q in zip(a, b, strict=True))


def test_only_the_decoder_hears_the_decoding_discriminator() -> None:
    quietly, loudly = gradients(gamma_dec=0.0), gradients(gamma_dec=10.0)
    changed = {name for name in quietly if not same(quietly[name], loudly[name])}
    assert changed == {"dec"}


def test_only_the_encoder_hears_the_encoding_discriminator() -> None:
    quietly, loudly = gradients(gamma_enc=0.0), gradients(gamma_enc=10.0)
    changed = {name for name in quietly if not same(quietly[name], loudly[name])}
    assert changed == {"enc"}


def test_reconstruction_weight_scales_the_autoencoder_alone() -> None:
    plain = gradients(gamma_enc=0.0, gamma_dec=0.0)
    tripled = gradients(gamma_enc=0.0, gamma_dec=0.0, reconstruction_weight=3.0)
    for name in ("enc", "dec"):
        assert same([3 * g for g in plain[name]], tripled[name])
    for name in ("enc_d", "dec_d"):
        assert same(plain[name], tripled[name])


def test_gradients_of_several_batches_add_up() -> None:
    once = ReferencePhase(toy_config(), networks(), torch.Generator().manual_seed(7))
    twice = ReferencePhase(toy_config(), networks(), torch.Generator().manual_seed(7))
    once.gradients(images())
    twice.gradients(images())
    twice.generator.manual_seed(7)
    twice.gradients(images())
    for a, b in zip(once.networks, twice.networks, strict=True):
        assert same([2 * p.grad for p in a.parameters()], [p.grad for p in b.parameters()])


def test_bf16_takes_nearly_the_step_of_fp32() -> None:
    def losses(precision: str) -> dict[str, Tensor]:
        made = initialised(reference_networks(MODEL), torch.Generator().manual_seed(0))
        phase = ReferencePhase(toy_config(precision=precision), made, torch.Generator().manual_seed(7))
        return [phase.step(images().float()) for _ in range(3)][-1]

    full, half = losses("fp32"), losses("bf16")
    assert list(full) == list(half)
    for name, value in full.items():
        assert value.dtype == half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(value.item(), rel=0.02), name
    assert full["reconstruction"].item() != half["reconstruction"].item(), "bf16 was not used"


def test_state_carries_a_phase_over_to_another() -> None:
    made = initialised(reference_networks(MODEL), torch.Generator().manual_seed(0))
    phase = ReferencePhase(toy_config(), made, torch.Generator().manual_seed(7))
    for seed in range(2):
        phase.step(images(seed=seed).float())
    state = {name: tensor.clone() for name, tensor in phase.state().items()}
    others = initialised(reference_networks(MODEL), torch.Generator().manual_seed(99))
    other = ReferencePhase(toy_config(), others, torch.Generator().manual_seed(98))
    other.load_state(state)
    for seed in range(2, 5):
        assert phase.step(images(seed=seed).float()) == other.step(images(seed=seed).float())
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in phase.state().items())


def test_state_of_another_model_is_refused() -> None:
    phase = ReferencePhase(toy_config(), networks(), torch.Generator())
    wider = MODEL.model_copy(update={"dec_widths": (12, 4)})
    other = ReferencePhase(toy_config(model=wider), reference_networks(wider), torch.Generator())
    with pytest.raises(ValueError, match="does not fit this configuration's dec network"):
        other.load_state(phase.state())


def standardised(latent_moments: str) -> tuple[Tensor, Tensor, Tensor]:
    """Codes in phase 1 after some batches, the gradient of a sum of them, and the codes in eval mode."""
    config = toy_config(model=MODEL.model_copy(update={"latent_norm": True}), latent_moments=latent_moments)
    made = initialised(reference_networks(config.model), torch.Generator().manual_seed(0))
    enc = ReferencePhase(config, made, torch.Generator()).networks.enc
    draw = torch.Generator().manual_seed(2)
    for _ in range(30):
        raw = (3 + 2 * torch.randn((4, MODEL.n_ref), generator=draw)).requires_grad_()
        z_ref = enc.standardise(raw)
    weights = torch.randn(z_ref.shape, generator=draw)
    (gradient,) = torch.autograd.grad((weights * z_ref).sum(), raw)
    return z_ref.detach(), gradient, enc.standardise.eval()(raw).detach()


def test_by_running_moments_codes_are_those_of_use_with_the_gradient_of_the_batch_s() -> None:
    z_batch, gradient_batch, _ = standardised("batch")
    z_running, gradient_running, in_use = standardised("running")
    torch.testing.assert_close(z_running, in_use)
    assert not torch.allclose(z_running, z_batch, atol=0.1)
    torch.testing.assert_close(gradient_running, gradient_batch)


def test_the_reference_is_standardised_by_its_batch_unless_asked_otherwise() -> None:
    z_ref, _, in_use = standardised(toy_config().latent_moments)
    torch.testing.assert_close(z_ref.mean(0), torch.zeros(MODEL.n_ref), atol=1e-5, rtol=0)
    assert not torch.allclose(z_ref, in_use, atol=0.1)
