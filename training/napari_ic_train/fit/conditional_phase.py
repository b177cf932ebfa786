"""Phase 2 (Algorithm 2): the localisation of a structure, given the cell and its nucleus (section 2.2)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_ic_train.fit.losses import (
    decoder_deception_loss,
    decoding_discriminator_loss,
    encoding_discriminator_loss,
    latent_loss,
    reconstruction_loss,
    structure_loss,
)
from napari_ic_train.fit.phase import ForwardPass, Phase, leaf
from napari_integrated_cell.model.networks import ConditionalNetworks


class ConditionalPhase(Phase):
    """Training of Enc^{r,s}, Dec^{r,s}, EncD^s, DecD^{r,s}; ``step(x, y, z_ref)`` is one iteration of Algorithm 2.

    ``x`` holds images (N, R + 1, Z, Y, X) in [0, 1], structure last; ``y`` (N,) the structures' indices, from
    0; ``z_ref`` (N, n_ref) the latent positions of their references by phase 1's encoder in eval mode.

    Notes
    -----
    ``config.generated`` decides which images are generated:

    ``"paper"``
        Dec(Ẑ^r, Ỹ, Z̃^s): every cell of the batch keeps its shape ẑ^r and gets a random structure ỹ and a random
        z̃^s; ỹ are the batch's own structures, shuffled. DecD and the decoder use the same images.
    ``"paper-code"``
        As in the published code, DecD sees Dec(Ẑ^r, Ŷ, Z̃^s), and the decoder's loss uses other images,
        Dec(Z̃^r, Ỹ, Z̃^s) with a random z^r.

    Algorithm 2 prints Y as the label that the decoder's generated images should get from DecD. It means Ỹ, the
    structure that each image was generated for: with Y the decoder would learn to ignore the structure.

    With ``config.decoded_at="target"`` Y and phase 1's z^r replace ŷ and ẑ^r in everything that is decoded, and the
    images train the encoder through z^s only.

    Each step draws the order of ỹ, z̃^s, with ``config.mode_share`` the cells that are decoded at z^s = 0 and, for
    ``"paper-code"``, z̃^r; then DecD's noise on observed, decoded and generated images, and on the decoder's own
    generated images if they are others.
    """

    name: ClassVar[str] = "conditional"
    own_losses: ClassVar[tuple[str, ...]] = ("structure", "latent")
    networks: ConditionalNetworks
    class_weights: Tensor | None = None
    """Weight of each structure's cells in the encoder's label loss (equation 9), (K,); None as in the paper."""
    light_weights: Tensor | None = None
    """Weight of each structure's channel in L_x (equation 13), (K,); None as in the paper."""

    @property
    def mode_share(self) -> float:
        """Share of the cells that are decoded at z^s = 0 at this point of the phase."""
        return self.config.mode_share * (self.done if self.config.mode_share_grows else 1.0)

    def forward(self, *batch: Tensor, judge: bool) -> ForwardPass:
        """Run images (N, R + 1, Z, Y, X), labels (N,) and targets (N, n_ref) through the networks."""
        x, y, z_ref_target = batch
        enc, dec, enc_d, dec_d = self.networks
        scaling, model = self.config.loss_scaling, self.config.model
        as_code = self.config.generated == "paper-code"

        at_target = self.config.decoded_at == "target"
        y_logits, z_ref, z_struct = enc(x)
        code: tuple[Tensor, ...] = (z_struct.to(x.dtype),)
        if not at_target:
            code = (*code, y_logits.to(x.dtype).softmax(1), z_ref.to(x.dtype))
        code_leaves = tuple(leaf(part) for part in code)
        z_observed, *predicted = code_leaves
        y_decoded, z_ref_decoded = predicted or (F.one_hot(y, model.n_structures).to(x.dtype), z_ref_target)

        y_drawn = self.draws.shuffled(y)
        z_drawn = self.draw(len(x), model.n_struct, like=x)
        y_gen = torch.full_like(y, model.n_structures)

        z_decoded = z_observed
        if self.config.mode_share:
            at_mode = self.draws.chance(len(x), self.mode_share).to(x.device)
            z_decoded = z_observed.masked_fill(at_mode[:, None], 0)
        logits = dec.logits(y_decoded, z_ref_decoded, z_decoded)
        u_drawn, u_observed = enc_d(z_drawn), enc_d(z_observed)
        losses = {
            "reconstruction": reconstruction_loss(
                logits,
                x,
                last_channel_weight=self.config.structure_channel_weight,
                cell_weights=None if self.light_weights is None else self.light_weights[y],
            ),
            "structure": structure_loss(y_logits, y, self.class_weights),
            "latent": latent_loss(z_ref, z_ref_target),
            "encoder_deception": structure_loss(u_observed, y_gen),
            "encoding_discriminator": encoding_discriminator_loss(
                structure_loss(u_drawn, y_gen), structure_loss(u_observed, y), scaling
            ),
        }

        def encoder_deceptions() -> dict[str, Tensor]:
            return {"encoder_deception": structure_loss(enc_d(z_observed), y_gen)}

        if not judge:
            return ForwardPass(losses, code, code_leaves, (), (), encoder_deceptions)

        decoded = logits.sigmoid()
        y_drawn_one_hot = F.one_hot(y_drawn, model.n_structures).to(x.dtype)
        if as_code:
            with torch.no_grad():
                x_shown = dec(y_decoded, z_ref_decoded, z_drawn)
            generated = dec(y_drawn_one_hot, self.draw(len(x), model.n_ref, like=x), z_drawn)
        else:
            generated = dec(y_drawn_one_hot, z_ref_decoded.detach(), z_drawn)
        x_decoded, x_generated = leaf(decoded), leaf(generated)

        u_x, u_decoded = dec_d(x), dec_d(x_decoded)
        u_shown = dec_d(x_shown) if as_code else None
        u_generated = dec_d(x_generated)

        def deception(u_decoded: Tensor, u_generated: Tensor) -> Tensor:
            return decoder_deception_loss(
                structure_loss(u_decoded, y), structure_loss(u_generated, y_drawn), scaling
            )

        def deceptions() -> dict[str, Tensor]:
            return encoder_deceptions() | {
                "decoder_deception": deception(dec_d(x_decoded), dec_d(x_generated))
            }

        losses["decoder_deception"] = deception(u_decoded, u_generated)
        losses["decoding_discriminator"] = decoding_discriminator_loss(
            structure_loss(u_x, y),
            structure_loss(u_decoded, y_gen),
            structure_loss(u_generated if u_shown is None else u_shown, y_gen),
            scaling,
        )
        images, image_leaves = (decoded, generated), (x_decoded, x_generated)
        return ForwardPass(losses, code, code_leaves, images, image_leaves, deceptions)
