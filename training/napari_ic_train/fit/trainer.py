"""Fit phase 1 and phase 2, each from its cells to its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.training_cells import Cells
from napari_ic_train.fit.batch_norm import synchronise_batch_norm
from napari_ic_train.fit.batches import Batch, Load, check_cells, epoch_batches, flipped, reference_targets
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.distributed import World
from napari_ic_train.fit.intensity import (
    inverse_intensity_weights,
    mean_intensity,
    predict_mean,
    structure_intensity,
)
from napari_ic_train.fit.job import Job
from napari_ic_train.fit.loop import run_phase
from napari_ic_train.fit.measures import measure
from napari_ic_train.fit.phase import Phase, initialised
from napari_ic_train.fit.precision import float32_products, running_config
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_ic_train.run.fitted_networks import AnyNetworks, fitted_reference
from napari_ic_train.run.folder import PHASES, open_run
from napari_ic_train.run.watching import Watcher
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.networks import (
    ConditionalNetworks,
    ReferenceEncoder,
    ReferenceNetworks,
    conditional_networks,
    reference_networks,
)
from napari_integrated_cell.model.runtime import CancelToken, choose_device

AnyPhase = TypeVar("AnyPhase", bound=Phase)

Start = Mapping[str, Mapping[str, Tensor]]
"""First weights of a phase's networks, by the networks' names."""

MEASURED = 256
"""Number of training cells whose codes are measured if there are no held-out cells."""


def fit_reference(
    cells: Cells,
    config: TrainingConfig,
    out: str | Path,
    *,
    device: str = "auto",
    resume: bool = False,
    cancel: CancelToken | None = None,
    held_out: Cells | None = None,
    watchers: Sequence[Watcher] = (),
    world: World | None = None,
    start: Start | None = None,
) -> ReferenceNetworks:
    """Fit phase 1 (Algorithm 1): Enc^r, Dec^r, EncD^r and DecD^r.

    Parameters
    ----------
    cells : Cells
        The training cells, in the model's box.
    config : TrainingConfig
        The whole run's configuration; it is written to ``config.yaml``.
    out : path
        The run's folder. This phase writes ``reference/losses.csv`` and ``reference/*.safetensors``.
    device : {"auto", "cpu", "cuda", "mps"}
        The device to train on.
    resume : bool
        Continue from the last checkpoint, if there is one. On a CPU the result is, bit for bit, that of an unbroken
        run.
    cancel : CancelToken, optional
        Checked before each batch; a checkpoint is written before `Cancelled` is raised.
    held_out : Cells, optional
        Unseen cells to measure after each epoch; the best checkpoint is the one that reconstructs them best.
    watchers : sequence of Watcher
        Receive the reports of every batch and epoch.
    world : World, optional
        The processes that train together, and this one's device; left out, this process trains alone.
    start : mapping of str to mapping of str to Tensor, optional
        First weights of some of the networks, by their names ``"enc"``, ``"dec"``; the others are drawn at random.

    Returns
    -------
    ReferenceNetworks
        In eval mode.

    Raises
    ------
    ValueError
        If cells and model do not match, the folder holds another run, or this process cannot see the folder.
    TrainingDiverged
        If a loss became NaN or infinite.
    Cancelled
        If ``cancel`` was set.
    OSError
        If a file cannot be written or read, for example because the disk is full.
    """
    world = world or World(choose_device(device))
    phase, folder, order = _begun(
        ReferencePhase, reference_networks, cells, config, out, resume, world, start
    )

    def reading(cells: Cells) -> Load:
        return lambda indices, flips: (flipped(cells.references(indices), flips),)

    _train(phase, folder, order, cells, held_out, reading, world, watchers, cancel)
    return phase.networks


def fit_conditional(
    cells: Cells,
    config: TrainingConfig,
    out: str | Path,
    *,
    encoder: ReferenceEncoder | None = None,
    device: str = "auto",
    resume: bool = False,
    cancel: CancelToken | None = None,
    held_out: Cells | None = None,
    watchers: Sequence[Watcher] = (),
    world: World | None = None,
    start: Start | None = None,
) -> ConditionalNetworks:
    """Fit phase 2 (Algorithm 2): Enc^{r,s}, Dec^{r,s}, EncD^s and DecD^{r,s}.

    Parameters
    ----------
    encoder : ReferenceEncoder, optional
        Phase 1's encoder; left out, that of the finished phase 1 in ``out``. It computes the targets z^r once, in
        eval mode.
    cells, config, out, device, resume, cancel, held_out, watchers, world, start
        As in `fit_reference`.

    Returns
    -------
    ConditionalNetworks
        In eval mode.

    Raises
    ------
    ValueError
        As in `fit_reference`, and if phase 1 is not finished.
    TrainingDiverged, Cancelled, OSError
        As in `fit_reference`.
    """
    world = world or World(choose_device(device))
    phase, folder, order = _begun(
        ConditionalPhase, conditional_networks, cells, config, out, resume, world, start
    )
    encoder = encoder or fitted_reference(out).enc
    if config.class_weights == "inverse":
        counts = np.bincount(cells.labels, minlength=config.model.n_structures).clip(1)
        phase.class_weights = torch.from_numpy(len(cells) / (len(counts) * counts)).to(
            world.device, torch.float32
        )
    if config.light_weights == "inverse":
        intensity = structure_intensity(cells, config.model.n_structures)
        phase.light_weights = inverse_intensity_weights(intensity).to(world.device)
    encoder.to(world.device)

    def reading(cells: Cells) -> Load:
        targets = reference_targets(cells, encoder, config, cancel, world)
        labels = torch.from_numpy(np.asarray(cells.labels, dtype=np.int64))

        def load(indices: Indices, flips: Indices) -> tuple[Tensor, ...]:
            return flipped(cells.images(indices), flips), labels[indices], targets[indices, flips]

        return load

    balanced_by = np.asarray(cells.labels) if config.sampling == "balanced" else None

    _train(phase, folder, order, cells, held_out, reading, world, watchers, cancel, balanced_by=balanced_by)
    return phase.networks


def _begun(
    kind: type[AnyPhase],
    make: Callable[[ModelConfig], AnyNetworks],
    cells: Cells,
    config: TrainingConfig,
    out: str | Path,
    resume: bool,
    world: World,
    start: Start | None,
) -> tuple[AnyPhase, Path, int]:
    """Return a phase with its initial networks, its folder, and the random seed of its order of cells."""
    folder = world.first(lambda: open_run(Path(out), config, kind.name, resume))
    if not folder.is_dir():
        raise ValueError(
            f"The first process made {folder}, but this machine cannot see it: "
            "put the run on a file system that all machines share."
        )
    check_cells(cells, config, labelled=kind is ConditionalPhase)
    seeds = np.random.SeedSequence([config.seed, PHASES.index(kind.name)])
    weights, draws, order = (int(word) for word in seeds.generate_state(3))
    networks = initialised(make(config.model), _generator(weights))
    for name, state in (start or {}).items():
        getattr(networks, name).load_state_dict(state)
    if config.mean_bias and start is None:
        predict_mean(networks.dec, mean_intensity(cells))
    for network in networks:
        network.to(world.device)
        if world.size > 1:
            synchronise_batch_norm(network, world.device)
    return kind(running_config(config, world), networks, _generator(draws, world.device)), folder, order


def _train(
    phase: Phase,
    folder: Path,
    order: int,
    cells: Cells,
    held_out: Cells | None,
    reading: Callable[[Cells], Load],
    world: World,
    watchers: Sequence[Watcher],
    cancel: CancelToken | None,
    *,
    balanced_by: Indices | None = None,
) -> None:
    """Train a phase; ``reading(cells)`` returns the function that reads batches of these cells.

    After each epoch the held-out cells are measured or, without them, the codes of some training cells.
    """
    config = phase.config
    flips = config.in_phase(phase.name, "augment_flips")

    def plan(epoch: int) -> list[Batch]:
        return epoch_batches(
            len(cells), config.batch_size, flips=flips, seed=order, epoch=epoch, balanced_by=balanced_by
        )

    with float32_products(tf32=config.tf32):
        load = reading(cells)
        if held_out is None:
            measured = partial(measure, load=load, n_cells=min(len(cells), MEASURED), held_out=False)
        else:
            measured = partial(measure, load=reading(held_out), n_cells=len(held_out), held_out=True)
        run_phase(Job(phase, plan, load, folder, world, measured, watchers, cancel))
    for network in phase.networks:
        network.eval()


def _generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)
