"""Literal implementations of Algorithms 1 and 2, to compare the real training steps with.

Each update is computed by itself: fresh copies of the four networks as they were before the iteration, every
parameter but the updated network's frozen, one forward pass of its own, one ordinary backward pass; the four
Adam steps follow in the printed order. Losses are spelt out from probabilities.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


def h(probability: Tensor, u: Tensor | float) -> Tensor:
    """Equation 4."""
    return -(u * probability.log() + (1 - u) * (1 - probability).log()).mean()


def minus_log_softmax(scores: Tensor, y: Tensor) -> Tensor:
    """Equations 9 and 10, averaged over the batch."""
    return -torch.stack([(s[k].exp() / s.exp().sum()).log() for s, k in zip(scores, y, strict=True)]).mean()


class Adam:
    """Kingma & Ba (2014), written out."""

    def __init__(self, parameters: list[nn.Parameter], rate: float, betas: tuple[float, float]) -> None:
        self.parameters, self.rate, self.betas, self.t = parameters, rate, betas, 0
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        self.t += 1
        b1, b2 = self.betas
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v, strict=True):
            m.copy_(b1 * m + (1 - b1) * g)
            v.copy_(b2 * v + (1 - b2) * g * g)
            m_hat, v_hat = m / (1 - b1**self.t), v / (1 - b2**self.t)
            p.copy_(p - self.rate * m_hat / (v_hat.sqrt() + 1e-8))


class Four(NamedTuple):
    enc: nn.Module
    dec: nn.Module
    enc_d: nn.Module
    dec_d: nn.Module


def quiet(network: nn.Module) -> nn.Module:
    """DecD without its own noise: the literal step adds the noise drawn for it."""
    network.noise_sigma = 0.0
    return network


def gradient_of(networks: Four, which: int, loss: Callable[[Four], Tensor]) -> list[Tensor]:
    """The gradient of a loss with respect to one network, all others frozen."""
    own = Four(*(copy.deepcopy(network) for network in networks))
    for index, network in enumerate(own):
        network.requires_grad_(index == which)
    loss(own).backward()
    return [parameter.grad for parameter in own[which].parameters()]


class IterationDraws(NamedTuple):
    """What one iteration of Algorithm 1 or 2 draws, in the order in which it is documented to be drawn."""

    order: Tensor | None
    z_drawn: Tensor
    z_ref_drawn: Tensor | None
    noise: list[Tensor]


def algorithm_1(
    networks: Four, x: Tensor, draws: IterationDraws, gammas: tuple[float, float], scaling: str
) -> list:
    """The four gradients of one iteration of Algorithm 1, in the order enc, dec, enc_d, dec_d."""
    gamma_enc, gamma_dec = gammas
    half = 0.5 if scaling == "paper-code" else 1.0
    on_x, on_dec, on_gen = (0.01 * noise for noise in draws.noise)
    v_obs, v_gen = 1.0, 0.0

    def enc_d(own: Four) -> Tensor:
        judged_gen = own.enc_d(draws.z_drawn).sigmoid()
        judged_obs = own.enc_d(own.enc(x)).sigmoid()
        return half * (h(judged_gen, v_gen) + h(judged_obs, v_obs))

    def dec_d(own: Four) -> Tensor:
        judged_obs = own.dec_d(x + on_x).sigmoid()
        judged_dec = own.dec_d(own.dec(own.enc(x)) + on_dec).sigmoid()
        judged_gen = own.dec_d(own.dec(draws.z_drawn) + on_gen).sigmoid()
        return half * (h(judged_obs, v_obs) + (h(judged_dec, v_gen) + h(judged_gen, v_gen)) / 2)

    def enc(own: Four) -> Tensor:
        z = own.enc(x)
        return h(own.dec(z), x) + gamma_enc * h(own.enc_d(z).sigmoid(), v_gen)

    def dec(own: Four) -> Tensor:
        x_hat, x_gen = own.dec(own.enc(x)), own.dec(draws.z_drawn)
        deception = h(own.dec_d(x_hat + on_dec).sigmoid(), v_obs) + h(
            own.dec_d(x_gen + on_gen).sigmoid(), v_obs
        )
        return h(x_hat, x) + gamma_dec * half * deception

    return [gradient_of(networks, index, loss) for index, loss in enumerate((enc, dec, enc_d, dec_d))]


def algorithm_2(
    networks: Four,
    batch: tuple[Tensor, Tensor, Tensor],
    draws: IterationDraws,
    gammas: tuple[float, float],
    scaling: str,
    generated: str,
) -> list:
    """The four gradients of one iteration of Algorithm 2, in the order enc, dec, enc_d, dec_d."""
    x, y, z_ref = batch
    gamma_enc, gamma_dec = gammas
    half = 0.5 if scaling == "paper-code" else 1.0
    noise = [0.01 * n for n in draws.noise]
    n_structures = networks.enc(x).y_logits.shape[1]
    y_gen = torch.full_like(y, n_structures)
    y_drawn = y[draws.order]
    y_drawn_one_hot = torch.eye(n_structures, dtype=x.dtype)[y_drawn]

    def encode(own: Four) -> tuple[Tensor, Tensor, Tensor]:
        code = own.enc(x)
        scores = code.y_logits.exp()
        return scores / scores.sum(1, keepdim=True), code.z_ref, code.z_struct

    def generate(own: Four, for_discriminator: bool) -> Tensor:
        y_hat, z_ref_hat, _ = encode(own)
        if generated == "paper":
            return own.dec(y_drawn_one_hot, z_ref_hat, draws.z_drawn)
        if for_discriminator:
            return own.dec(y_hat, z_ref_hat, draws.z_drawn)
        return own.dec(y_drawn_one_hot, draws.z_ref_drawn, draws.z_drawn)

    def enc_d(own: Four) -> Tensor:
        on_drawn = minus_log_softmax(own.enc_d(draws.z_drawn), y_gen)
        return half * (on_drawn + minus_log_softmax(own.enc_d(encode(own)[2]), y))

    def dec_d(own: Four) -> Tensor:
        on_obs = minus_log_softmax(own.dec_d(x + noise[0]), y)
        on_dec = minus_log_softmax(own.dec_d(own.dec(*encode(own)) + noise[1]), y_gen)
        on_gen = minus_log_softmax(own.dec_d(generate(own, True) + noise[2]), y_gen)
        return half * (on_obs + (on_dec + on_gen) / 2)

    def enc(own: Four) -> Tensor:
        y_hat, z_ref_hat, z_struct = encode(own)
        classification = -torch.stack([p[k].log() for p, k in zip(y_hat, y, strict=True)]).mean()
        latent = ((z_ref_hat - z_ref) ** 2).mean()
        deception = minus_log_softmax(own.enc_d(z_struct), y_gen)
        return h(own.dec(y_hat, z_ref_hat, z_struct), x) + classification + latent + gamma_enc * deception

    def dec(own: Four) -> Tensor:
        x_hat, x_gen = own.dec(*encode(own)), generate(own, False)
        on_dec = minus_log_softmax(own.dec_d(x_hat + noise[1]), y)
        on_gen = minus_log_softmax(own.dec_d(x_gen + noise[-1]), y_drawn)
        return h(x_hat, x) + gamma_dec * half * (on_dec + on_gen)

    return [gradient_of(networks, index, loss) for index, loss in enumerate((enc, dec, enc_d, dec_d))]


def with_noise(draws: IterationDraws, noise: list[Tensor]) -> IterationDraws:
    """The same draws with other noise on reconstructed and on generated images."""
    return draws._replace(noise=[draws.noise[0], *noise])


def published_step(
    gradients: Callable[[IterationDraws], list], adams: list[Adam], draws: IterationDraws, later: list[Tensor]
) -> list:
    """One iteration in the order of the published code: the autoencoder hears discriminators that have stepped.

    ``gradients`` returns those of an algorithm with the networks as they are when it is called. ``later`` is the noise
    on reconstructed and generated images when DecD judges them for the decoder.
    """
    of_discriminators = gradients(draws)
    for index in (2, 3):
        adams[index].step(of_discriminators[index])
    of_autoencoder = gradients(with_noise(draws, later))
    for index in (0, 1):
        adams[index].step(of_autoencoder[index])
    return [*of_autoencoder[:2], *of_discriminators[2:]]


def assert_same_weights(ours: NamedTuple, theirs: Four, gradients: list) -> None:
    """Equal to 1e-10; to 1e-8 where the gradient is zero but for rounding.

    That is so for a bias before batch normalisation: Adam divides its rounding by an epsilon of 1e-8.
    """
    for name, network, literal, gradient in zip(ours._fields, ours, theirs, gradients, strict=True):
        for (key, parameter), other, g in zip(
            network.named_parameters(), literal.parameters(), gradient, strict=True
        ):
            rounding = key.endswith("bias") and g.abs().max() < 1e-14
            difference = (parameter - other).abs().max().item()
            assert difference < (1e-8 if rounding else 1e-10), f"{name}.{key} differs by {difference}"
