"""From a training store to a run: what ``napari-ic-train fit`` does, on one process or on many."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.store import TABLE, CellStore
from napari_ic_train.fit.batches import Indices
from napari_ic_train.fit.distributed import World, joined
from napari_ic_train.fit.precision import running_config
from napari_ic_train.fit.stopping import stop_when_asked
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_ic_train.run.folder import CONFIG
from napari_ic_train.run.pictures import Pictures
from napari_ic_train.run.record import Heartbeat, sitting
from napari_ic_train.run.watching import TensorBoard, Terminal, Watcher
from napari_integrated_cell.model.runtime import CancelToken

PHASES = ("reference", "conditional")
PART_OF_MEMORY = 0.5
"""A store is read into memory where it takes at most this part of what is free."""


class StoreCells:
    """The cells of one side of a store's split, and a clear word where they have vanished.

    A chunk that is missing reads as zeros, which no posed cell is: they would be learnt without a murmur.
    """

    def __init__(self, store: CellStore, *, in_memory: bool) -> None:
        self._store = store.in_memory() if in_memory else store
        self.labels = self._store.labels

    def __len__(self) -> int:
        return len(self._store)

    def images(self, indices: Indices) -> Tensor:
        """References and structure, (n, R + 1, Z, Y, X)."""
        try:
            x = self._store.images(indices)
        except (OSError, KeyError) as error:
            raise OSError(self._gone(str(error))) from error
        empty = np.flatnonzero((x.flatten(1).amax(1) == 0).numpy())
        if len(empty):
            raise OSError(self._gone(f"cell {int(indices[empty[0]])} is empty"))
        return x

    def references(self, indices: Indices) -> Tensor:
        """Reference channels, (n, R, Z, Y, X)."""
        return self.images(indices)[:, :-1]

    def _gone(self, why: str) -> str:
        path = self._store.path
        if not (path / TABLE).is_file():
            return f"The training store {path} has vanished: bring it back, then resume; the checkpoints are intact."
        return f"The training store {path} cannot be read ({why}): prepare it again, then resume."


def fit_store(
    data: str | Path,
    config: TrainingConfig,
    out: str | Path,
    *,
    phase: str = "both",
    device: str = "auto",
    resume: bool = False,
    command: Sequence[str] = (),
) -> None:
    """Fit one phase or both on a store, watched, and stopped well; a run found in ``out`` goes on.

    Parameters
    ----------
    data : path-like
        A training store. Its test split is measured after every epoch.
    config : TrainingConfig
        Of the run.
    out : path-like
        The run's folder.
    phase : {"reference", "conditional", "both"}
        What to fit.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    resume : bool
        There must be a run in ``out`` already.
    command : sequence of str
        What this was started with, for the record.

    Raises
    ------
    Cancelled
        If SIGTERM, SIGUSR1 or Ctrl-C asked for it, after the step under way and a checkpoint.
    ValueError, OSError, TrainingDiverged
        As `fit_reference` does; for an unknown phase; for a store of other structures than the model's.
    """
    data, out = Path(data), Path(out)
    if phase not in (*PHASES, "both"):
        raise ValueError(f"There is no phase {phase!r}: choose reference, conditional or both.")
    if resume and not (out / CONFIG).is_file():
        raise ValueError(f"{out} holds no run to resume: leave --resume out to begin one.")
    train = CellStore(data, "train")
    check_structures(train, config)
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    with joined(device) as world, stop_when_asked(twice_at_once=not many) as cancel:
        facts = _facts(config, data, world, len(train), phase, command)
        record = sitting(out, facts, continue_command(data, out, phase, device)) if world.is_first else None
        if record is None:
            _fit(train, config, out, phase, world, cancel)
        else:
            with record:
                _fit(train, config, out, phase, world, cancel)


def _fit(
    train: CellStore, config: TrainingConfig, out: Path, phase: str, world: World, cancel: CancelToken
) -> None:
    cells = StoreCells(train, in_memory=fits_in_memory(train))
    unseen = held_out_cells(train)
    for name in PHASES if phase == "both" else (phase,):
        fit = fit_reference if name == "reference" else fit_conditional
        watchers = _watchers(out, name, config, unseen) if world.is_first else ()
        fit(
            cells,
            config,
            out,
            resume=True,
            cancel=cancel,
            held_out=unseen,
            watchers=watchers,
            world=world,
        )


def check_structures(store: CellStore, config: TrainingConfig) -> None:
    """Raise a ValueError, naming the field, where a store's classes or box are not the model's."""
    model = config.model
    if store.structures != model.structures:
        raise ValueError(
            f"'model.structures' is {', '.join(model.structures)}, but the store holds {', '.join(store.structures)}: "
            f"fit with --set 'model.structures=[{', '.join(store.structures)}]', or prepare it with the model's."
        )
    if store.box != model.box:
        raise ValueError(
            f"'model.box' is {model.box}, but the store's cells are {store.box}: prepare it for this preset."
        )


def held_out_cells(train: CellStore) -> StoreCells | None:
    """The cells of the store's test split; None, and a warning, where it has none."""
    try:
        store = CellStore(train.path, "test")
    except ValueError:
        warnings.warn(
            f"The store {train.path} holds no cells out: nothing unseen is measured, and there is no best checkpoint.",
            stacklevel=2,
        )
        return None
    return StoreCells(store, in_memory=fits_in_memory(store))


