"""Phase 1 (Algorithm 1): the model of cell and nuclear shape (section 2.1)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.losses import (
    decoder_deception_loss,
    decoding_discriminator_loss,
    encoding_discriminator_loss,
    reconstruction_loss,
    source_loss,
)
from napari_ic_train.fit.phase import ForwardPass, Phase, leaf
from napari_integrated_cell.model.networks import ReferenceNetworks


class ReferencePhase(Phase):
    """Training of Enc^r, Dec^r, EncD^r and DecD^r; ``step(x)`` is one iteration of Algorithm 1.

    ``x`` holds reference images (N, R, Z, Y, X) in [0, 1]. Each step draws z̃^r, then DecD's noise on
    observed, decoded and generated images.

    Notes
    -----
    Algorithm 1 prints the generated images as Dec(Z̃^r, Ỹ, Z̃^s), which belongs to Algorithm 2: this decoder
    takes only z^r (equation 2), and section 2.1.3 says Dec^r(z̃^r).
    """

    name: ClassVar[str] = "reference"
    networks: ReferenceNetworks

    def __init__(
        self, config: TrainingConfig, networks: ReferenceNetworks, generator: torch.Generator
    ) -> None:
        super().__init__(config, networks, generator)
        standardise = networks.enc.standardise
        if standardise is not None and config.latent_moments == "running":
            standardise.register_forward_hook(_by_running_moments)

    def forward(self, *batch: Tensor, judge: bool) -> ForwardPass:
        """Run one batch of reference images (N, R, Z, Y, X) through the networks."""
        (x,) = batch
        enc, dec, enc_d, dec_d = self.networks
        scaling = self.config.loss_scaling

        z_ref = enc(x)
        z_observed = leaf(z_ref.to(x.dtype))
        z_drawn = self.draw(len(x), self.config.model.n_ref, like=x)

        logits = dec.logits(z_observed)
        v_drawn, v_observed = enc_d(z_drawn), enc_d(z_observed)
        losses = {
            "reconstruction": reconstruction_loss(logits, x),
            "encoder_deception": source_loss(v_observed, observed=False),
            "encoding_discriminator": encoding_discriminator_loss(
                source_loss(v_drawn, observed=False), source_loss(v_observed, observed=True), scaling
            ),
        }

        def encoder_deceptions() -> dict[str, Tensor]:
            return {"encoder_deception": source_loss(enc_d(z_observed), observed=False)}

        if not judge:
            return ForwardPass(losses, (z_ref,), (z_observed,), (), (), encoder_deceptions)

        decoded, generated = logits.sigmoid(), dec(z_drawn)
        x_decoded, x_generated = leaf(decoded), leaf(generated)
        v_x, v_decoded, v_generated = dec_d(x), dec_d(x_decoded), dec_d(x_generated)

        def deception(v_decoded: Tensor, v_generated: Tensor) -> Tensor:
            return decoder_deception_loss(
                source_loss(v_decoded, observed=True), source_loss(v_generated, observed=True), scaling
            )

        def deceptions() -> dict[str, Tensor]:
            return encoder_deceptions() | {
                "decoder_deception": deception(dec_d(x_decoded), dec_d(x_generated))
            }

        losses["decoder_deception"] = deception(v_decoded, v_generated)
        losses["decoding_discriminator"] = decoding_discriminator_loss(
            source_loss(v_x, observed=True),
            source_loss(v_decoded, observed=False),
            source_loss(v_generated, observed=False),
            scaling,
        )
        images, image_leaves = (decoded, generated), (x_decoded, x_generated)
        return ForwardPass(losses, (z_ref,), (z_observed,), images, image_leaves, deceptions)


def _by_running_moments(norm: nn.BatchNorm1d, inputs: tuple[Any, ...], by_batch: Tensor) -> Tensor | None:
    """Return codes (N, n_ref) standardised by the running moments, with the gradient of the batch's standardisation.

    The running moments change slowly; with their own gradient the code could shrink or grow against them.
    """
    if not norm.training:
        return None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    as_in_use = (inputs[0] - norm.running_mean) * (norm.running_var + norm.eps).rsqrt()
    return by_batch + (as_in_use - by_batch).detach().to(by_batch.dtype)
