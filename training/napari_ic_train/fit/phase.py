"""Common part of Algorithms 1 and 2: four networks, four Adam optimisers, and which loss trains which network.

Both algorithms update the discriminators first and the autoencoder last, but they compute every output V̂ or Ŷ of a
discriminator that the autoencoder learns from before the first update. So one forward pass serves all four updates:
its graph is cut into leaves where a gradient must not pass, all gradients are computed, and then the four optimisers
step. The resulting weights are those of the printed order, with two thirds of its arithmetic. A run on several devices
sums gradients in one place: between `Phase.gradients` and `Phase.update`.

The published code departs from this: its autoencoder learns from discriminators that have taken their step. With
``discriminator_gradients="stepped"`` they step within `Phase.gradients`, and judge the same codes and images once more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.draws import RandomDraws
from napari_ic_train.run.checkpoint import under
from napari_ic_train.run.fitted_networks import AnyNetworks, Networks
from napari_integrated_cell.model.networks import initialise


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """Results of one batch in all four networks, with the graph cut where gradients must not pass.

    Attributes
    ----------
    losses : dict of str to Tensor
        Unweighted scalars. All phases have ``reconstruction``, ``encoder_deception`` and
        ``encoding_discriminator``, and if DecD took part ``decoder_deception`` and
        ``decoding_discriminator``. Any other loss depends on the encoder directly.
    code, code_leaves : tuple of Tensor
        The encoder's output with its graph; and the same values without it, which all later networks used.
    images, image_leaves : tuple of Tensor
        The decoder's images with their graph; and the same values without it, which DecD saw. Empty if DecD did not
        take part.
    deceptions : callable
        Returns the losses ``encoder_deception`` and, if DecD took part, ``decoder_deception`` by the discriminators as
        they are now, from ``code_leaves`` and ``image_leaves``.
    """

    losses: dict[str, Tensor]
    code: tuple[Tensor, ...]
    code_leaves: tuple[Tensor, ...]
    images: tuple[Tensor, ...]
    image_leaves: tuple[Tensor, ...]
    deceptions: Callable[[], dict[str, Tensor]]


class Phase(ABC):
    """Four networks in training and their optimisers (section 3.3).

    Parameters
    ----------
    config : TrainingConfig
        Learning rates, weights, precision.
    networks : ReferenceNetworks or ConditionalNetworks
        Trained in place, on their own device and in their own floating-point type.
    generator : torch.Generator
        The source of every random number of the phase: draws from the priors first, then the white noise of each of
        DecD's inputs, in the order in which DecD sees them. It is on the networks' device.

    Notes
    -----
    Batch normalisation sees real, reconstructed and generated examples as separate batches: a discriminator gets each
    kind in a batch of its own, and a decoder reconstructs in one batch and generates in another. Each of these passes
    updates the running statistics once.
    """

    done: float = 0.0
    """Finished share of the phase, 0 to 1; the training loop sets it before each step."""
    name: ClassVar[str]
    own_losses: ClassVar[tuple[str, ...]] = ()
    judged_losses: ClassVar[tuple[str, ...]] = ("decoder_deception", "decoding_discriminator")

    def __init__(self, config: TrainingConfig, networks: Networks, generator: torch.Generator) -> None:
        self.config = config
        self.networks = networks
        self.generator = generator
        self.draws = RandomDraws(generator)
        networks.dec_d.white_noise = self.draws.white_noise
        for network in networks:
            network.train().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        rates = {"enc_d": config.encoding_discriminator_learning_rate}
        self._learning_rates = {name: rates.get(name, config.learning_rate) for name in networks._fields}
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=rate, betas=config.betas, fused=True)
            for (name, rate), network in zip(self._learning_rates.items(), networks, strict=True)
        }

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses that a step returns, in order."""
        adversarial = (
            "encoder_deception",
            "decoder_deception",
            "encoding_discriminator",
            "decoding_discriminator",
        )
        return ("reconstruction", *self.own_losses, *adversarial)

    @property
    def gamma_enc(self) -> float:
        """Weight of EncD's signal in the encoder's loss, of this phase or of both (equations 15, 17)."""
        return float(self.config.in_phase(self.name, "gamma_enc"))

    @property
    def reconstruction_weight(self) -> float:
        """Weight of L_x in the encoder's and the decoder's loss, of this phase or of both."""
        return float(self.config.in_phase(self.name, "reconstruction_weight"))

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return next(self.networks.enc.parameters()).device

    @abstractmethod
    def forward(self, *batch: Tensor, judge: bool) -> ForwardPass:
        """Run one batch through all four networks, or without ``judge`` through all but DecD."""

    def gradients(
        self,
        *batch: Tensor,
        weight: float = 1.0,
        judge: bool = True,
        shared: Callable[[list[nn.Module]], None] | None = None,
    ) -> dict[str, Tensor]:
        """Add the gradients of one batch to every parameter's ``.grad``.

        Parameters
        ----------
        *batch : Tensor
            The arguments of `forward`.
        weight : float
            Weight of every gradient. For a part of a batch it is the part's share of the batch's cells.
        judge : bool
            Whether DecD takes part. If not, no images are generated, DecD learns nothing, and the decoder learns from
            its reconstructions only.
        shared : callable, optional
            With ``discriminator_gradients="stepped"`` it is called with the two discriminators before they step, to sum
            their gradients over processes.

        Returns
        -------
        dict of str to Tensor
            The losses, detached and unweighted; `judged_losses` only if DecD took part.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            passed = self.forward(*batch, judge=judge)
        if self.config.discriminator_gradients == "stepped":
            self._step_discriminators(passed.losses, weight, shared)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
                passed.losses.update(passed.deceptions())
        losses = passed.losses if weight == 1 else {k: weight * loss for k, loss in passed.losses.items()}
        enc, dec, enc_d, dec_d = (list(network.parameters()) for network in self.networks)
        stepped = self.config.discriminator_gradients == "stepped"
        if not stepped:
            losses["encoding_discriminator"].backward(inputs=enc_d, retain_graph=True)
        reconstruction = self.reconstruction_weight * losses["reconstruction"]
        for_encoder = reconstruction + self.gamma_enc * losses["encoder_deception"]
        if judge:
            if not stepped:
                losses["decoding_discriminator"].backward(inputs=dec_d, retain_graph=True)
            # Section 2.3: DecD's signal trains the decoder only, through the images.
            deception = self.config.gamma_dec * losses["decoder_deception"]
            to_images = torch.autograd.grad(deception, passed.image_leaves)
            to_code = torch.autograd.grad(for_encoder, passed.code_leaves, retain_graph=True)
            torch.autograd.backward([reconstruction, *passed.images], [None, *to_images], inputs=dec)
        else:  # encoder and decoder learn from the same loss: one backward pass serves both
            for_encoder.backward(inputs=[*dec, *passed.code_leaves])
            to_code = tuple(cast(Tensor, part.grad) for part in passed.code_leaves)
        own = [losses[name] for name in self.own_losses]
        torch.autograd.backward([*own, *passed.code], [*(None for _ in own), *to_code], inputs=enc)
        return {name: passed.losses[name].detach() for name in self.loss_names if name in passed.losses}

    def update(self) -> None:
        """Step all four optimisers on the summed gradients, and clear them (equations 15 to 18).

        Discriminators that stepped within `gradients` have no gradient here, so they keep their weights.
        """
        for optimiser in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def _step_discriminators(
        self,
        losses: Mapping[str, Tensor],
        weight: float,
        shared: Callable[[list[nn.Module]], None] | None,
    ) -> None:
        """Step EncD and, if it took part, DecD on their losses, and clear their gradients."""
        of_losses = {"enc_d": "encoding_discriminator", "dec_d": "decoding_discriminator"}
        judges = {name: loss for name, loss in of_losses.items() if loss in losses}
        networks = [getattr(self.networks, name) for name in judges]
        for network, loss in zip(networks, judges.values(), strict=True):
            (weight * losses[loss]).backward(inputs=list(network.parameters()), retain_graph=True)
        if shared is not None:
            shared(networks)
        for name in judges:
            self.optimisers[name].step()
            self.optimisers[name].zero_grad(set_to_none=True)

    def step(self, *batch: Tensor) -> dict[str, Tensor]:
        """Run one iteration of the algorithm; return the losses before its update, as scalars on the device."""
        losses = self.gradients(*batch)
        self.update()
        return losses

    def scale_learning_rates(self, factor: float) -> None:
        """Set every learning rate to ``factor`` times the configured one."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = factor * self._learning_rates[name]

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, as named contiguous tensors on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self._tensors()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state that `state` returned.

        Raises
        ------
        ValueError
            If the state belongs to another model.
        """
        for name, network, optimiser in self._parts():
            try:
                network.load_state_dict(under(state, f"{name}."))
            except RuntimeError as error:
                raise ValueError(
                    f"The checkpoint does not fit this configuration's {name} network."
                ) from error
            for index, parameter in enumerate(network.parameters()):
                moments = under(state, f"adam.{name}.{index}.")
                # The fused kernel needs moments with the memory layout of their parameter.
                optimiser.state[parameter] = {
                    key: value.clone()
                    if key == "step"
                    else torch.empty_like(parameter, memory_format=torch.preserve_format)
                    .copy_(value)
                    .detach()
                    for key, value in moments.items()
                }
        self.generator.set_state(state["generator"])

    def _parts(self) -> Iterator[tuple[str, nn.Module, torch.optim.Adam]]:
        for (name, optimiser), network in zip(self.optimisers.items(), self.networks, strict=True):
            yield name, network, optimiser

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, network, optimiser in self._parts():
            for key, tensor in network.state_dict().items():
                yield f"{name}.{key}", tensor
            for index, parameter in enumerate(network.parameters()):
                for key, tensor in optimiser.state[parameter].items():
                    yield f"adam.{name}.{index}.{key}", tensor
        yield "generator", self.generator.get_state()

    def draw(self, n: int, n_latent: int, like: Tensor) -> Tensor:
        """Draw ``n`` positions from the isotropic Gaussian prior of section 3.3, (n, n_latent)."""
        return self.draws.normal((n, n_latent), torch.promote_types(like.dtype, torch.float32))


def leaf(tensor: Tensor) -> Tensor:
    """Return the same values without their graph, as a leaf that collects a gradient."""
    return tensor.detach().requires_grad_()


def initialised(networks: AnyNetworks, generator: torch.Generator) -> AnyNetworks:
    """Draw the initial weights from ``generator``, in the order enc, dec, enc_d, dec_d; return the networks."""
    for network in networks:
        initialise(network, generator)
    return networks