def fits_in_memory(store: CellStore) -> bool:
    """Whether a store's cells take a small enough part of the memory that is free, all processes counted."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    size = len(store) * (len(store.channels)) * int(np.prod(store.box))
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        free = 4 * 10**9
    return size * processes <= PART_OF_MEMORY * free


def continue_command(data: Path, out: Path, phase: str, device: str) -> str:
    """The command that goes on with a run, as it must be typed."""
    options = [] if phase == "both" else ["--phase", phase]
    options += [] if device == "auto" else ["--device", device]
    fit = ["fit", "--data", str(data), "--out", str(out), "--resume", *options]
    size, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size == 1:
        return shlex.join(["napari-ic-train", *fit])
    start = ["torchrun", "--nproc-per-node", str(here)]
    if size > here:
        start += ["--nnodes", str(size // here)]
        start += [
            "--rdzv-backend",
            "c10d",
            "--rdzv-endpoint",
            f"{os.environ.get('MASTER_ADDR', 'HOST')}:29400",
        ]
    else:
        start.append("--standalone")
    return shlex.join([*start, "-m", "napari_ic_train.cli", *fit])


def _watchers(out: Path, phase: str, config: TrainingConfig, unseen: StoreCells | None) -> list[Watcher]:
    """Who follows the run: the terminal, the heartbeat, and curves and pictures where their packages are there."""
    watchers: list[Watcher] = [Terminal(), Heartbeat(out)]
    curves = None
    try:
        curves = TensorBoard(out / "tensorboard" / phase)
        watchers.append(curves)
    except ImportError as error:
        warnings.warn(f"No curves for TensorBoard: {error}", stacklevel=2)
    if config.picture_every and unseen is not None:
        try:
            # Before the curves in line, which are closed after it.
            watchers.insert(2, Pictures(out / "pictures", unseen, config.picture_every, curves))
        except ImportError as error:
            warnings.warn(f"No pictures: {error}", stacklevel=2)
    return watchers


def _facts(
    config: TrainingConfig, data: Path, world: World, n_cells: int, phase: str, command: Sequence[str]
) -> dict[str, Any]:
    on = torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else world.device.type
    return {
        "command": shlex.join(command),
        "phase": phase,
        "store": str(data.resolve()),
        "training cells": n_cells,
        "seed": config.seed,
        "device": on,
        "processes": world.size,
        "threads": torch.get_num_threads(),
        "precision": running_config(config, world).precision,
    }
