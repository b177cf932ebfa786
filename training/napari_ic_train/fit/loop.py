"""The plain loop that both phases share: batches, epochs, checkpoints, losses on record, stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_ic_train.config import PhaseConfig, TrainingConfig
from napari_ic_train.fit.batches import Indices, Load, read_ahead
from napari_ic_train.fit.checkpoint import (
    Position,
    checkpoints,
    keep_best,
    last_good,
    read_checkpoint,
    write_checkpoint,
)
from napari_ic_train.fit.distributed import World, check_batches
from napari_ic_train.fit.draws import Share
from napari_ic_train.fit.measures import Measure, warning_signs
from napari_ic_train.fit.phase import Phase
from napari_ic_train.run.folder import LossLog, best_epoch
from napari_ic_train.run.watching import EpochReport, StepReport, Watcher, memory
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

EpochProgress = Callable[[int, int, dict[str, float], float, float], None]
"""Called after each epoch: ``progress(epoch, epochs, losses, cells_per_second, seconds_left)``, from 1 on."""

Batch = tuple[Indices, Indices]

CHECK_EVERY = 16
"""Batches between two looks at whether the losses are finite: each look waits for the device."""


class TrainingDiverged(FloatingPointError):
    """A loss became infinite or undefined."""


@dataclass(frozen=True, eq=False)
class Job:
    """One phase's work, on one process.

    Attributes
    ----------
    phase : Phase
        The networks in training.
    length : PhaseConfig
        When it is done.
    plan : callable
        ``plan(epoch)`` gives the epoch's batches, the same on every process.
    load : callable
        Reads the cells of a batch, or of a part of one.
    folder : path
        The phase's folder in the run.
    world : World
        The processes that share each batch.
    measure : callable
        Measures the phase after each epoch, on the first process.
    watchers : sequence of Watcher
        Told about every batch and epoch, by the first process.
    progress, cancel
        As in `fit_reference`.
    """

    phase: Phase
    length: PhaseConfig
    plan: Callable[[int], list[Batch]]
    load: Load
    folder: Path
    world: World
    measure: Measure
    watchers: Sequence[Watcher] = ()
    progress: EpochProgress | None = None
    cancel: CancelToken | None = None

    @property
    def config(self) -> TrainingConfig:
        """The run's configuration."""
        return self.phase.config


@dataclass(frozen=True)
class Part:
    """What one process learns of a batch in one pass.

    Attributes
    ----------
    cells : tuple of array
        Indices and flips.
    share : Share or None
        Which rows of the pass these are; None for all.
    weight : float
        Their number over that of the batch's cells: gradients of means, so weighted, add up to the batch's.
    """

    cells: Batch
    share: Share | None
    weight: float


def parts(batch: Batch, passes: int, world: World) -> list[Part]:
    """What this process learns in each of the passes that a batch is cut into."""
    indices, flips = batch
    result = []
    for chosen, flip in zip(np.array_split(indices, passes), np.array_split(flips, passes), strict=True):
        share = world.share(len(chosen))
        rows = slice(None) if share is None else slice(share.start, share.stop)
        mine = (chosen[rows], flip[rows])
        result.append(Part(mine, share, len(mine[0]) / len(indices)))
    return result


def run_phase(job: Job) -> None:
    """Run a phase from where its folder left it to its end.

    Raises
    ------
    Cancelled
        If ``cancel`` was set, after the step under way and a checkpoint.
    TrainingDiverged
        If a loss or a weight became NaN or infinite; what is on disk stays good.
    OSError, ValueError
        If something cannot be written or read.
    """
    position = _take_up(job)
    session = Session(time.monotonic(), position)
    try:
        while not job.length.ended(position.epoch, position.seconds):
            losses, rate = _epoch(job, session, position)
            measures, seconds = job.world.first(
                lambda: (job.measure(job.phase), time.monotonic() - session.began)
            )
            position = Position(position.epoch + 1, seconds=seconds)
            report = EpochReport(
                job.phase.name,
                position.epoch,
                job.length.epochs,
                losses,
                measures,
                rate,
                seconds,
                session.seconds_left(job.length, position.epoch),
                memory(job.phase.device),
                warning_signs(job.phase, losses, measures),
            )
            job.world.first(partial(_record, job, session, position, report))
            session.saved = time.monotonic()
            for watcher in job.watchers:
                watcher.epoch(report, job.phase)
            if job.progress is not None:
                job.progress(position.epoch, job.length.epochs, losses, rate, report.seconds_left)
    finally:
        for watcher in job.watchers:
            watcher.close()


