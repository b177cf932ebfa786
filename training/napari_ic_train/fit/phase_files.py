"""Files of a phase in training: checkpoints and ``losses.csv``, and the check that nothing in them is NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from napari_ic_train.fit.job import Job
from napari_ic_train.run.checkpoint import (
    PhasePoint,
    checkpoints,
    keep_best,
    last_good,
    read_checkpoint,
    write_checkpoint,
)
from napari_ic_train.run.folder import LossLog, best_epoch, judged_by
from napari_ic_train.run.watching import EpochReport


class TrainingDiverged(FloatingPointError):
    """A loss or a weight became infinite or NaN."""


class PhaseFiles:
    """Writes a phase's losses and checkpoints; only the first process writes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._log: LossLog | None = None

    def resume(self) -> PhasePoint:
        """Load the last checkpoint, if there is one, into the phase, on every process; return its point."""

        def last() -> str | None:
            saved = checkpoints(self.job.folder)
            if saved:
                self._keep_best()  # a process that was killed may not have done this
            return str(saved[-1]) if saved else None

        path = self.job.world.first(last)
        if path is None:
            return PhasePoint()
        point, tensors = read_checkpoint(Path(path))
        self.job.phase.load_state(tensors)
        return point

    def write_checkpoint(self, point: PhasePoint) -> str:
        """Write a checkpoint on the first process; return its path on all.

        Raises
        ------
        TrainingDiverged
            If a tensor holds NaN or infinite values; it is not written.
        OSError
            If the checkpoint cannot be written.
        """
        return self.job.world.first(lambda: str(self._write(point)))

    def write_epoch(self, point: PhasePoint, report: EpochReport) -> None:
        """Write an epoch's row of ``losses.csv``, then its checkpoint, then link the best checkpoint so far."""
        self.job.world.first(lambda: self._write_row(point, _row(report), report.measures))

    def write_start(self, measures: Mapping[str, float]) -> None:
        """Write epoch 0, the networks that a run starts from: they may be the best ones."""
        row: dict[str, float | str] = {"epoch": 0, "seconds": "0.0", **measures}
        self.job.world.first(lambda: self._write_row(PhasePoint(), row, measures))

    def check_finite(self, losses: Mapping[str, float], epoch: int) -> None:
        """Raise TrainingDiverged if a loss is NaN or infinite."""
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise self._diverged(epoch, f"the loss '{name}'")

    def _write_row(
        self, point: PhasePoint, row: Mapping[str, float | str], measures: Mapping[str, float]
    ) -> None:
        if self._log is None:
            columns = [*self.job.phase.loss_names, *measures, "memory_gb", "warnings"]
            self._log = LossLog(self.job.folder, columns, point.epoch - 1)
        self._log.write(row)
        self._write(point)
        self._keep_best()

    def _write(self, point: PhasePoint) -> Path:
        state = self.job.phase.state()
        for name, tensor in state.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise self._diverged(point.epoch, f"'{name}'")
        return write_checkpoint(self.job.folder, point, state, self.job.config.keep_checkpoints)

    def _keep_best(self) -> None:
        best = best_epoch(self.job.folder, judged_by(self.job.config, self.job.phase.name))
        if best is not None:
            keep_best(self.job.folder, best)

    def _diverged(self, epoch: int, what: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"In epoch {epoch + 1} of the {self.job.phase.name} phase {what} became NaN or infinite; "
            f"{last_good(checkpoints(self.job.folder))}: lower the learning rates, or train in fp32."
        )


def _row(report: EpochReport) -> dict[str, float | str]:
    return {
        "epoch": report.epoch,
        "seconds": f"{report.seconds:.1f}",
        "cells_per_second": f"{report.cells_per_second:.2f}",
        **report.losses,
        **report.measures,
        "memory_gb": f"{report.memory:.2f}",
        "warnings": "; ".join(report.warnings),
    }
