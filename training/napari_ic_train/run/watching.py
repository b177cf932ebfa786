"""What a run tells those who watch it: a report after every step and every epoch, and who may listen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm

from napari_ic_train.fit.phase import Phase


@dataclass(frozen=True)
class StepReport:
    """Where a phase stands within an epoch.

    Attributes
    ----------
    phase : str
        ``"reference"`` or ``"conditional"``.
    epoch, epochs : int
        The epoch under way, from 1 on, of how many.
    batch, batches : int
        Batches done of this epoch.
    cells_per_second : float
        Over this epoch so far.
    seconds_left : float
        Of the phase, as far as can be told.
    losses : mapping of str to float
        Means over the epoch so far, as they were last looked at; empty in the first batches.
    """

    phase: str
    epoch: int
    epochs: int
    batch: int
    batches: int
    cells_per_second: float
    seconds_left: float
    losses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochReport:
    """An epoch that is done.

    Attributes
    ----------
    phase : str
        ``"reference"`` or ``"conditional"``.
    epoch, epochs : int
        Which one, from 1 on, of how many.
    losses : mapping of str to float
        Means over the epoch's cells.
    measures : mapping of str to float
        What was measured after it on held-out cells; see `measures`.
    cells_per_second, seconds, seconds_left : float
        Speed; time since the phase began, all sessions together; and until it ends, as far as can be told.
    memory : float
        Most memory held so far, in GB: of the GPU where there is one, of the process otherwise.
    warnings : tuple of str
        Signs of adversarial failure, one sentence each.
    """

    phase: str
    epoch: int
    epochs: int
    losses: Mapping[str, float]
    measures: Mapping[str, float]
    cells_per_second: float
    seconds: float
    seconds_left: float
    memory: float
    warnings: tuple[str, ...] = ()

    def line(self) -> str:
        """All of it in one line for a person."""
        figures = "  ".join(
            f"{name} {value:.4g}" for name, value in (*self.losses.items(), *self.measures.items())
        )
        left = f", {duration(self.seconds_left)} left" if self.epoch < self.epochs else ""
        return (
            f"{self.phase} epoch {self.epoch}/{self.epochs}: {figures}  "
            f"({self.cells_per_second:.1f} cells/s, {self.memory:.1f} GB{left})"
        )


class Watcher(Protocol):
    """Something that follows a run; it must not change it."""

    def step(self, report: StepReport) -> None:
        """Called after every batch."""

    def epoch(self, report: EpochReport, phase: Phase) -> None:
        """Called after every epoch, when its checkpoint is on disk."""

    def close(self) -> None:
        """Called when the phase ends, however it does."""


class Terminal:
    """A bar on standard error for the epoch under way, and one line that stays for each epoch done."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def step(self, report: StepReport) -> None:
        """Move the bar."""
        if self._bar is None:
            what = f"{report.phase} epoch {report.epoch}/{report.epochs}"
            # Where standard error is a file, as under SLURM, a bar would fill it: lines alone are written.
            self._bar = tqdm(
                desc=what, file=sys.stderr, leave=False, disable=None, mininterval=0.5, unit="batch"
            )
        self._bar.total = report.batches
        self._bar.set_postfix(
            {name: f"{value:.3g}" for name, value in report.losses.items()}
            | {"cells/s": f"{report.cells_per_second:.1f}", "left": duration(report.seconds_left)},
            refresh=False,
        )
        self._bar.update(report.batch - self._bar.n)

    def epoch(self, report: EpochReport, phase: Phase) -> None:
        """Write the epoch's line, and a line for each warning."""
        self.close()
        for line in (report.line(), *(f"  warning: {sentence}" for sentence in report.warnings)):
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TensorBoard:
    """Every loss and measure as a curve, under ``RUN/tensorboard/PHASE``.

    Raises
    ------
    ImportError
        Where tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(missing("tensorboard")) from error
        self.writer = SummaryWriter(str(folder))

    def step(self, report: StepReport) -> None:
        """Nothing: a curve has a point an epoch."""

    def epoch(self, report: EpochReport, phase: Phase) -> None:
        """Add a point to every curve."""
        for kind, figures in (("loss", report.losses), ("measure", report.measures)):
            for name, value in figures.items():
                self.writer.add_scalar(f"{kind}/{name}", value, report.epoch)
        self.writer.add_scalar("speed/cells per second", report.cells_per_second, report.epoch)
        self.writer.add_scalar("speed/memory in GB", report.memory, report.epoch)
        for sentence in report.warnings:
            self.writer.add_text("warnings", sentence, report.epoch)
        self.writer.flush()

    def close(self) -> None:
        """Close the file of curves."""
        self.writer.close()


def missing(package: str) -> str:
    """Words that say how to get an optional package."""
    return f"{package} is not installed: install it with pip install 'napari-integrated-cell[train]'."


def memory(device: torch.device) -> float:
    """The most memory held so far, in GB: on the GPU where ``device`` is one, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
