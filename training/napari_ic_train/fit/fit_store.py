"""Fit a model on a training store, on one process or several, with record, watchers and clean stopping."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.deformed_cells import DeformedCells
from napari_ic_train.data.splits import SHAPE, chosen_apart
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.training_cells import Cells, CellsAt, JoinedCells, held_out_cells, training_cells
from napari_ic_train.fit.adapting import check_store, first_weights
from napari_ic_train.fit.distributed import World, joined
from napari_ic_train.fit.precision import running_config
from napari_ic_train.fit.stopping import stop_when_asked
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_ic_train.run.folder import CONFIG, PHASES
from napari_ic_train.run.pictures import Pictures
from napari_ic_train.run.record import Heartbeat, sitting
from napari_ic_train.run.watching import TensorBoard, Terminal, Watcher
from napari_integrated_cell.model.runtime import CancelToken

CHOOSING_SEED = 1
"""Random seed of the choice of the cells that choose the epochs: another one than the usual seed of the split."""


class StructuresDiffer(ValueError):
    """The store and the model have different structures."""


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
    """Fit one phase or both on a store; a run in ``out`` is continued.

    Parameters
    ----------
    data : path-like
        A training store. Its test split is measured after every epoch.
    config : TrainingConfig
        The run's configuration.
    out : path-like
        The run's folder.
    phase : {"reference", "conditional", "both"}
        The phases to fit.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    resume : bool
        Require a run in ``out``.
    command : sequence of str
        The command line that started this, for the record.

    Raises
    ------
    Cancelled
        On SIGTERM, SIGUSR1 or Ctrl-C, after the current step and a checkpoint.
    StructuresDiffer
        If the store and the model have different structures.
    ValueError, OSError, TrainingDiverged
        As in `fit_reference`; if there is no such phase, or no run to resume.
    """
    data, out = Path(data), Path(out)
    if phase not in (*PHASES, "both"):
        raise ValueError(f"There is no phase {phase!r}: choose reference, conditional or both.")
    if resume and not (out / CONFIG).is_file():
        raise ValueError(f"{out} holds no run to resume: start a new run there, or give the folder of a run.")
    train = CellStore(data, "train")
    if config.adapted_from is not None:
        check_store(config.model, train)
        train = train.in_classes_of(config.model.structures)
    check_structures(train, config)
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    with joined(device) as world, stop_when_asked(twice_at_once=not many) as cancel:
        facts = _facts(config, data, world, len(train), phase, command)
        again = continue_command(data, out, phase, device)
        with sitting(out, facts, again) if world.is_first else nullcontext():
            _fit(train, config, out, phase, world, cancel)


def _fit(
    train: CellStore, config: TrainingConfig, out: Path, phase: str, world: World, cancel: CancelToken
) -> None:
    start = first_weights(config) if config.adapted_from is not None else {}
    for name in PHASES if phase == "both" else (phase,):
        fit = fit_reference if name == "reference" else fit_conditional
        cells, unseen = learning_cells(train, config, name)
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
            start=start.get(name),
        )


def learning_cells(train: CellStore, config: TrainingConfig, phase: str) -> tuple[Cells, Cells | None]:
    """Return the cells that the networks learn from, and those that are measured after each epoch.

    The latter are the store's test split or, with ``config.choosing_share``, some of its training cells: the test
    split then has no part in the training. Cells of one field stay together. Phase 1 also learns from the store's
    cells without a structure.
    """
    cells: Cells = training_cells(train)
    unseen: Cells | None
    apart_fields: set[str] = set()
    if config.choosing_share:
        keys = fields_of(train)
        apart = chosen_apart(keys, CHOOSING_SEED, config.choosing_share)
        apart_fields = {key for key, out in zip(keys, apart, strict=True) if out}
        cells, unseen = CellsAt(cells, np.flatnonzero(~apart)), CellsAt(cells, np.flatnonzero(apart))
    else:
        unseen = held_out_cells(train)
    if phase == "reference":
        cells = with_shapes(cells, train.path, apart_fields)
    if config.deformed_copies:
        cells = DeformedCells(cells, config.deformed_copies, config.seed)
    return cells, unseen


def with_shapes(cells: Cells, path: Path, apart_fields: set[str]) -> Cells:
    """Return the cells and those of the store at ``path`` without a structure, which are not in some fields."""
    try:
        shapes = CellStore(path, SHAPE)
    except ValueError:  # the store has none
        return cells
    free = np.flatnonzero([field not in apart_fields for field in fields_of(shapes)])
    return JoinedCells(cells, CellsAt(training_cells(shapes), free)) if len(free) else cells


def fields_of(store: CellStore) -> list[str]:
    """Return the field of view of each cell of a store, or its id if no field is known."""
    ids = store.table["CellId"].astype(str)
    if "field" not in store.table:
        return list(ids)
    return list(store.table["field"].where(store.table["field"].notna(), ids).astype(str))


def check_structures(store: CellStore, config: TrainingConfig) -> None:
    """Raise a ValueError that names the field if a store has other structures or another box than the model."""
    model = config.model
    if store.structures != model.structures:
        raise StructuresDiffer(
            f"'model.structures' does not fit the data, because the store holds {', '.join(store.structures)}: "
            "set the model's structures to these, or prepare another store."
        )
    if store.box != model.box:
        raise ValueError(
            f"'model.box' is {model.box}, but the store's cells are {store.box}: prepare a store for this model."
        )


def continue_command(data: Path, out: Path, phase: str, device: str) -> str:
    """Return the command line that continues a run."""
    options = [] if phase == "both" else ["--phase", phase]
    options += [] if device == "auto" else ["--device", device]
    fit = ["fit", "--data", str(data), "--out", str(out), "--resume", *options]
    size, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size == 1:
        return shlex.join(["napari-ic-train", *fit])
    start = ["torchrun", "--nproc-per-node", str(here)]
    if size > here:
        address = f"{os.environ.get('MASTER_ADDR', 'HOST')}:29400"
        start += ["--nnodes", str(size // here), "--rdzv-backend", "c10d", "--rdzv-endpoint", address]
    else:
        start.append("--standalone")
    return shlex.join([*start, "-m", "napari_ic_train.cli", *fit])


def _watchers(out: Path, phase: str, config: TrainingConfig, unseen: Cells | None) -> list[Watcher]:
    """Return the run's watchers; curves and pictures only if their packages are installed."""
    watchers: list[Watcher] = [Terminal(), Heartbeat(out)]
    curves = None
    try:
        curves = TensorBoard(out / "tensorboard" / phase)
        watchers.append(curves)
    except ImportError as error:
        warnings.warn(f"No curves for TensorBoard: {error}", stacklevel=2)
    if config.picture_every and unseen is not None:
        try:
            # Before the curves, which show the pictures too and must be closed later.
            watchers.insert(2, Pictures(out / "pictures", unseen, config, curves))
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
        "tf32": config.tf32 and world.device.type == "cuda",
    }
