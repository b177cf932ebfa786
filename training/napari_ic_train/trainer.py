"""The plain loop that both phases share: order of cells, batches, checkpoints, losses on record, resuming."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

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

from .checkpoint import Position, checkpoints, last_good, read_checkpoint, write_checkpoint
from .conditional_phase import ConditionalPhase
from .config import PhaseConfig, TrainingConfig, read_config, write_config
from .phase import Networks, Phase, initialised
from .reference_phase import ReferencePhase

EpochProgress = Callable[[int, int, dict[str, float], float, float], None]
"""Called as ``progress(epoch, epochs, losses, cells_per_second, seconds_left)`` after each epoch, from 1 on."""

FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))
"""The axes along which a cell may be flipped (`TrainingConfig.augment_flips`); the first leaves it as it is."""

_CHECK_EVERY = 16
_ENCODE_BATCH = 32


class Cells(Protocol):
    """What is trained on: posed cells by index."""

    @property
    def labels(self) -> np.ndarray:
        """Index of each cell's structure, (len(self),)."""

    def __len__(self) -> int: ...

    def references(self, indices: np.ndarray) -> Tensor:
        """Reference channels (n, R, Z, Y, X), float32 in [0, 1]."""

    def images(self, indices: np.ndarray) -> Tensor:
        """References and, last, the structure, (n, R + 1, Z, Y, X), float32 in [0, 1]."""


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
    folder = _open_run(Path(out), config, "reference", resume)
    _check_cells(cells, config)
    seed = _seeds(config.seed, "reference")
    networks = cast(ReferenceNetworks, initialised(reference_networks(config.model), _generator(seed(0))))
    phase = ReferencePhase(config, _on(networks, place), _generator(seed(1), place))

    def load(indices: np.ndarray, flips: np.ndarray) -> tuple[Tensor, ...]:
        return (_flipped(cells.references(indices), flips),)

    _fit(phase, config.reference, len(cells), load, folder, seed(2), progress, cancel)
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
    folder = _open_run(Path(out), config, "conditional", resume)
    _check_cells(cells, config)
    if encoder is None:
        encoder = fitted_reference(out).enc
    seed = _seeds(config.seed, "conditional")
    networks = cast(ConditionalNetworks, initialised(conditional_networks(config.model), _generator(seed(0))))
    phase = ConditionalPhase(config, _on(networks, place), _generator(seed(1), place))
    targets = _reference_targets(cells, encoder.to(place).eval(), config, cancel)
    labels = torch.from_numpy(np.asarray(cells.labels, dtype=np.int64))

    def load(indices: np.ndarray, flips: np.ndarray) -> tuple[Tensor, ...]:
        return _flipped(cells.images(indices), flips), labels[indices], targets[indices, flips]

    _fit(phase, config.conditional, len(cells), load, folder, seed(2), progress, cancel)
    return cast(ConditionalNetworks, _eval(phase.networks))


def fitted_reference(run: str | Path) -> ReferenceNetworks:
    """Phase 1's networks of a run, in eval mode on the CPU; ValueError if the phase is not finished."""
    config = read_config(Path(run) / "config.yaml")
    return cast(ReferenceNetworks, _fitted(reference_networks(config.model), Path(run), "reference"))


def fitted_conditional(run: str | Path) -> ConditionalNetworks:
    """Phase 2's networks of a run, in eval mode on the CPU; ValueError if the phase is not finished."""
    config = read_config(Path(run) / "config.yaml")
    return cast(ConditionalNetworks, _fitted(conditional_networks(config.model), Path(run), "conditional"))


