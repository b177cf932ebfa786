"""Measures after every epoch: losses on held-out cells, and the mean and width of their latent codes.

The networks are in eval mode and no random number is drawn, so measuring does not change a run.
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

from napari_ic_train.data.training_cells import to_device
from napari_ic_train.fit.batches import ENCODE_BATCH, Load
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.losses import latent_loss, reconstruction_loss, structure_loss
from napari_ic_train.fit.phase import Phase
from napari_integrated_cell.model.networks import ReferenceNetworks

Measure = Callable[[Phase], dict[str, float]]
"""``measure(phase)`` returns figures by name."""

WON = 0.02
"""Warn if a discriminator's loss is below this share of the loss of guessing at random."""
SPREAD = (0.5, 1.5)
"""Range for the mean standard deviation of codes; the prior's is 1."""
TOLD = 0.02
"""Least gain in correlation of a held-out structure with its image that z^s should bring."""
OFFSET = 0.5
"""Largest distance of the codes' mean from the prior's mean, as a root mean square over dimensions."""


def measure(phase: Phase, load: Load, n_cells: int, *, held_out: bool) -> dict[str, float]:
    """Measure a phase on ``n_cells`` cells.

    Parameters
    ----------
    phase : Phase
        Its encoder and decoder are measured.
    load : callable
        Reads cells, as for a batch.
    n_cells : int
        Number of cells that ``load`` can read.
    held_out : bool
        Whether the cells are unseen. If not, only their codes are measured and their losses are left out.

    Returns
    -------
    dict
        ``held_out_reconstruction`` and, in phase 2, ``held_out_structure``, ``held_out_latent``,
        ``held_out_accuracy``, ``held_out_told`` and ``held_out_at_mode``, means over cells. For the code that a
        discriminator compares with the prior (z^r in phase 1, z^s in phase 2): ``code_mean``, the root mean square of
        its dimensions' means, and ``code_std``, the mean of their standard deviations; the prior has 0 and 1. ``told``
        is the gain in correlation of the decoded with the observed structure at the cell's own z^s, compared to
        z^s = 0, where structures are integrated (Algorithm 3). ``at_mode`` is the correlation at z^s = 0.
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
    """Return a sentence for each sign of failure: a discriminator that always wins, a wrong code, an unused z^s."""
    signs = []
    answers = phase.config.model.n_structures + 1 if isinstance(phase, ConditionalPhase) else 2
    chance = 2 * math.log(answers) / (2 if phase.config.loss_scaling == "paper-code" else 1)
    judged = {"encoding_discriminator": "encoder", "decoding_discriminator": "decoder"}
    for name, trained in judged.items():
        if losses[name] < WON * chance:
            signs.append(
                f"the {name.replace('_', ' ')} is almost always right (loss {losses[name]:.2g}, by chance "
                f"{chance:.2g}): the {trained} may learn nothing from it"
            )
    code = "z^s" if isinstance(phase, ConditionalPhase) else "z^r"
    std, mean = measures["code_std"], measures["code_mean"]
    if not SPREAD[0] <= std <= SPREAD[1]:
        signs.append(
            f"{code} has a standard deviation of {std:.2g}, its prior 1: "
            f"{'raise' if std > 1 else 'lower'} gamma_enc, or train longer"
        )
    told = measures.get("held_out_told", TOLD)
    if told < TOLD:
        signs.append(
            f"z^s holds almost no information about structures (correlation {told:+.2g} against z^s = 0), so all draws "
            "will look alike: see decoded_at, conditional.reconstruction_weight and conditional.augment_flips"
        )
    if not mean <= OFFSET:
        signs.append(f"the mean of {code} is {mean:.2g} from its prior's mean of 0 (root mean square)")
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
    """Return a batch's figures, and the codes that a discriminator compares with the prior."""
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
    y_logits, z_ref, z_struct = phase.networks.enc(x)
    label, position, own = y_logits.softmax(1), z_ref, z_struct.to(x.dtype)
    if at_target:
        label, position = F.one_hot(y, y_logits.shape[1]), z_ref_target
    label, position = label.to(x.dtype), position.to(x.dtype)
    logits = phase.networks.dec.logits(label, position, own)
    at_mode = phase.networks.dec.logits(label, position, torch.zeros_like(own))
    likeness_at_mode = _likeness(at_mode, x)
    figures = {
        "reconstruction": reconstruction_loss(logits, x),
        "structure": structure_loss(y_logits, y),
        "latent": latent_loss(z_ref, z_ref_target),
        "accuracy": (y_logits.argmax(1) == y).float().mean(),
        "told": (_likeness(logits, x) - likeness_at_mode).mean(),
        "at_mode": likeness_at_mode.mean(),
    }
    return figures, z_struct


def _likeness(logits: Tensor, x: Tensor) -> Tensor:
    """Return Pearson's correlation over voxels of each cell's decoded structure with the observed one, (N,)."""
    decoded, observed = (image[:, -1].float().flatten(1) for image in (logits.sigmoid(), x))
    decoded, observed = decoded - decoded.mean(1, keepdim=True), observed - observed.mean(1, keepdim=True)
    return F.cosine_similarity(decoded, observed, dim=1)
