"""A run's folder: its configuration, each phase's losses and checkpoints, and the networks it has fitted."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from napari_integrated_cell.model.networks import (
    ConditionalNetworks,
    ReferenceNetworks,
    conditional_networks,
    reference_networks,
)

from .checkpoint import Position, checkpoints, read_checkpoint
from .config import PhaseConfig, TrainingConfig, read_config, write_config
from .phase import Networks, under

CONFIG = "config.yaml"


def open_run(out: Path, config: TrainingConfig, phase: str, resume: bool) -> Path:
    """The phase's folder in the run, made if need be; the run's configuration is written beside it.

    Raises
    ------
    ValueError
        If the folder holds another configuration's run (other epochs are allowed: a run may be made longer),
        or this phase already and ``resume`` is not asked for.
    """
    kept, folder = out / CONFIG, out / phase
    lengths = {"reference", "conditional", "keep_checkpoints"}
    if kept.exists() and read_config(kept).model_dump(exclude=lengths) != config.model_dump(exclude=lengths):
        raise ValueError(f"{out} holds a run of another configuration: train in another folder.")
    if checkpoints(folder) and not resume:
        raise ValueError(f"{out} already holds a {phase} phase: resume it, or train in another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_config(config, kept)
    return folder


def fitted_reference(run: str | Path) -> ReferenceNetworks:
    """Phase 1's networks of a run, in eval mode on the CPU; ValueError if the phase is not finished."""
    config = read_config(Path(run) / CONFIG)
    networks = reference_networks(config.model)
    return cast(ReferenceNetworks, _fitted(networks, Path(run) / "reference", config.reference))


def fitted_conditional(run: str | Path) -> ConditionalNetworks:
    """Phase 2's networks of a run, in eval mode on the CPU; ValueError if the phase is not finished."""
    config = read_config(Path(run) / CONFIG)
    networks = conditional_networks(config.model)
    return cast(ConditionalNetworks, _fitted(networks, Path(run) / "conditional", config.conditional))


def _fitted(networks: Networks, folder: Path, length: PhaseConfig) -> Networks:
    saved = checkpoints(folder)
    position, tensors = read_checkpoint(saved[-1]) if saved else (Position(), {})
    if not length.ended(position.epoch, position.seconds):
        raise ValueError(
            f"The {folder.name} phase of {folder.parent} is not finished: fit it or resume it first."
        )
    for name, network in zip(networks._fields, networks, strict=True):
        network.load_state_dict(under(tensors, f"{name}."))
        network.eval()
    return networks


class LossLog:
    """``losses.csv``: one row an epoch; rows after the epoch that is resumed are dropped."""

    def __init__(self, folder: Path, names: Sequence[str], epochs_done: int) -> None:
        self._path = folder / "losses.csv"
        rows: list[list[str]] = []
        if self._path.exists():
            with self._path.open(newline="") as file:
                rows = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= epochs_done]
        with self._path.open("w", newline="") as file:
            csv.writer(file).writerows([["epoch", "seconds", "cells_per_second", *names], *rows])

    def write(self, epoch: int, seconds: float, cells_per_second: float, losses: Mapping[str, float]) -> None:
        """Add an epoch: seconds since the phase began, and each loss's mean over the epoch's cells."""
        values = [epoch, f"{seconds:.1f}", f"{cells_per_second:.2f}", *(f"{x:.6g}" for x in losses.values())]
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow(values)
