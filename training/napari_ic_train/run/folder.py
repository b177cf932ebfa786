"""Folder of a run: its configuration, and each phase's table of losses."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_ic_train.config import TrainingConfig, read_config, write_config
from napari_ic_train.run.checkpoint import checkpoints, clear_halves, last_good

CONFIG = "config.yaml"
LOSSES = "losses.csv"
RECONSTRUCTION, AT_MODE = "held_out_reconstruction", "held_out_at_mode"
"""Columns that choose the best epoch: a loss, and a correlation."""
PHASES = ("reference", "conditional")
"""Names of phase 1 and phase 2, and of their folders."""


def open_run(out: Path, config: TrainingConfig, phase: str, resume: bool) -> Path:
    """Make the phase's folder in a run if there is none, write the run's configuration, and return the folder.

    Raises
    ------
    ValueError
        If the folder holds a run of another configuration (the length may differ: a run may be made longer), or
        already holds this phase and ``resume`` is False.
    """
    kept, folder = out / CONFIG, out / phase
    lengths = {"reference", "conditional", "keep_checkpoints", "checkpoint_minutes", "picture_every"}
    if kept.exists() and read_config(kept).model_dump(exclude=lengths) != config.model_dump(exclude=lengths):
        raise ValueError(f"{out} holds a run of another configuration: train in another folder.")
    if checkpoints(folder) and not resume:
        raise ValueError(f"{out} already holds a {phase} phase: resume it, or train in another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    clear_halves(folder)
    aside = kept.with_suffix(".part")
    write_config(config, aside)
    os.replace(aside, kept)
    return folder


def check_run(run: Path) -> None:
    """Raise a ValueError if a folder holds no run."""
    if not (run / CONFIG).is_file():
        raise ValueError(f"{run} holds no run: it has no {CONFIG}.")


class LossLog:
    """The file ``losses.csv``: one row per epoch, with its losses and the measures taken after it.

    Opening it drops the rows after the resumed epoch, and a row that a killed process left incomplete.
    """

    def __init__(self, folder: Path, names: Sequence[str], epochs_done: int) -> None:
        self._path = folder / LOSSES
        self.columns = ["epoch", "seconds", "cells_per_second", *names]
        rows = [row for row in read_losses(folder) if int(row["epoch"]) <= epochs_done]
        aside = self._path.with_suffix(".part")
        with _clear_errors(self._path):
            with aside.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            os.replace(aside, self._path)

    def write(self, values: Mapping[str, float | str]) -> None:
        """Add the row of an epoch: a number or a sentence for each column."""
        row = {name: f"{x:.6g}" if isinstance(x, float) else x for name, x in values.items()}
        with _clear_errors(self._path), self._path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)


def read_losses(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a phase's ``losses.csv``, by column; an empty list if there is no such file."""
    path = folder / LOSSES
    if not path.exists():
        return []
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]


def judged_by(config: TrainingConfig, phase: str) -> str:
    """Return the column of ``losses.csv`` by which the best epoch of a phase is chosen.

    A run whose training cells choose the epochs is judged by what it is used for: the structure at z^s = 0.
    """
    return AT_MODE if phase == "conditional" and config.choosing_share else RECONSTRUCTION


def best_epoch(folder: Path, column: str = RECONSTRUCTION) -> int | None:
    """Return the epoch that did best on the held-out cells by a column; None if none was measured."""
    sign = -1 if column == AT_MODE else 1
    measured = [
        (sign * float(row[column]), int(row["epoch"])) for row in read_losses(folder) if row.get(column)
    ]
    return min(measured)[1] if measured else None


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Name the file and the last good checkpoint in the error of a failed write."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error}); {last_good(checkpoints(path.parent))}."
        ) from error