class Session:
    """The clock of one sitting: time goes on from where an earlier sitting stopped."""

    def __init__(self, now: float, position: Position) -> None:
        self.began = now - position.seconds
        self.saved = now
        self.log: LossLog | None = None
        self._now, self._epoch = now, position.epoch

    def seconds_left(self, length: PhaseConfig, epoch: float) -> float:
        """Until the phase ends, after so many epochs, fractions counted, at this sitting's speed."""
        now = time.monotonic()
        left = (now - self._now) / max(epoch - self._epoch, 1e-9) * (length.epochs - epoch)
        if length.max_minutes is not None:
            left = min(left, max(60 * length.max_minutes - (now - self.began), 0.0))
        return left


def _epoch(job: Job, session: Session, position: Position) -> tuple[dict[str, float], float]:
    """One epoch, or what is left of it or of the phase: each loss's mean over its cells, and cells per second."""
    phase, world, config = job.phase, job.world, job.config
    batches = job.plan(position.epoch)
    passes = config.accumulate
    plan = [part for batch in batches for part in parts(batch, passes, world)]
    check_batches(world, [len(indices) // passes for indices, _ in batches])
    every = config.decoding_discriminator_every
    sizes = np.array([len(indices) for indices, _ in batches])
    judged = np.arange(len(batches)) % every == 0
    n_cells = {
        name: np.cumsum(sizes * judged if name in phase.judged_losses else sizes) for name in phase.loss_names
    }
    totals, seen, shown = _totals(job, position), 0, dict[str, float]()
    began, last = time.monotonic(), position.batch

    reader = read_ahead(job.load, [part.cells for part in plan], position.batch * passes, phase.device)
    for index, tensors in reader:
        batch, turn = divmod(index, passes)
        part = plan[index]
        if turn == 0:
            stop, save = world.any(*_asked(job, session))
            if stop or save:
                _save_within(job, session, replace(position, batch=batch), totals, stop)
            steps = position.epoch * len(batches) + batch + 1
            phase.done = job.length.done(position.epoch + batch / len(batches), _clock(job, session))
            if phase.done >= 1 and seen:  # by the clock; rates that decay have come to nothing
                break
            phase.scale_learning_rates(
                learning_rate_decay(config, phase.done) * min(1.0, steps / max(config.warm_up, 1))
            )
        phase.draws.share = part.share
        losses = phase.gradients(*tensors, weight=part.weight, judge=bool(judged[batch]))
        zero = totals.new_zeros(())
        totals += len(tensors[0]) * torch.stack(
            [losses.get(name, zero).to(totals.dtype) for name in phase.loss_names]
        )
        if turn + 1 < passes:
            continue
        world.add_up_gradients(phase.networks)
        clip_gradients(phase, config.clip_gradients)
        phase.update()

        last, seen = batch, seen + len(batches[batch][0])
        if (batch + 1) % CHECK_EVERY == 0 or batch + 1 == len(batches):
            shown = _means(job, totals, {name: int(n[batch]) for name, n in n_cells.items()}, position.epoch)
        rate = seen / max(time.monotonic() - began, 1e-9)
        left = session.seconds_left(job.length, position.epoch + (batch + 1) / len(batches))
        step = StepReport(
            phase.name, position.epoch + 1, job.length.epochs, batch + 1, len(batches), rate, left, shown
        )
        for watcher in job.watchers:
            watcher.step(step)
    learnt = {name: int(n[last]) for name, n in n_cells.items()}
    return _means(job, totals, learnt, position.epoch), seen / max(time.monotonic() - began, 1e-9)


def clip_gradients(phase: Phase, largest: float | None) -> None:
    """Scale each network's gradient to a norm of at most ``largest``."""
    if largest is not None:
        for network in phase.networks:
            nn.utils.clip_grad_norm_(network.parameters(), largest)


def _clock(job: Job, session: Session) -> float:
    """Seconds spent on the phase, where that matters: the first process's, for all must take the same step."""
    if job.length.max_minutes is None:
        return 0.0
    return job.world.first(lambda: time.monotonic() - session.began)


def learning_rate_decay(config: TrainingConfig, done: float) -> float:
    """Factor of the learning rates where so much of a phase lies behind, 0 to 1."""
    if config.learning_rate_decay == "none":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * done))


