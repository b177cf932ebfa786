"""The training loop of both phases: epochs, batches, passes, checkpoints and stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.batches import read_ahead
from napari_ic_train.fit.clock import PhaseClock
from napari_ic_train.fit.distributed import check_batches
from napari_ic_train.fit.job import Job, Part, parts
from napari_ic_train.fit.measures import warning_signs
from napari_ic_train.fit.phase_files import PhaseFiles
from napari_ic_train.run.checkpoint import PhasePoint
from napari_ic_train.run.watching import EpochReport, StepReport, memory
from napari_integrated_cell.model.runtime import Cancelled

CHECK_EVERY = 16
"""Batches between two checks that the losses are finite. Each check waits for the device."""


def run_phase(job: Job) -> None:
    """Train a phase from its last checkpoint, or from the start, to its end.

    Raises
    ------
    Cancelled
        If ``cancel`` was set, after the current step and a checkpoint.
    TrainingDiverged
        If a loss or a weight became NaN or infinite; the checkpoints on disk stay good.
    OSError, ValueError
        If a file cannot be written or read.
    """
    files = PhaseFiles(job)
    point = files.resume()
    if job.config.adapted_from is not None and point == PhasePoint():
        files.write_start(job.world.first(lambda: job.measure(job.phase)))
    clock = PhaseClock(point, job.length)
    try:
        while not job.length.ended(point.epoch, point.seconds):
            epoch = _Epoch(job, files, clock, point)
            losses, rate = epoch.run()
            measures, seconds = job.world.first(lambda: (job.measure(job.phase), clock.seconds()))
            point = PhasePoint(point.epoch + 1, seconds=seconds)
            report = EpochReport(
                job.phase.name,
                point.epoch,
                job.length.epochs,
                losses,
                measures,
                rate,
                seconds,
                clock.seconds_left(point.epoch),
                memory(job.phase.device),
                warning_signs(job.phase, losses, measures),
            )
            files.write_epoch(point, report)
            clock.saved()
            for watcher in job.watchers:
                watcher.epoch(report, job.phase.networks)
    finally:
        for watcher in job.watchers:
            watcher.close()


class _Epoch:
    """One epoch, or the rest of it after a restart.

    State between batches:

    totals
        Each loss summed over this process's cells of the epoch, a tensor on the device. A loss is read back only every
        `CHECK_EVERY` batches, because reading waits for the device. A checkpoint within the epoch stores the sums, so
        that a resumed epoch reports the same means as an unbroken one.
    last, n_cells
        The last finished batch, and for each loss the number of cells up to each batch. Means divide by the cells up
        to the last batch: the clock may end an epoch early, and DecD's losses count judged batches only.
    seen
        Cells of the batches that this process has finished in the epoch, for the speed, which a restart does not count.
    means
        The losses that were read last, for the reports of the steps in between.
    """

    def __init__(self, job: Job, files: PhaseFiles, clock: PhaseClock, start: PhasePoint) -> None:
        self.job, self.files, self.clock, self.start = job, files, clock, start
        self.batches = job.plan(start.epoch)
        sizes = np.array([len(indices) for indices, _ in self.batches])
        self.judged = np.arange(len(sizes)) % job.config.decoding_discriminator_every == 0
        self.n_cells = {
            name: np.cumsum(sizes * self.judged if name in job.phase.judged_losses else sizes)
            for name in job.phase.loss_names
        }
        self.totals = _totals(job, start)
        self.last, self.seen, self.means = start.batch, 0, dict[str, float]()
        self.began = time.monotonic()

    def run(self) -> tuple[dict[str, float], float]:
        """Train on the batches; return each loss's mean over the epoch's cells, and the speed in cells per second."""
        job, passes = self.job, self.job.config.accumulate
        plan = [part for batch in self.batches for part in parts(batch, passes, job.world)]
        check_batches(job.world, [len(indices) // passes for indices, _ in self.batches])
        first = self.start.batch * passes
        for index, tensors in read_ahead(job.load, [part.cells for part in plan], first, job.phase.device):
            batch, number = divmod(index, passes)
            if number == 0 and not self._begin(batch):
                break
            self._add_gradients(plan[index], tensors, judge=bool(self.judged[batch]))
            if number == passes - 1:
                self._update(batch)
        return self._read_means(self.last), self._rate()

    def _begin(self, batch: int) -> bool:
        """Stop or save if asked, and set the learning rates; return False if the clock has ended the phase."""
        job, config, epoch = self.job, self.job.config, self.start.epoch
        asked_to_stop = job.cancel is not None and job.cancel.cancelled
        # Only the first process's clock counts: all processes must save after the same batch.
        due = self.clock.checkpoint_due(config.checkpoint_minutes) and job.world.is_first
        stop, save = job.world.any(asked_to_stop, due)
        if stop or save:
            self._save(batch, stop)
        # Likewise all must take the same number of steps.
        seconds = 0.0 if job.length.max_minutes is None else job.world.first(self.clock.seconds)
        job.phase.done = job.length.done(epoch + batch / len(self.batches), seconds)
        if job.phase.done >= 1 and self.seen:  # an epoch has one batch at least
            return False
        steps = epoch * len(self.batches) + batch + 1
        job.phase.scale_learning_rates(
            learning_rate_decay(config, job.phase.done) * min(1.0, steps / max(config.warm_up, 1))
        )
        return True

    def _add_gradients(self, part: Part, tensors: tuple[Tensor, ...], *, judge: bool) -> None:
        """Add the gradients and losses of this process's part of a pass."""
        phase, zero = self.job.phase, self.totals.new_zeros(())
        phase.draws.share = part.share
        losses = phase.gradients(*tensors, weight=part.weight, judge=judge, shared=self._share)
        self.totals += len(tensors[0]) * torch.stack(
            [losses.get(name, zero).to(self.totals.dtype) for name in phase.loss_names]
        )

    def _share(self, networks: list[nn.Module]) -> None:
        """Sum the gradients of discriminators that step within a pass over all processes, and clip them."""
        self.job.world.sum_gradients(networks)
        clip_gradients(networks, self.job.config.clip_gradients)

    def _update(self, batch: int) -> None:
        """Step the optimisers on the gradients of all processes, and report the step."""
        job, phase, number, n_batches = self.job, self.job.phase, batch + 1, len(self.batches)
        job.world.sum_gradients(phase.networks)
        clip_gradients(phase.networks, job.config.clip_gradients)
        phase.update()
        self.last, self.seen = batch, self.seen + len(self.batches[batch][0])
        if number % CHECK_EVERY == 0 or number == n_batches:
            self.means = self._read_means(batch)
        epoch, rate = self.start.epoch, self._rate()
        left = self.clock.seconds_left(epoch + number / n_batches)
        step = StepReport(phase.name, epoch + 1, job.length.epochs, number, n_batches, rate, left, self.means)
        for watcher in job.watchers:
            watcher.step(step)

    def _save(self, batch: int, stop: bool) -> None:
        """Write a checkpoint before a batch; stop there if asked to."""
        totals = self._summed()
        point = replace(self.start, batch=batch, seconds=self.clock.seconds(), totals=dict(totals))
        path = self.files.write_checkpoint(point)
        self.clock.saved()
        if stop:
            raise Cancelled(f"Training was stopped: resume it to continue from {path}.")

    def _read_means(self, batch: int) -> dict[str, float]:
        """Return each loss's mean over the epoch's cells up to a batch, over all processes."""
        return {name: total / int(self.n_cells[name][batch]) for name, total in self._summed().items()}

    def _summed(self) -> Mapping[str, float]:
        """Return the totals of all processes; raise TrainingDiverged if one is not finite."""
        sums = self.job.world.summed(self.totals).tolist()
        totals = dict(zip(self.job.phase.loss_names, sums, strict=True))
        self.files.check_finite(totals, self.start.epoch)
        return totals

    def _rate(self) -> float:
        return self.seen / max(time.monotonic() - self.began, 1e-9)


def clip_gradients(networks: Iterable[nn.Module], largest: float | None) -> None:
    """Scale each network's gradient to a norm of at most ``largest``."""
    if largest is not None:
        for network in networks:
            nn.utils.clip_grad_norm_(network.parameters(), largest)


def learning_rate_decay(config: TrainingConfig, done: float) -> float:
    """Return the factor of the learning rates at a finished share of a phase, 0 to 1."""
    if config.learning_rate_decay == "none":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * done))


def _totals(job: Job, start: PhasePoint) -> Tensor:
    """Return the sums of the losses at the start of an epoch, or at its checkpoint.

    The sums of a checkpoint are those of all processes: the first process starts with them, the others with zero.
    """
    phase = job.phase
    dtype = torch.float32 if phase.device.type == "mps" else torch.float64
    before = start.totals if job.world.is_first else {}
    return torch.tensor(
        [before.get(name, 0.0) for name in phase.loss_names], dtype=dtype, device=phase.device
    )
