"""What a run says about itself: ``run.json``, a line of history for each sitting, and ``README.md`` for people."""

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

from napari_ic_train.fit.phase import Phase
from napari_ic_train.run.folder import CONFIG
from napari_ic_train.run.watching import EpochReport, StepReport
from napari_integrated_cell.model.runtime import Cancelled

RECORD = "run.json"
NOW = "now.json"
PACKAGES = ("napari-integrated-cell", "torch", "numpy", "zarr", "pandas", "safetensors", "pydantic")
HEARTBEAT = 5.0
"""Seconds between two writings of ``now.json``."""

README = """# A run of napari-ic-train

| | |
| --- | --- |
| `config.yaml` | the whole configuration, every default spelt out |
| `run.json` | each sitting: command, versions, git state, seed, machine, when it began and how it ended |
| `now.json` | where the run stands; `napari-ic-train status {run}` tells it in words |
| `reference/`, `conditional/` | phase 1 (Algorithm 1) and phase 2 (Algorithm 2) |
| `.../losses.csv` | a row an epoch: losses, measures on held-out cells, speed, memory, warnings |
| `.../EPOCH-BATCH.safetensors` | checkpoints: networks, optimisers, generator; the last ones |
| `.../best.safetensors` | the checkpoint that reconstructs held-out cells best |
| `pictures/` | held-out cells and their reconstructions, drawn cells, the latent space |
| `tensorboard/` | the same curves for `tensorboard --logdir {run}/tensorboard` |

It goes on, to the bit on a CPU, with:

    {command}
"""


@contextmanager
def sitting(run: Path, facts: Mapping[str, Any], again: str) -> Iterator[None]:
    """Write down that a sitting begins, and how it ends.

    Parameters
    ----------
    run : path
        The run's folder, made if need be.
    facts : mapping
        What is particular to this sitting, for ``run.json``.
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
        mine["outcome"] = (
            "stopped" if isinstance(error, Cancelled | KeyboardInterrupt) else f"failed: {error}"
        )
        mine["ended"] = _now()
        with contextlib.suppress(OSError):  # the disk may be what failed
            write()
        raise
    mine["outcome"], mine["ended"] = "finished", _now()
    write()


def read_record(run: Path) -> list[dict[str, Any]]:
    """A run's sittings, the oldest first; none where nothing is on record."""
    return list(read_json(run / RECORD).get("sittings", []))


def store_of(run: Path, given: Path | None = None) -> Path:
    """The store a run was last fitted on, or the one that is given.

    Raises
    ------
    ValueError
        If there is no run; if no store is given and the run does not say, or what it says is not there any more.
    """
    if not (run / CONFIG).is_file():
        raise ValueError(f"{run} holds no run: it has no {CONFIG}.")
    if given is not None:
        return given
    known = [Path(one["store"]) for one in read_record(run) if "store" in one]
    if not known:
        raise ValueError(f"{run} does not say what it was fitted on: name the training store with --data.")
    if not known[-1].exists():
        raise ValueError(f"{run} was fitted on {known[-1]}, which is gone: name the store with --data.")
    return known[-1]


class Heartbeat:
    """A watcher that keeps ``now.json``: where the run stands, for another terminal."""

    def __init__(self, run: Path) -> None:
        self._path = run / NOW
        self._written = 0.0
        self._warnings: tuple[str, ...] = ()

    def step(self, report: StepReport) -> None:
        """Write, if it was not written just now."""
        now = datetime.now(UTC).timestamp()
        if now - self._written >= HEARTBEAT:
            self._written = now
            self._write(asdict(report) | {"losses": dict(report.losses)})

    def epoch(self, report: EpochReport, phase: Phase) -> None:
        """Write, whatever the time."""
        self._warnings = report.warnings
        self._write(
            {
                "phase": report.phase,
                "epoch": report.epoch,
                "epochs": report.epochs,
                "batch": 0,
                "batches": 0,
                "cells_per_second": report.cells_per_second,
                "seconds_left": report.seconds_left,
                "losses": {**report.losses, **report.measures},
            }
        )

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, values: Mapping[str, Any]) -> None:
        facts = {"time": _now(), **values, "warnings": list(self._warnings)}
        with contextlib.suppress(OSError):  # a run does not end for want of an onlooker's file
            write_json(self._path, facts)


def git_state() -> dict[str, Any] | None:
    """Commit of the working tree that this code runs from and whether it was changed; None outside of one."""
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
    """A mark that tells a process from a later one of the same number; None where there is no telling."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write aside and rename: a reader never sees half a file."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; empty where there is none, or none that can be read."""
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
