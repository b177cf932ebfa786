"""Record of a run: ``run.json`` with its history, ``now.json`` with its state, ``README.md`` for people.

A sitting is one process's work on a run (or that of several processes that train together), from its start to its
end. A run that is stopped and resumed has several.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_ic_train.run.fitted_networks import Networks
from napari_ic_train.run.folder import check_run
from napari_ic_train.run.watching import EpochReport, StepReport, Watcher
from napari_integrated_cell.model.runtime import Cancelled

RECORD = "run.json"
NOW = "now.json"
PACKAGES = ("napari-integrated-cell", "torch", "numpy", "zarr", "pandas", "safetensors", "pydantic")
HEARTBEAT = 5.0
"""Seconds between two updates of ``now.json``."""

README = """# A run of napari-ic-train

| | |
| --- | --- |
| `config.yaml` | the whole configuration, with every default |
| `run.json` | for each start of the run: command, versions, git state, seed, machine, begin, end and outcome |
| `now.json` | the state of the run; `napari-ic-train status {run}` prints it |
| `reference/`, `conditional/` | phase 1 (Algorithm 1) and phase 2 (Algorithm 2) |
| `.../losses.csv` | one row per epoch: losses, measures on held-out cells, speed, memory, warnings |
| `.../EPOCH-BATCH.safetensors` | the last checkpoints: networks, optimisers, random generator |
| `.../best.safetensors` | the checkpoint that reconstructs held-out cells best |
| `pictures/` | held-out cells and their reconstructions, drawn cells, the latent space |
| `tensorboard/` | the same curves for `tensorboard --logdir {run}/tensorboard` |

This command continues it. On a CPU the result is the same, bit for bit, as without a break:

    {command}
"""


@contextmanager
def sitting(run: Path, facts: Mapping[str, Any], again: str) -> Iterator[None]:
    """Record one start of the training (a sitting) in ``run.json``, and its outcome at the end of the block.

    Parameters
    ----------
    run : path
        The run's folder; it is made if it does not exist.
    facts : mapping
        Further facts about this sitting for ``run.json``.
    again : str
        The command that continues the run.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / "README.md").write_text(README.format(run=run, command=again), encoding="utf-8")
    sittings = read_record(run)
    mine: dict[str, Any] = {
        "began": _now(),
        "ended": None,
        "outcome": "running",
        "continue": again,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_began": process_began(os.getpid()),
        **facts,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "git": git_state(),
    }

    def write() -> None:
        write_json(run / RECORD, {"sittings": [*sittings, mine]})

    write()
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Cancelled | KeyboardInterrupt)
        mine["outcome"] = "stopped" if stopped else f"failed: {error}"
        mine["ended"] = _now()
        with contextlib.suppress(OSError):  # the disk may be the cause of the failure
            write()
        raise
    mine["outcome"], mine["ended"] = "finished", _now()
    write()


def read_record(run: Path) -> list[dict[str, Any]]:
    """Return a run's sittings, one for each start, the oldest first; an empty list if there is no record."""
    return list(read_json(run / RECORD).get("sittings", []))


class StoreNotFound(ValueError):
    """The training store of a run is unknown or missing."""


def store_of(run: Path, given: Path | None = None) -> Path:
    """Return the store that a run was last fitted on, or the given one.

    Raises
    ------
    ValueError
        If there is no run in the folder.
    StoreNotFound
        If no store is given, and the run does not name one or the one that it names does not exist.
    """
    check_run(run)
    if given is not None:
        return given
    known = [Path(one["store"]) for one in read_record(run) if "store" in one]
    if not known:
        raise StoreNotFound(f"{run} does not name the store that it was fitted on: give the training store.")
    if not known[-1].exists():
        raise StoreNotFound(
            f"{run} was fitted on {known[-1]}, which does not exist: give the training store."
        )
    return known[-1]


class Heartbeat(Watcher):
    """Watcher that keeps the state of the run in ``now.json``, for other terminals and machines."""

    def __init__(self, run: Path) -> None:
        self._path = run / NOW
        self._written = 0.0
        self._warnings: tuple[str, ...] = ()

    def step(self, report: StepReport) -> None:
        """Write the state, unless it was written a moment ago."""
        now = datetime.now(UTC).timestamp()
        if now - self._written >= HEARTBEAT:
            self._written = now
            self._write(report)

    def epoch(self, report: EpochReport, networks: Networks) -> None:
        """Write the state."""
        self._warnings = report.warnings
        rate, left = report.cells_per_second, report.seconds_left
        losses = {**report.losses, **report.measures}
        self._write(StepReport(report.phase, report.epoch, report.epochs, 0, 0, rate, left, losses))

    def _write(self, report: StepReport) -> None:
        facts = {"time": _now(), **asdict(report), "warnings": list(self._warnings)}
        with contextlib.suppress(OSError):  # a failed write of this file does not end the run
            write_json(self._path, facts)


def git_state() -> dict[str, Any] | None:
    """Return the commit of this code and whether files differ from it; None outside a git working tree."""
    here = Path(__file__).resolve().parents[1] / "__init__.py"

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def process_began(pid: int) -> str | None:
    """Return when a process began, to tell it from a later process with the same number; None if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file under another name and rename it, so that no reader sees half a file."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, path)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file's mapping; an empty one if the file is missing or cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
