"""What Algorithms 1 and 2 share: four networks, four Adam optimisers, and which gradient may reach which.

Both algorithms step the discriminators first and the autoencoder last, but every verdict V̂ or Ŷ that the
autoencoder learns from was computed before the first of those steps. So one forward graph serves all four
updates: it is cut into leaves where a gradient must not pass, all gradients are taken, and only then are
the four steps made. The weights that come out are those of the printed order, at two thirds of its
arithmetic, and a run on many devices has one place at which to add gradients up: between `Phase.gradients`
and `Phase.update`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.draws import Draws
from napari_integrated_cell.model.networks import ConditionalNetworks, ReferenceNetworks, initialise

Networks = ReferenceNetworks | ConditionalNetworks
These = TypeVar("These", bound=Networks)


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """One batch through all four networks, cut where gradients must not pass.

    Attributes
    ----------
    losses : dict of str to Tensor
        Unweighted scalars. All phases have ``reconstruction``, ``encoder_deception`` and
        ``encoding_discriminator``, and where images were judged ``decoder_deception`` and
        ``decoding_discriminator``; any other hangs on the encoder directly.
    code, code_leaves : tuple of Tensor
        What the encoder returned, with its graph; and the same values without, which everything after used.
    images, image_leaves : tuple of Tensor
        What the decoder made and is judged on, with its graph; and the same values without, which DecD saw.
        Empty where no images were judged.
    """

    losses: dict[str, Tensor]
    code: tuple[Tensor, ...]
    code_leaves: tuple[Tensor, ...]
    images: tuple[Tensor, ...]
    image_leaves: tuple[Tensor, ...]


class Phase(ABC):
    """Four networks in training and their optimisers (section 3.3).

    Parameters
    ----------
    config : TrainingConfig
        Learning rates, weights, precision.
    networks : ReferenceNetworks or ConditionalNetworks
        Trained in place, on the device and in the floating-point type they come in.
    generator : torch.Generator
        Source of every random draw of the phase: of the priors first, then the white noise of each of DecD's
        inputs in the order in which it sees them. It lives on the networks' device.

    Notes
    -----
    Batch normalisation works on each batch as it is shown: a discriminator sees real, reconstructed and
    generated examples in batches of their own, and a decoder reconstructs and generates in two. Its running
    statistics are updated once by each of these passes.
    """

    done: float = 0.0
    """How much of the phase lies behind, 0 to 1: whoever runs it says so before each step."""
    name: ClassVar[str]
    own_losses: ClassVar[tuple[str, ...]] = ()
    judged_losses: ClassVar[tuple[str, ...]] = ("decoder_deception", "decoding_discriminator")

    def __init__(self, config: TrainingConfig, networks: Networks, generator: torch.Generator) -> None:
        self.config = config
        self.networks = networks
        self.generator = generator
        self.draws = Draws(generator)
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
        """The losses a step returns, in order."""
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
        """Where the networks are."""
        return next(self.networks.enc.parameters()).device

    @abstractmethod
    def forward(self, *batch: Tensor, judge: bool) -> ForwardPass:
        """One batch through all four networks, or without ``judge`` through all but DecD."""

    def gradients(self, *batch: Tensor, weight: float = 1.0, judge: bool = True) -> dict[str, Tensor]:
        """Add the gradients of one batch to every parameter's ``.grad``.

        Parameters
        ----------
        *batch : Tensor
            What `forward` takes.
        weight : float
            Of every gradient: where this is a part of a batch, its share of the batch's cells.
        judge : bool
            Whether DecD takes part. Without it nothing is generated for it, it learns nothing, and the
            decoder learns from its reconstructions alone.

        Returns
        -------
        dict of str to Tensor
            The losses, detached and unweighted; `judged_losses` only where DecD took part.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            passed = self.forward(*batch, judge=judge)
        losses = passed.losses if weight == 1 else {k: weight * loss for k, loss in passed.losses.items()}
        enc, dec, enc_d, dec_d = (list(network.parameters()) for network in self.networks)
        losses["encoding_discriminator"].backward(inputs=enc_d, retain_graph=True)
        reconstruction = self.reconstruction_weight * losses["reconstruction"]
        for_encoder = reconstruction + self.gamma_enc * losses["encoder_deception"]
        if judge:
            losses["decoding_discriminator"].backward(inputs=dec_d, retain_graph=True)
            # Section 2.3: what DecD has to say reaches the decoder alone, through the images.
            deception = self.config.gamma_dec * losses["decoder_deception"]
            to_images = torch.autograd.grad(deception, passed.image_leaves)
            to_code = torch.autograd.grad(for_encoder, passed.code_leaves, retain_graph=True)
            torch.autograd.backward([reconstruction, *passed.images], [None, *to_images], inputs=dec)
        else:  # encoder and decoder learn from the same loss: one way back through the decoder does
            for_encoder.backward(inputs=[*dec, *passed.code_leaves])
            to_code = tuple(cast(Tensor, part.grad) for part in passed.code_leaves)
        own = [losses[name] for name in self.own_losses]
        torch.autograd.backward([*own, *passed.code], [*(None for _ in own), *to_code], inputs=enc)
        return {name: passed.losses[name].detach() for name in self.loss_names if name in passed.losses}

    def update(self) -> None:
        """Step all four optimisers on the gradients gathered, and forget them (equations 15 to 18)."""
        for optimiser in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def step(self, *batch: Tensor) -> dict[str, Tensor]:
        """One iteration of the algorithm's loop; returns the losses before it, as scalars on the device."""
        losses = self.gradients(*batch)
        self.update()
        return losses

    def scale_learning_rates(self, factor: float) -> None:
        """Set every learning rate to ``factor`` times the configured one."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = factor * self._learning_rates[name]

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, as named contiguous tensors on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self._tensors()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken.

        Raises
        ------
        ValueError
            If the state is another model's.
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
                # The fused kernel walks memory: moments must be laid out like their parameter.
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
        """``n`` positions from the isotropic Gaussian prior of section 3.3, (n, n_latent)."""
        return self.draws.normal((n, n_latent), torch.promote_types(like.dtype, torch.float32))


def leaf(tensor: Tensor) -> Tensor:
    """The same values, cut from what made them, ready to collect a gradient."""
    return tensor.detach().requires_grad_()


def initialised(networks: These, generator: torch.Generator) -> These:
    """The networks with first weights drawn from ``generator``, in the order enc, dec, enc_d, dec_d."""
    for network in networks:
        initialise(network, generator)
    return networks


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
