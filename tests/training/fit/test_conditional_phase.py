"""Algorithm 2: the real step against a literal implementation."""

from __future__ import annotations

import copy

import pytest
import torch
from literal import Adam, Four, IterationDraws, algorithm_2, assert_same_weights, published_step, quiet
from torch import Tensor
from toy_training import MODEL, toy_config

from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.phase import initialised
from napari_integrated_cell.model.networks import ConditionalNetworks, conditional_networks


def networks(seed: int = 0) -> ConditionalNetworks:
    made = initialised(conditional_networks(MODEL), torch.Generator().manual_seed(seed))
    for network in made:
        network.double()
    return made


def batch(n: int = 5, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((n, MODEL.n_references + 1, *MODEL.box), generator=generator, dtype=torch.float64)
    y = torch.randint(MODEL.n_structures, (n,), generator=generator)
    return x, y, torch.randn((n, MODEL.n_ref), generator=generator, dtype=torch.float64)


def replay(generator: torch.Generator, x: Tensor, generated: str) -> IterationDraws:
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    order = torch.randperm(len(x), generator=generator)
    z_drawn = normal(len(x), MODEL.n_struct)
    z_ref_drawn = normal(len(x), MODEL.n_ref) if generated == "paper-code" else None
    passes = 4 if generated == "paper-code" else 3
    return IterationDraws(order, z_drawn, z_ref_drawn, [normal(*x.shape) for _ in range(passes)])


@pytest.mark.parametrize("generated", ["paper", "paper-code"])
@pytest.mark.parametrize("scaling", ["paper", "paper-code"])
@pytest.mark.parametrize("gammas", [(1e-4, 1e-5), (0.3, 0.7)])
def test_step_gives_the_weights_of_the_literal_algorithm(
    gammas: tuple[float, float], scaling: str, generated: str
) -> None:
    config = toy_config(loss_scaling=scaling, generated=generated, gamma_enc=gammas[0], gamma_dec=gammas[1])
    ours, theirs = networks(), Four(*copy.deepcopy(networks()))
    quiet(theirs.dec_d)
    phase = ConditionalPhase(config, ours, torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    rates = (2e-4, 2e-4, 0.01, 2e-4)
    adams = [Adam(list(n.parameters()), rate, (0.5, 0.999)) for n, rate in zip(theirs, rates, strict=True)]

    for iteration in range(3):
        given = batch(seed=iteration)
        phase.step(*given)
        draws = replay(generator, given[0], generated)
        gradients = algorithm_2(theirs, given, draws, gammas, scaling, generated)
        for index in (2, 3, 0, 1):  # the printed order of the updates
            adams[index].step(gradients[index])

    assert_same_weights(ours, theirs, gradients)


@pytest.mark.parametrize("generated", ["paper", "paper-code"])
@pytest.mark.parametrize("gammas", [(1e-4, 1e-5), (0.3, 0.7)])
def test_the_published_order_takes_gradients_from_stepped_discriminators(
    gammas: tuple[float, float], generated: str
) -> None:
    config = toy_config(
        loss_scaling="paper-code",
        generated=generated,
        discriminator_gradients="stepped",
        gamma_enc=gammas[0],
        gamma_dec=gammas[1],
    )
    ours, theirs = networks(), Four(*copy.deepcopy(networks()))
    quiet(theirs.dec_d)
    phase = ConditionalPhase(config, ours, torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    rates = (2e-4, 2e-4, 0.01, 2e-4)
    adams = [Adam(list(n.parameters()), rate, (0.5, 0.999)) for n, rate in zip(theirs, rates, strict=True)]
    for iteration in range(3):
        given = batch(seed=iteration)
        phase.step(*given)
        draws = replay(generator, given[0], generated)
        later = [torch.randn(given[0].shape, generator=generator, dtype=given[0].dtype) for _ in range(2)]
        found = published_step(
            lambda d, given=given: algorithm_2(theirs, given, d, gammas, "paper-code", generated),
            adams,
            draws,
            later,
        )
    assert_same_weights(ours, theirs, found)


def gradients(**fields: object) -> dict[str, list[Tensor]]:
    phase = ConditionalPhase(toy_config(**fields), networks(), torch.Generator().manual_seed(7))
    phase.gradients(*batch())
    return {
        name: [p.grad for p in network.parameters()]
        for name, network in zip(phase.networks._fields, phase.networks, strict=True)
    }


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.allclose(p, q, rtol=1e-12, atol=1e-15) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("generated", ["paper", "paper-code"])
@pytest.mark.parametrize(("gamma", "listener"), [("gamma_dec", "dec"), ("gamma_enc", "enc")])
def test_a_discriminator_is_heard_by_its_own_network_alone(gamma: str, listener: str, generated: str) -> None:
    quietly = gradients(**{gamma: 0.0, "generated": generated})
    loudly = gradients(**{gamma: 10.0, "generated": generated})
    assert {name for name in quietly if not same(quietly[name], loudly[name])} == {listener}


@pytest.mark.parametrize(
    ("field", "both", "own"), [("gamma_enc", 10.0, 0.0), ("reconstruction_weight", 10.0, 2.0)]
)
def test_a_phase_may_have_a_weight_of_its_own(field: str, both: float, own: float) -> None:
    here = gradients(**{field: both, "conditional": {field: own}})
    assert same(here["enc"], gradients(**{field: own})["enc"])
    assert not same(here["enc"], gradients(**{field: both})["enc"])
    elsewhere = gradients(**{field: both, "reference": {field: own}})
    assert same(elsewhere["enc"], gradients(**{field: both})["enc"])


def decoded_codes(phase: ConditionalPhase) -> list[tuple[Tensor, ...]]:
    """Record the inputs of the phase's decoder from now on: label, z^r and z^s."""
    asked: list[tuple[Tensor, ...]] = []
    logits = phase.networks.dec.logits
    phase.networks.dec.logits = lambda *code: (asked.append(code), logits(*code))[1]
    return asked


@pytest.mark.parametrize(
    ("grows", "done", "fewest", "most"),
    [(False, 0.0, 30, 54), (True, 0.0, 0, 0), (True, 0.5, 12, 30), (True, 1.0, 30, 54)],
)
def test_a_share_of_the_cells_is_decoded_at_the_priors_mode(
    grows: bool, done: float, fewest: int, most: int
) -> None:
    """For these cells z^s has no influence on the loss; for all other cells it has."""
    config = toy_config(mode_share=0.4, mode_share_grows=grows)
    phase = ConditionalPhase(config, networks(), torch.Generator().manual_seed(7))
    phase.done = done
    asked = decoded_codes(phase)
    phase.gradients(*batch(105), judge=False)
    z_struct = asked[0][2]
    at_mode = (z_struct == 0).all(1)
    assert fewest <= at_mode.sum() <= most
    assert not (z_struct[~at_mode] == 0).any()


@pytest.mark.parametrize("generated", ["paper", "paper-code"])
@pytest.mark.parametrize("head", ["y", "z_ref"])
def test_at_the_target_images_teach_the_encoder_by_z_s_alone(head: str, generated: str) -> None:
    """With any weight of the images, the heads of ŷ and ẑ^r learn from their own losses only."""

    def gradient(weight: float, decoded_at: str) -> Tensor:
        config = toy_config(reconstruction_weight=weight, decoded_at=decoded_at, generated=generated)
        phase = ConditionalPhase(config, networks(), torch.Generator().manual_seed(7))
        x, y, z_ref = batch()
        asked = decoded_codes(phase)
        phase.gradients(x, y, z_ref)
        told, at, _ = asked[0]
        assert torch.equal(at, z_ref) == (decoded_at == "target")
        assert torch.equal(told, torch.eye(MODEL.n_structures).to(told)[y]) == (decoded_at == "target")
        found = getattr(phase.networks.enc, head).weight.grad
        assert found is not None
        return found

    assert torch.equal(gradient(1.0, "target"), gradient(100.0, "target"))
    assert not torch.allclose(gradient(1.0, "predicted"), gradient(100.0, "predicted"))


def test_the_two_ways_to_generate_differ_for_decoder_and_its_discriminator_alone() -> None:
    paper, code = gradients(gamma_dec=1.0), gradients(gamma_dec=1.0, generated="paper-code")
    assert {name for name in paper if not same(paper[name], code[name])} == {"dec", "dec_d"}


def test_losses_are_those_of_the_batch() -> None:
    phase = ConditionalPhase(toy_config(), networks(), torch.Generator().manual_seed(7))
    x, y, z_ref = batch()
    code = copy.deepcopy(phase.networks.enc)(x)
    losses = phase.step(x, y, z_ref)
    assert tuple(losses) == phase.loss_names
    expected = ((code.z_ref - z_ref) ** 2).mean()
    assert losses["latent"].item() == pytest.approx(expected.item(), rel=1e-12)
    expected = -code.y_logits.log_softmax(1)[torch.arange(len(y)), y].mean()
    assert losses["structure"].item() == pytest.approx(expected.item(), rel=1e-12)


def test_learning_rates_scale_together() -> None:
    phase = ConditionalPhase(toy_config(), networks(), torch.Generator())
    phase.scale_learning_rates(0.5)
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in phase.optimisers.items()}
    assert rates == {"enc": 1e-4, "dec": 1e-4, "enc_d": 0.005, "dec_d": 1e-4}


def test_without_a_judge_the_decoder_learns_from_reconstructions_alone() -> None:
    """Without DecD, the gradients are the same as with gamma_dec = 0, and DecD gets none."""

    def judged(judge: bool) -> dict[str, list[Tensor]]:
        phase = ConditionalPhase(toy_config(gamma_dec=0.0), networks(), torch.Generator().manual_seed(7))
        # The decoder's running statistics are not compared: images pass it twice only with DecD.
        losses = phase.gradients(*batch(), judge=judge)
        assert set(phase.loss_names) - set(losses) == (set() if judge else set(phase.judged_losses))
        return {
            name: [p.grad for p in network.parameters()]
            for name, network in zip(phase.networks._fields, phase.networks, strict=True)
        }

    loud, silent = judged(True), judged(False)
    assert all(gradient is None for gradient in silent["dec_d"])
    for name in ("enc", "dec", "enc_d"):
        assert same(loud[name], silent[name])


def test_a_heavier_structure_channel_changes_what_autoencoders_learn() -> None:
    plain, heavy = gradients(), gradients(structure_channel_weight=30.0)
    assert {name for name in plain if not same(plain[name], heavy[name])} == {"enc", "dec"}


def test_a_structure_of_little_light_may_weigh_more() -> None:
    """In a batch of one structure the weight acts like a weight of its channel. A weight of 1 changes nothing."""

    def gradients_of(
        weights: Tensor | None, y: int | None = None, **fields: float
    ) -> dict[str, list[Tensor]]:
        phase = ConditionalPhase(toy_config(**fields), networks(), torch.Generator().manual_seed(7))
        phase.light_weights = weights
        x, labels, z_ref = batch()
        phase.gradients(x, labels if y is None else torch.full_like(labels, y), z_ref)
        return {name: [p.grad for p in getattr(phase.networks, name).parameters()] for name in ("enc", "dec")}

    ones = torch.ones(MODEL.n_structures)
    plain, weighed = gradients_of(None), gradients_of(ones)
    assert all(same(plain[name], weighed[name]) for name in plain)
    bright, dim = ones.clone(), ones.clone()
    dim[1] = 3.0
    assert not same(gradients_of(bright, 1)["dec"], gradients_of(dim, 1)["dec"])
    assert same(gradients_of(bright, 0)["dec"], gradients_of(dim, 0)["dec"])


def test_gradients_of_weighted_parts_add_up() -> None:
    once, twice = gradients(), None
    phase = ConditionalPhase(toy_config(), networks(), torch.Generator().manual_seed(7))
    for _ in range(2):
        phase.generator.manual_seed(7)
        phase.gradients(*batch(), weight=0.5)
    twice = {
        name: [p.grad for p in network.parameters()]
        for name, network in zip(phase.networks._fields, phase.networks, strict=True)
    }
    assert all(same(once[name], twice[name]) for name in once)
