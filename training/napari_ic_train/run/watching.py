"""Reports that a training run sends after every step and every epoch, and watchers that show them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from napari_ic_train.run.fitted_networks import Networks


@dataclass(frozen=True)
class StepReport:
    """Report after a batch.

    Attributes
    ----------
    phase : str
        ``"reference"`` or ``"conditional"``.
    epoch, epochs : int
        The current epoch, counted from 1, and the number of epochs.
    batch, batches : int
        Finished batches of this epoch, and their number.
    cells_per_second : float
        Mean speed in this epoch.
    seconds_left : float
        Estimated time until the phase ends.
    losses : mapping of str to float
        Means over the epoch so far, read every few batches; empty in the first batches.
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
    """Report after an epoch.

    Attributes
    ----------
    phase : str
        ``"reference"`` or ``"conditional"``.
    epoch, epochs : int
        The finished epoch, counted from 1, and the number of epochs.
    losses : mapping of str to float
        Means over the epoch's cells.
    measures : mapping of str to float
        Measured after the epoch, on held-out cells if there are any; see :mod:`~napari_ic_train.fit.measures`.
    cells_per_second, seconds, seconds_left : float
        Mean speed in this epoch; time spent on the phase, including the time before restarts; estimated time left.
    memory : float
        Peak memory in GB, of the GPU or, without one, of the process.
    warnings : tuple of str
        Signs that the adversarial training fails, one sentence each.
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
        """Return the report in one line of text."""
        figures = "  ".join(
            f"{name} {value:.4g}" for name, value in (*self.losses.items(), *self.measures.items())
        )
        left = f", {duration(self.seconds_left)} left" if self.epoch < self.epochs else ""
        return (
            f"{self.phase} epoch {self.epoch}/{self.epochs}: {figures}  "
            f"({self.cells_per_second:.1f} cells/s, {self.memory:.1f} GB{left})"
        )


class Watcher:
    """Receives the reports of a run, and ignores them unless a subclass uses them. It must not change the run."""

    def step(self, report: StepReport) -> None:
        """Receive the report of a batch."""

    def epoch(self, report: EpochReport, networks: Networks) -> None:
        """Receive the report of an epoch and the networks in training, after the checkpoint is on disk."""

    def close(self) -> None:
        """Release resources when the phase ends, also after an error."""


class Terminal(Watcher):
    """Progress bar of the current epoch on standard error, and one line for each finished epoch."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def step(self, report: StepReport) -> None:
        """Move the bar."""
        if self._bar is None:
            what = f"{report.phase} epoch {report.epoch}/{report.epochs}"
            # disable=None: no bar if standard error is a file, as under SLURM, which a bar would fill.
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

    def epoch(self, report: EpochReport, networks: Networks) -> None:
        """Write one line for the epoch, and one for each warning."""
        self.close()
        for line in (report.line(), *(f"  warning: {sentence}" for sentence in report.warnings)):
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TensorBoard(Watcher):
    """Writes every loss and measure as a TensorBoard curve, under ``RUN/tensorboard/PHASE``.

    Raises
    ------
    ImportError
        If tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(missing("tensorboard")) from error
        self.writer = SummaryWriter(str(folder))

    def epoch(self, report: EpochReport, networks: Networks) -> None:
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
        """Close the file."""
        self.writer.close()


def missing(package: str) -> str:
    """Return an error sentence that says how to install an optional package."""
    return f"{package} is not installed: install it with pip install 'napari-integrated-cell[train]'."


def memory(device: torch.device) -> float:
    """Return the peak memory so far in GB: of the GPU if ``device`` is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def duration(seconds: float) -> str:
    """Return a time as text, for example "12 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
