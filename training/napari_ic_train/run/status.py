"""Status of a run, read from its folder only, so also from another terminal or machine."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_ic_train.config import TrainingConfig, read_config
from napari_ic_train.run.checkpoint import checkpoints, read_point
from napari_ic_train.run.folder import CONFIG, PHASES, best_epoch, check_run, judged_by, read_losses
from napari_ic_train.run.record import NOW, process_began, read_json, read_record
from napari_ic_train.run.watching import duration


@dataclass(frozen=True)
class PhaseStatus:
    """Status of a phase: finished epochs, the last row of ``losses.csv``, best epoch, last checkpoint."""

    name: str
    epochs_done: int
    epochs: int
    last: dict[str, str] = field(default_factory=dict)
    best_epoch: int | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class RunStatus:
    """Status of a run.

    Attributes
    ----------
    run : str
        The run's folder.
    now : dict
        The content of ``now.json``.
    sitting : dict
        The last entry of ``run.json``.
    alive : bool or None
        Whether the process exists; None if it runs on another machine.
    heard : float or None
        Seconds since ``now.json`` was written; None if there is none.
    warnings : tuple of str
        The warnings of the last epoch.
    """

    run: str
    phases: tuple[PhaseStatus, ...]
    now: dict[str, Any]
    sitting: dict[str, Any]
    alive: bool | None
    heard: float | None
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the status as lines of text."""
        lines = [f"{self.run}: {self._state()}"]
        for phase in self.phases:
            lines.append(f"{phase.name} phase: {phase.epochs_done} of {phase.epochs} epochs")
            skipped = ("epoch", "warnings")
            figures = [
                f"{name} {value}" for name, value in phase.last.items() if value and name not in skipped
            ]
            if figures:
                lines.append("  last epoch: " + "  ".join(figures))
            if phase.best_epoch is not None:
                lines.append(f"  best on held-out cells: epoch {phase.best_epoch}")
            if phase.checkpoint is not None:
                lines.append(f"  last checkpoint: {phase.checkpoint}")
        if self.now and self.alive is not False:
            now = self.now
            within = f", batch {now['batch']} of {now['batches']}" if now.get("batches") else ""
            lines.append(
                f"now: {now['phase']} epoch {now['epoch']} of {now['epochs']}{within}, "
                f"{now['cells_per_second']:.1f} cells/s, {duration(now['seconds_left'])} left in this phase"
            )
        lines.extend(f"warning: {sentence}" for sentence in self.warnings)
        if self.alive is False and self.sitting.get("outcome") != "finished" and "continue" in self.sitting:
            lines.append(f"continue it with: {self.sitting['continue']}")
        return lines

    def _state(self) -> str:
        outcome = str(self.sitting.get("outcome", "not recorded"))
        place = f"process {self.sitting.get('pid')} on {self.sitting.get('host')}"
        if outcome != "running":
            return outcome
        if self.alive is None:
            heard = "never" if self.heard is None else f"{duration(self.heard)} ago"
            return f"running on another machine ({place}), last report {heard}"
        return f"running ({place})" if self.alive else f"dead: {place} ended without a record of why"


def run_status(run: str | Path) -> RunStatus:
    """Read the status of the run in a folder.

    Raises
    ------
    ValueError
        If the folder holds no run.
    """
    run = Path(run)
    check_run(run)
    config = read_config(run / CONFIG)
    phases = tuple(_phase(run / name, config) for name in PHASES)
    now, sittings = read_json(run / NOW), read_record(run)
    last = sittings[-1] if sittings else {}
    heard = None
    if "time" in now:
        heard = (datetime.now(UTC) - datetime.fromisoformat(now["time"])).total_seconds()
    rows = [phase.last for phase in phases if phase.last]
    warnings = tuple(filter(None, rows[-1].get("warnings", "").split("; "))) if rows else ()
    return RunStatus(str(run), phases, now, last, _lives(last), heard, warnings)


def _phase(folder: Path, config: TrainingConfig) -> PhaseStatus:
    saved = checkpoints(folder)
    done = read_point(saved[-1]).epoch if saved else 0
    rows = [row for row in read_losses(folder) if int(row["epoch"]) <= done]
    best = best_epoch(folder, judged_by(config, folder.name))
    last, checkpoint = rows[-1] if rows else {}, str(saved[-1]) if saved else None
    return PhaseStatus(folder.name, done, getattr(config, folder.name).epochs, last, best, checkpoint)


def _lives(sitting: dict[str, Any]) -> bool | None:
    """Return whether the process of a sitting exists; None if it ran on another machine."""
    if sitting.get("outcome") != "running":
        return False
    if sitting.get("host") != socket.gethostname():
        return None
    pid = int(sitting["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # the process belongs to another user
    began = process_began(pid)
    return began == sitting.get("process_began")
