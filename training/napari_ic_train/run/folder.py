"""A run's folder: its configuration, each phase's losses and checkpoints, and the networks it has fitted."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from napari_ic_train.config import PhaseConfig, TrainingConfig, read_config, write_config
from napari_ic_train.fit.checkpoint import (
    BEST,
    Position,
    checkpoints,
    clear_halves,
    last_good,
    read_checkpoint,
)
from napari_ic_train.fit.phase import Networks, under
from napari_integrated_cell.model.networks import (
    ConditionalNetworks,
    ReferenceNetworks,
    conditional_networks,
    reference_networks,
)

CONFIG = "config.yaml"
LOSSES = "losses.csv"


def open_run(out: Path, config: TrainingConfig, phase: str, resume: bool) -> Path:
    """The phase's folder in the run, made if need be; the run's configuration is written beside it.

    Raises
    ------
    ValueError
        If the folder holds another configuration's run (other epochs are allowed: a run may be made longer),
        or this phase already and ``resume`` is not asked for.
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


def fitted_reference(run: str | Path, *, best: bool = False) -> ReferenceNetworks:
    """Phase 1's networks of a run, in eval mode on the CPU; ValueError if the phase is not finished.

    They are those of the last epoch, or those that reconstructed held-out cells ``best``.
    """
    config = read_config(Path(run) / CONFIG)
    networks = reference_networks(config.model)
    return cast(ReferenceNetworks, _fitted(networks, Path(run) / "reference", config.reference, best))


def fitted_conditional(run: str | Path, *, best: bool = False) -> ConditionalNetworks:
    """Phase 2's networks of a run, as `fitted_reference` gives those of phase 1."""
    config = read_config(Path(run) / CONFIG)
    networks = conditional_networks(config.model)
    return cast(ConditionalNetworks, _fitted(networks, Path(run) / "conditional", config.conditional, best))


def _fitted(networks: Networks, folder: Path, length: PhaseConfig, best: bool) -> Networks:
    saved = checkpoints(folder)
    position, tensors = read_checkpoint(saved[-1]) if saved else (Position(), {})
    if not length.ended(position.epoch, position.seconds):
        raise ValueError(
            f"The {folder.name} phase of {folder.parent} is not finished: fit it or resume it first."
        )
    if best:
        if not (folder / BEST).exists():
            raise ValueError(f"{folder} has no best checkpoint: it was fitted without held-out cells.")
        _, tensors = read_checkpoint(folder / BEST)
    for name, network in zip(networks._fields, networks, strict=True):
        network.load_state_dict(under(tensors, f"{name}."))
        network.eval()
    return networks


class LossLog:
    """``losses.csv``: one row an epoch, what was measured after it beside its losses.

    Rows after the epoch that is resumed are dropped, and so is a row that a killed process left half written.
    """

    def __init__(self, folder: Path, names: Sequence[str], epochs_done: int) -> None:
        self._path = folder / LOSSES
        self.columns = ["epoch", "seconds", "cells_per_second", *names]
        rows = [row for row in read_losses(folder) if int(row["epoch"]) <= epochs_done]
        aside = self._path.with_suffix(".part")
        with _said_if_full(self._path):
            with aside.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            os.replace(aside, self._path)

    def write(self, values: Mapping[str, float | str]) -> None:
        """Add an epoch: a value, or a sentence, for each column."""
        row = {name: f"{x:.6g}" if isinstance(x, float) else x for name, x in values.items()}
        with _said_if_full(self._path), self._path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)


def read_losses(folder: Path) -> list[dict[str, str]]:
    """The rows of a phase's ``losses.csv``, by column; none where there is no such file."""
    path = folder / LOSSES
    if not path.exists():
        return []
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]


def best_epoch(folder: Path) -> int | None:
    """The epoch whose reconstruction of held-out cells was the best; None where none was measured."""
    measured = [
        (float(row["held_out_reconstruction"]), int(row["epoch"]))
        for row in read_losses(folder)
        if row.get("held_out_reconstruction")
    ]
    return min(measured)[1] if measured else None


@contextmanager
def _said_if_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error}); {last_good(checkpoints(path.parent))}."
        ) from error
