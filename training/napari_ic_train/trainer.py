"""The plain loop that both phases share: epochs, checkpoints, losses on record, resuming, stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from napari_integrated_cell.model.networks import (
    ConditionalNetworks,
    ReferenceEncoder,
    ReferenceNetworks,
    conditional_networks,
    reference_networks,
)
from napari_integrated_cell.model.runtime import Cancelled, CancelToken, choose_device

from .cells import Cells, Indices, Load, check_cells, epoch_batches, flipped, read_ahead, reference_targets
from .checkpoint import Position, checkpoints, last_good, read_checkpoint, write_checkpoint
from .conditional_phase import ConditionalPhase
from .config import PhaseConfig, TrainingConfig
from .phase import Networks, Phase, initialised
from .reference_phase import ReferencePhase
from .run_folder import LossLog, fitted_conditional, fitted_reference, open_run

__all__ = [
    "Cells",
    "TrainingDiverged",
    "fit_conditional",
    "fit_reference",
    "fitted_conditional",
    "fitted_reference",
]

EpochProgress = Callable[[int, int, dict[str, float], float, float], None]
"""Called after each epoch: ``progress(epoch, epochs, losses, cells_per_second, seconds_left)``, from 1 on."""

CHECK_EVERY = 16
"""Batches between two looks at whether the losses are finite: each look waits for the device."""


class TrainingDiverged(RuntimeError):
    """A loss became infinite or undefined."""


def fit_reference(
    cells: Cells,
    config: TrainingConfig,
    out: str | Path,
    *,
    device: str = "auto",
    resume: bool = False,
    progress: EpochProgress | None = None,
    cancel: CancelToken | None = None,
) -> ReferenceNetworks:
    """Phase 1 (Algorithm 1): fit Enc^r, Dec^r, EncD^r and DecD^r.

    Parameters
    ----------
    cells : Cells
        The training cells, in the model's box.
    config : TrainingConfig
        The whole run's configuration; it is kept as ``config.yaml``.
    out : path
        The run's folder. This phase writes ``reference/losses.csv`` and ``reference/*.safetensors``.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    resume : bool
        Go on from the last checkpoint, if there is one; on a CPU the result is that of an unbroken run to
        the bit.
    progress : callable, optional
        Called after each epoch.
    cancel : CancelToken, optional
        Looked at before each batch; a checkpoint is written before `Cancelled` is raised.

    Returns
    -------
    ReferenceNetworks
        In eval mode.

    Raises
    ------
    ValueError
        If cells and model do not match, or the folder holds another run.
    TrainingDiverged
        If a loss became NaN or infinite.
    Cancelled, OSError
        As said above; where the disk is full or away.
    """
    place = choose_device(device)
    folder = open_run(Path(out), config, "reference", resume)
    check_cells(cells, config)
    weights, draws, order = _seeds(config.seed, "reference")
    networks = cast(ReferenceNetworks, initialised(reference_networks(config.model), _generator(weights)))
    phase = ReferencePhase(config, _on(networks, place), _generator(draws, place))

    def load(indices: Indices, flips: Indices) -> tuple[Tensor, ...]:
        return (flipped(cells.references(indices), flips),)

    _fit(phase, config.reference, len(cells), load, folder, order, progress, cancel)
    return cast(ReferenceNetworks, _eval(phase.networks))


def fit_conditional(
    cells: Cells,
    config: TrainingConfig,
    out: str | Path,
    *,
    encoder: ReferenceEncoder | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: EpochProgress | None = None,
    cancel: CancelToken | None = None,
) -> ConditionalNetworks:
    """Phase 2 (Algorithm 2): fit Enc^{r,s}, Dec^{r,s}, EncD^s and DecD^{r,s}.

    Parameters
    ----------
    encoder : ReferenceEncoder, optional
        Phase 1's; left out, that of the finished phase 1 in ``out``. The targets z^r are what it gives in
        eval mode, computed once.
    cells, config, out, device, resume, progress, cancel
        As in `fit_reference`.

    Returns
    -------
    ConditionalNetworks
        In eval mode.

    Raises
    ------
    ValueError
        As in `fit_reference`, and if phase 1 is not finished.
    TrainingDiverged, Cancelled, OSError
        As in `fit_reference`.
    """
    place = choose_device(device)
    folder = open_run(Path(out), config, "conditional", resume)
    check_cells(cells, config)
    if encoder is None:
        encoder = fitted_reference(out).enc
    weights, draws, order = _seeds(config.seed, "conditional")
    networks = cast(ConditionalNetworks, initialised(conditional_networks(config.model), _generator(weights)))
    phase = ConditionalPhase(config, _on(networks, place), _generator(draws, place))
    targets = reference_targets(cells, encoder.to(place), config, cancel)
    labels = torch.from_numpy(np.asarray(cells.labels, dtype=np.int64))

    def load(indices: Indices, flips: Indices) -> tuple[Tensor, ...]:
        return flipped(cells.images(indices), flips), labels[indices], targets[indices, flips]

    _fit(phase, config.conditional, len(cells), load, folder, order, progress, cancel)
    return cast(ConditionalNetworks, _eval(phase.networks))


def _fit(
    phase: Phase,
    length: PhaseConfig,
    n_cells: int,
    load: Load,
    folder: Path,
    seed: int,
    progress: EpochProgress | None,
    cancel: CancelToken | None,
) -> None:
    """Run the phase from where its folder left it to its end."""
    config = phase.config
    position = _take_up(phase, folder)
    log = LossLog(folder, phase.loss_names, position.epoch)
    first_epoch, session = position.epoch, time.monotonic()
    began = session - position.seconds

    while not length.ended(position.epoch, position.seconds):
        epoch_began = time.monotonic()
        plan = epoch_batches(
            n_cells, config.batch_size, flips=config.augment_flips, seed=seed, epoch=position.epoch
        )
        totals = _totals(phase, position)
        cells_seen = 0
        for index, batch in read_ahead(load, plan, position.batch, phase.device):
            if cancel is not None and cancel.cancelled:
                reached = dict(zip(phase.loss_names, totals.tolist(), strict=True))
                stopped = replace(position, batch=index, seconds=time.monotonic() - began, totals=reached)
                path = write_checkpoint(folder, stopped, phase.state(), config.keep_checkpoints)
                raise Cancelled(f"Training was stopped: resume it to go on from {path}.")
            phase.scale_learning_rates(_decay(config, length, position.epoch + index / len(plan)))
            losses = phase.step(*batch)
            totals += len(batch[0]) * torch.stack([losses[name] for name in phase.loss_names]).to(
                totals.dtype
            )
            cells_seen += len(batch[0])
            if (index + 1) % CHECK_EVERY == 0 or index + 1 == len(plan):
                _check_finite(phase, totals, position.epoch, folder)

        now = time.monotonic()
        epoch, seconds, rate = position.epoch + 1, now - began, cells_seen / max(now - epoch_began, 1e-9)
        position = Position(epoch, seconds=seconds)
        means = dict(zip(phase.loss_names, (totals / n_cells).tolist(), strict=True))
        log.write(epoch, seconds, rate, means)
        write_checkpoint(folder, position, phase.state(), config.keep_checkpoints)
        if progress is not None:
            left = (now - session) / (epoch - first_epoch) * (length.epochs - epoch)
            if length.max_minutes is not None:
                left = min(left, max(60 * length.max_minutes - seconds, 0.0))
            progress(epoch, length.epochs, means, rate, left)


def _take_up(phase: Phase, folder: Path) -> Position:
    """Load the last checkpoint, if there is one, into the phase."""
    saved = checkpoints(folder)
    if not saved:
        return Position()
    position, tensors = read_checkpoint(saved[-1])
    phase.load_state(tensors)
    return position


def _totals(phase: Phase, position: Position) -> Tensor:
    """Each loss summed over the epoch's cells so far, on the device, so that no step waits for it."""
    dtype = torch.float32 if phase.device.type == "mps" else torch.float64
    totals = [position.totals.get(name, 0.0) for name in phase.loss_names]
    return torch.tensor(totals, dtype=dtype, device=phase.device)


def _check_finite(phase: Phase, totals: Tensor, epoch: int, folder: Path) -> None:
    for name, total in zip(phase.loss_names, totals.tolist(), strict=True):
        if not math.isfinite(total):
            raise TrainingDiverged(
                f"In epoch {epoch + 1} of the {phase.name} phase the loss '{name}' became NaN or infinite; "
                f"{last_good(checkpoints(folder))}: lower the learning rates, or train in fp32."
            )


def _decay(config: TrainingConfig, length: PhaseConfig, epoch: float) -> float:
    """Factor of the learning rates after so many epochs, fractions counted."""
    if config.learning_rate_decay == "none":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * epoch / length.epochs))


def _seeds(seed: int, phase: str) -> tuple[int, int, int]:
    """Independent seeds of a phase: of its first weights, of its draws, of its order of cells."""
    sequence = np.random.SeedSequence([seed, ("reference", "conditional").index(phase)])
    weights, draws, order = (int(word) for word in sequence.generate_state(3))
    return weights, draws, order


def _generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def _on(networks: Networks, device: torch.device) -> Networks:
    for network in networks:
        network.to(device)
    return networks


def _eval(networks: Networks) -> Networks:
    for network in networks:
        network.eval()
    return networks