def epoch_batches(
    n_cells: int, batch_size: int, *, flips: bool, seed: int, epoch: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """One epoch's batches: (indices, flips), every cell once, in an order that seed and epoch alone decide.

    The batches are as few as ``batch_size`` allows and of equal size, give or take one cell: batch
    normalisation has no use for a last batch of two. ``flips`` are indices into `FLIPS`.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(n_cells)
    flip = random.integers(len(FLIPS), size=n_cells) if flips else np.zeros(n_cells, np.int64)
    return [(part, flip[part]) for part in np.array_split(order, math.ceil(n_cells / batch_size))]


def _fit(
    phase: Phase,
    length: PhaseConfig,
    n_cells: int,
    load: Callable[[np.ndarray, np.ndarray], tuple[Tensor, ...]],
    folder: Path,
    seed: int,
    progress: EpochProgress | None,
    cancel: CancelToken | None,
) -> None:
    config = phase.config
    position = _take_up(phase, folder)
    log = _LossLog(folder / "losses.csv", phase.loss_names, position.epoch)
    started, first_epoch = time.monotonic() - position.seconds, position.epoch
    session = time.monotonic()

    while not position.finished:
        plan = epoch_batches(
            n_cells, config.batch_size, flips=config.augment_flips, seed=seed, epoch=position.epoch
        )
        totals = torch.tensor(
            [position.totals.get(name, 0.0) for name in phase.loss_names], dtype=torch.float64
        )
        totals = totals.to(phase.device, torch.float64 if phase.device.type != "mps" else torch.float32)
        epoch_started, cells_done = time.monotonic(), 0
        for index, batch in _ahead(load, plan, position.batch, phase.device):
            if cancel is not None and cancel.cancelled:
                summed = dict(zip(phase.loss_names, totals.tolist(), strict=True))
                stopped = replace(position, batch=index, seconds=time.monotonic() - started, totals=summed)
                path = write_checkpoint(folder, stopped, phase.state(), config.keep_checkpoints)
                raise Cancelled(f"Training was stopped; {path} holds all that was learnt: resume to go on.")
            phase.scale_learning_rates(_decay(config, length, position.epoch + index / len(plan)))
            losses = phase.step(*batch)
            totals += len(batch[0]) * torch.stack([losses[name] for name in phase.loss_names]).to(
                totals.dtype
            )
            cells_done += len(batch[0])
            if (index + 1) % _CHECK_EVERY == 0 or index + 1 == len(plan):
                _check_losses(phase, totals, position.epoch, folder)

        now = time.monotonic()
        epoch, seconds = position.epoch + 1, now - started
        out_of_time = length.max_minutes is not None and seconds >= 60 * length.max_minutes
        position = Position(epoch, seconds=seconds, finished=out_of_time or epoch >= length.epochs)
        means = dict(zip(phase.loss_names, (totals / n_cells).tolist(), strict=True))
        rate = cells_done / max(now - epoch_started, 1e-9)
        log.write(epoch, seconds, rate, means)
        write_checkpoint(folder, position, phase.state(), config.keep_checkpoints)
        if progress is not None:
            left = (now - session) / (epoch - first_epoch) * (length.epochs - epoch)
            if length.max_minutes is not None:
                left = min(left, 60 * length.max_minutes - seconds)
            progress(epoch, length.epochs, means, rate, 0.0 if position.finished else max(left, 0.0))


def _take_up(phase: Phase, folder: Path) -> Position:
    """Load the last checkpoint, if any, into the phase."""
    saved = checkpoints(folder)
    if not saved:
        return Position()
    position, tensors = read_checkpoint(saved[-1])
    phase.load_state(tensors)
    return position


def _ahead(
    load: Callable[[np.ndarray, np.ndarray], tuple[Tensor, ...]],
    plan: Sequence[tuple[np.ndarray, np.ndarray]],
    first: int,
    device: torch.device,
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """The batches from the ``first`` on, with their index, each read while the one before is being learnt."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(load, *plan[first]) if first < len(plan) else None
        for index in range(first, len(plan)):
            assert coming is not None
            batch = coming.result()
            if index + 1 < len(plan):
                coming = reader.submit(load, *plan[index + 1])
            yield index, tuple(_to_device(tensor, device) for tensor in batch)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    if tensor.ndim == 5:
        return tensor.to(device, memory_format=torch.channels_last_3d)
    return tensor.to(device)


def _decay(config: TrainingConfig, length: PhaseConfig, epoch: float) -> float:
    if config.learning_rate_decay == "none":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * epoch / length.epochs))


def _check_losses(phase: Phase, totals: Tensor, epoch: int, folder: Path) -> None:
    bad = [
        name
        for name, total in zip(phase.loss_names, totals.tolist(), strict=True)
        if not math.isfinite(total)
    ]
    if bad:
        raise TrainingDiverged(
            f"In epoch {epoch + 1} of the {phase.name} phase the loss '{bad[0]}' became NaN or infinite; "
            f"{last_good(checkpoints(folder))}. Lower the learning rate or train in fp32."
        )


