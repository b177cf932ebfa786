"""What is measured after every epoch: losses on cells that were held out, and where their codes lie.

Networks are in eval mode and nothing random is drawn: measuring changes no run.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_ic_train.fit.batches import ENCODE_BATCH, Load, to_device
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.losses import latent_loss, reconstruction_loss, structure_loss
from napari_ic_train.fit.phase import Phase
from napari_integrated_cell.model.networks import ReferenceNetworks

Measure = Callable[[Phase], dict[str, float]]
"""``measure(phase)`` gives figures by name."""

WON = 0.02
"""A discriminator whose loss is below this share of a coin's (or a die's) has won outright."""
SPREAD = (0.5, 1.5)
"""Where the mean standard deviation of codes should lie: the prior's is 1."""
TOLD = 0.02
"""What z^s should at least add to the correlation of a held-out structure with its image."""
OFFSET = 0.5
"""How far, as a root mean square over its dimensions, codes may lie off the prior's mean."""


def measure(phase: Phase, load: Load, n_cells: int, *, held_out: bool) -> dict[str, float]:
    """Figures of a phase on ``n_cells`` cells.

    Parameters
    ----------
    phase : Phase
        Whose encoder and decoder are measured.
    load : callable
        Reads the cells, as it does for a batch.
    n_cells : int
        How many cells ``load`` has.
    held_out : bool
        Whether they are unseen: if not, their losses are left out and their codes alone measured.

    Returns
    -------
    dict
        ``held_out_reconstruction`` and, in phase 2, ``held_out_structure``, ``held_out_latent``,
        ``held_out_accuracy`` and ``held_out_told``, means over cells; and of the code that a discriminator holds to
        the prior (z^r in phase 1, z^s in phase 2) ``code_mean``, the root mean square of its dimensions' means, and
        ``code_std``, the mean of their standard deviations: 0 and 1 for the prior. What z^s tells of a structure
        (``told``) is by how much the decoded structure correlates better with the observed one at the cell's own z^s
        than at z^s = 0, where structures are integrated (Algorithm 3).
    """
    sums: defaultdict[str, float] = defaultdict(float)
    codes = []
    with _evaluating(phase):
        for start in range(0, n_cells, ENCODE_BATCH):
            indices = np.arange(start, min(start + ENCODE_BATCH, n_cells))
            batch = [to_device(tensor, phase.device) for tensor in load(indices, np.zeros_like(indices))]
            figures, code = _figures(phase, *batch)
            codes.append(code.cpu().double())
            for name, value in figures.items():
                sums[name] += len(indices) * float(value)
    result = {f"held_out_{name}": total / n_cells for name, total in sums.items()} if held_out else {}
    z = torch.cat(codes)
    result["code_mean"] = float(z.mean(0).square().mean().sqrt())
    result["code_std"] = float(z.std(0, correction=0).mean())
    return result


def warning_signs(
    phase: Phase, losses: Mapping[str, float], measures: Mapping[str, float]
) -> tuple[str, ...]:
    """Sentences on what looks like failure: a discriminator that always wins, codes off the prior, a silent z^s."""
    signs = []
    answers = phase.config.model.n_structures + 1 if isinstance(phase, ConditionalPhase) else 2
    chance = 2 * math.log(answers) / (2 if phase.config.loss_scaling == "paper-code" else 1)
    judged = {"encoding_discriminator": "encoder", "decoding_discriminator": "decoder"}
    for name, taught in judged.items():
        if losses[name] < WON * chance:
            signs.append(
                f"the {name.replace('_', ' ')} is hardly ever wrong (loss {losses[name]:.2g}, {chance:.2g} by chance): "
                f"the {taught} may learn nothing from it"
            )
    code = "z^s" if isinstance(phase, ConditionalPhase) else "z^r"
    std, mean = measures["code_std"], measures["code_mean"]
    if not SPREAD[0] <= std <= SPREAD[1]:
        signs.append(
            f"{code} has a standard deviation of {std:.2g}, its prior 1: "
            f"{'raise' if std > 1 else 'lower'} gamma_enc, or let it train longer"
        )
    told = measures.get("held_out_told", TOLD)
    if told < TOLD:
        signs.append(
            f"z^s tells next to nothing of where structures lie (correlation {told:+.2g} against z^s = 0), so that "
            "their draws will be alike: see decoded_at, conditional.reconstruction_weight and conditional.augment_flips"
        )
    if not mean <= OFFSET:
        signs.append(f"{code} lies {mean:.2g} off its prior's mean of 0 (root mean square)")
    return tuple(signs)


@contextmanager
def _evaluating(phase: Phase) -> Iterator[None]:
    networks = (phase.networks.enc, phase.networks.dec)
    for network in networks:
        network.eval()
    autocast = torch.autocast(phase.device.type, torch.bfloat16, enabled=phase.config.precision == "bf16")
    try:
        with torch.no_grad(), autocast:
            yield
    finally:
        for network in networks:
            network.train()


def _figures(phase: Phase, *batch: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """A batch's figures, and the codes that a discriminator holds to the prior."""
    if isinstance(phase, ConditionalPhase):
        return _conditional(phase, *batch)
    (x,) = batch
    networks = cast(ReferenceNetworks, phase.networks)
    z_ref = networks.enc(x)
    return {"reconstruction": reconstruction_loss(networks.dec.logits(z_ref.to(x.dtype)), x)}, z_ref


def _conditional(
    phase: ConditionalPhase, x: Tensor, y: Tensor, z_ref_target: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    at_target = phase.config.decoded_at == "target"
    y_logits, z_ref, z_struct = phase.networks.enc(x, z_ref_target if at_target else None)
    label, position, own = y_logits.softmax(1), z_ref, z_struct.to(x.dtype)
    if at_target:
        label, position = F.one_hot(y, y_logits.shape[1]), z_ref_target
    label, position = label.to(x.dtype), position.to(x.dtype)
    logits = phase.networks.dec.logits(label, position, own)
    at_mode = phase.networks.dec.logits(label, position, torch.zeros_like(own))
    figures = {
        "reconstruction": reconstruction_loss(logits, x),
        "structure": structure_loss(y_logits, y),
        "latent": latent_loss(z_ref, z_ref_target),
        "accuracy": (y_logits.argmax(1) == y).float().mean(),
        "told": (_likeness(logits, x) - _likeness(at_mode, x)).mean(),
    }
    return figures, z_struct


def _likeness(logits: Tensor, x: Tensor) -> Tensor:
    """Pearson's correlation over voxels of each cell's decoded structure with the observed one, (N,)."""
    decoded, observed = (image[:, -1].float().flatten(1) for image in (logits.sigmoid(), x))
    decoded, observed = decoded - decoded.mean(1, keepdim=True), observed - observed.mean(1, keepdim=True)
    return F.cosine_similarity(decoded, observed, dim=1)