def columns(report: EpochReport) -> list[str]:
    """What ``losses.csv`` has beside epoch, seconds and speed."""
    return [*report.losses, *report.measures, "memory_gb", "warnings"]


def _asked(job: Job, session: Session) -> tuple[bool, bool]:
    """Whether this process was asked to stop, and whether a checkpoint is due by its clock."""
    stop = job.cancel is not None and job.cancel.cancelled
    minutes = job.config.checkpoint_minutes
    due = minutes is not None and time.monotonic() - session.saved >= 60 * minutes
    return stop, due and job.world.is_first


def _save_within(job: Job, session: Session, position: Position, totals: Tensor, stop: bool) -> None:
    """Write a checkpoint between two batches; stop there if asked to."""
    reached = job.world.summed(totals).tolist()
    _check_finite(job, reached, position.epoch)
    now = replace(
        position,
        seconds=time.monotonic() - session.began,
        totals=dict(zip(job.phase.loss_names, reached, strict=True)),
    )
    path = job.world.first(lambda: str(_write(job, now)))
    session.saved = time.monotonic()
    if stop:
        raise Cancelled(f"Training was stopped: resume it to go on from {path}.")


def _record(job: Job, session: Session, position: Position, report: EpochReport) -> None:
    """Put an epoch on record: its row first, then its checkpoint, then, if it is, that it is the best."""
    if session.log is None:
        session.log = LossLog(job.folder, columns(report), report.epoch - 1)
    row: dict[str, float | str] = {
        "epoch": report.epoch,
        "seconds": f"{report.seconds:.1f}",
        "cells_per_second": f"{report.cells_per_second:.2f}",
        **report.losses,
        **report.measures,
        "memory_gb": f"{report.memory:.2f}",
        "warnings": "; ".join(report.warnings),
    }
    session.log.write(row)
    _write(job, position)
    _keep_best(job.folder)


def _write(job: Job, position: Position) -> Path:
    state = job.phase.state()
    broken = [
        name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    if broken:
        raise TrainingDiverged(_diverged(job, position.epoch, f"'{broken[0]}'"))
    return write_checkpoint(job.folder, position, state, job.config.keep_checkpoints)


def _keep_best(folder: Path) -> None:
    best = best_epoch(folder)
    if best is not None:
        keep_best(folder, best)


def _take_up(job: Job) -> Position:
    """Load the last checkpoint, if there is one, into the phase: the same one on every process."""

    def last() -> str | None:
        saved = checkpoints(job.folder)
        if saved:
            _keep_best(job.folder)  # its process may have been killed before it could
        return str(saved[-1]) if saved else None

    path = job.world.first(last)
    if path is None:
        return Position()
    position, tensors = read_checkpoint(Path(path))
    job.phase.load_state(tensors)
    return position


def _totals(job: Job, position: Position) -> Tensor:
    """Each loss summed over this process's cells of the epoch so far, on the device: no step waits for it.

    What was summed before a restart counts as the first process's.
    """
    phase = job.phase
    dtype = torch.float32 if phase.device.type == "mps" else torch.float64
    before = position.totals if job.world.is_first else {}
    return torch.tensor(
        [before.get(name, 0.0) for name in phase.loss_names], dtype=dtype, device=phase.device
    )


def _means(job: Job, totals: Tensor, n_cells: dict[str, int], epoch: int) -> dict[str, float]:
    sums = job.world.summed(totals).tolist()
    _check_finite(job, sums, epoch)
    return {name: total / n_cells[name] for name, total in zip(job.phase.loss_names, sums, strict=True)}


def _check_finite(job: Job, totals: Sequence[float], epoch: int) -> None:
    for name, total in zip(job.phase.loss_names, totals, strict=True):
        if not math.isfinite(total):
            raise TrainingDiverged(_diverged(job, epoch, f"the loss '{name}'"))


def _diverged(job: Job, epoch: int, what: str) -> str:
    return (
        f"In epoch {epoch + 1} of the {job.phase.name} phase {what} became NaN or infinite; "
        f"{last_good(checkpoints(job.folder))}: lower the learning rates, or train in fp32."
    )