def _flipped(x: Tensor, flips: np.ndarray) -> Tensor:
    if not flips.any():
        return x
    return torch.stack([torch.flip(cell, FLIPS[flip]) for cell, flip in zip(x, flips, strict=True)])


@torch.no_grad()
def _reference_targets(
    cells: Cells, encoder: ReferenceEncoder, config: TrainingConfig, cancel: CancelToken | None
) -> Tensor:
    """z^r of every cell under every flip in use, (n_cells, n_flips, n_ref), on the CPU."""
    device = next(encoder.parameters()).device
    flips = FLIPS if config.augment_flips else FLIPS[:1]
    targets = torch.empty(len(cells), len(flips), config.model.n_ref)
    for start in range(0, len(cells), _ENCODE_BATCH):
        if cancel is not None:
            cancel.raise_if_cancelled()
        indices = np.arange(start, min(start + _ENCODE_BATCH, len(cells)))
        x = _to_device(cells.references(indices), device)
        for column, axes in enumerate(flips):
            targets[start : start + len(indices), column] = encoder(torch.flip(x, axes)).cpu()
    return targets


class _LossLog:
    """``losses.csv``: one row an epoch; rows after the epoch that is resumed are dropped."""

    def __init__(self, path: Path, names: Sequence[str], epochs_done: int) -> None:
        self._path = path
        rows = list(csv.reader(path.open(newline=""))) if path.exists() else []
        kept = [row for row in rows[1:] if int(row[0]) <= epochs_done]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["epoch", "seconds", "cells_per_second", *names], *kept])

    def write(self, epoch: int, seconds: float, rate: float, losses: dict[str, float]) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow(
                [epoch, f"{seconds:.1f}", f"{rate:.2f}", *(f"{value:.6g}" for value in losses.values())]
            )


def _open_run(out: Path, config: TrainingConfig, phase: str, resume: bool) -> Path:
    """The phase's folder in the run, made if need be; the run's configuration is written beside it."""
    folder = out / phase
    folder.mkdir(parents=True, exist_ok=True)
    kept = out / "config.yaml"
    lengths = {"reference", "conditional", "keep_checkpoints"}
    if kept.exists() and read_config(kept).model_dump(exclude=lengths) != config.model_dump(exclude=lengths):
        raise ValueError(f"{out} holds a run of another configuration: train in another folder.")
    if checkpoints(folder) and not resume:
        raise ValueError(f"{out} already holds a {phase} phase: resume it, or train in another folder.")
    write_config(config, kept)
    return folder


def _check_cells(cells: Cells, config: TrainingConfig) -> None:
    model = config.model
    if len(cells) < 2:
        raise ValueError(f"There are {len(cells)} training cells: batch normalisation needs at least 2.")
    labels = np.asarray(cells.labels)
    if labels.min() < 0 or labels.max() >= model.n_structures:
        raise ValueError(
            f"The cells' labels run from {labels.min()} to {labels.max()}, but the model has "
            f"{model.n_structures} structures: train with a model of the data's structures."
        )
    expected = (model.n_references + 1, *model.box)
    found = tuple(cells.images(np.arange(1)).shape[1:])
    if found != expected:
        raise ValueError(
            f"The cells are (C, Z, Y, X) = {found}, but the model {model.name!r} takes {expected}: "
            "prepare the data for this model."
        )


def _seeds(seed: int, phase: str) -> Callable[[int], int]:
    """Independent seeds of a phase: 0 its first weights, 1 its draws, 2 its order of cells."""
    state = np.random.SeedSequence([seed, ("reference", "conditional").index(phase)]).generate_state(3)
    return lambda index: int(state[index])


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


def _fitted(networks: Networks, run: Path, phase: str) -> Networks:
    saved = checkpoints(run / phase)
    position, tensors = read_checkpoint(saved[-1]) if saved else (Position(), {})
    if not position.finished:
        raise ValueError(f"The {phase} phase of {run} is not finished: fit it first, or resume it.")
    for name, network in zip(networks._fields, networks, strict=True):
        prefix = f"{name}."
        network.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
    return _eval(networks)
