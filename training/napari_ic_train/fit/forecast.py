"""Forecast what a fit needs, without fitting: memory by counting, and time from a few real steps on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.training_cells import StoreCells
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.distributed import World
from napari_ic_train.fit.fit_store import check_structures
from napari_ic_train.fit.phase import Phase, initialised
from napari_ic_train.fit.precision import float32_products, running_config
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_ic_train.run.folder import PHASES
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.networks import conditional_networks, reference_networks
from napari_integrated_cell.model.runtime import Progress, choose_device, is_out_of_memory

TRAINED = 16
"""Bytes for each weight in training: the weight, its gradient and Adam's two moments, all float32."""
STEPS = 2
"""Timed steps of each kind, after one that is not timed."""
ON_CPU = 4
"""Maximum number of cells in a timed step on a CPU. There a step's time is nearly proportional to its cells."""


@dataclass(frozen=True)
class PhaseForecast:
    """What one phase needs.

    Attributes
    ----------
    phase : str
    parameters : int
        Weights of its four networks.
    training_bytes : int
        Weights, gradients and Adam's moments.
    activation_bytes : int
        What the networks keep for the backward pass, for one pass of a batch.
    cells : int
        Number of cells in a pass.
    cells_per_second : float or None
        Measured on this machine; None if there was not enough memory.
    measured_with : int
        Number of cells in a measured step.
    hours : float or None
        Of the whole phase, without its measures on held-out cells.
    """

    phase: str
    parameters: int
    training_bytes: int
    activation_bytes: int
    cells: int
    cells_per_second: float | None
    measured_with: int
    hours: float | None

    @property
    def bytes(self) -> int:
        """Estimated memory of the phase. The libraries of a GPU and their work space come on top."""
        return self.training_bytes + self.activation_bytes


def forecast(
    data: str | Path,
    config: TrainingConfig,
    *,
    phase: str = "both",
    device: str = "auto",
    progress: Progress | None = None,
) -> list[PhaseForecast]:
    """Forecast the fit of a configuration on a store. Nothing is written.

    Parameters
    ----------
    data : path-like
        The training store.
    config : TrainingConfig
    phase : {"reference", "conditional", "both"}
    device : str
        The device to take the steps on.
    progress : callable, optional
        Called with (done, total, what) after each step.

    Raises
    ------
    ValueError
        If there is no such phase, or the store does not fit the model.
    """
    if phase not in (*PHASES, "both"):
        raise ValueError(f"There is no phase {phase!r}: choose reference, conditional or both.")
    store = CellStore(data, "train")
    check_structures(store, config)
    world = World(choose_device(device))
    running = running_config(config, world)
    names = PHASES if phase == "both" else (phase,)
    return [_forecast(name, store, running, world, progress) for name in names]


def count(phase: str, config: TrainingConfig) -> tuple[int, int]:
    """Return the number of weights of a phase's networks, and the bytes that they keep of one cell.

    The second number counts the tensors that each network keeps for its backward pass, for all the passes of a step in
    which DecD takes part. Under bf16 they have half the size.
    """
    kind, model = _KINDS[phase], config.model
    cells = 2
    kept: dict[int, int] = {}
    with torch.device("meta"):
        networks = kind.make(model)
        reference = torch.empty(cells, model.n_references, *model.box)
        image = reference if phase == "reference" else torch.empty(cells, model.n_references + 1, *model.box)
        z_ref, z_struct = torch.empty(cells, model.n_ref), torch.empty(cells, model.n_struct)
        label = torch.empty(cells, model.n_structures)
    code = (z_ref,) if phase == "reference" else (label, z_ref, z_struct)
    judged = code[-1]
    alive: list[Any] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage._cdata not in kept:
            kept[storage._cdata] = storage.nbytes()
            alive.append(storage)
        return tensor

    passes: tuple[Callable[[], Any], ...] = (
        lambda: networks.enc(image),
        *(lambda: networks.dec.logits(*code) for _ in range(2)),
        *(lambda: networks.enc_d(judged) for _ in range(2)),
        *(lambda: networks.dec_d(image) for _ in range(3)),
    )
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        for one in passes:
            alive.append(one())
    parameters = sum(w.numel() for network in networks for w in network.parameters())
    size = sum(kept.values()) // cells
    return parameters, size // 2 if config.precision == "bf16" else size


def _forecast(
    phase: str, store: CellStore, config: TrainingConfig, world: World, progress: Progress | None
) -> PhaseForecast:
    parameters, of_cell = count(phase, config)
    cells = -(-min(config.batch_size, len(store)) // config.accumulate)
    with_cells = cells if world.device.type == "cuda" else max(2, min(cells, ON_CPU))
    kept = TRAINED * parameters + with_cells * of_cell
    free = _free_bytes(world.device)
    seconds = None
    if free is None or kept < free:
        try:
            seconds = _seconds_per_cell(phase, store, config, world, with_cells, progress)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
    length = getattr(config, phase)
    hours = None if seconds is None else length.epochs * len(store) * seconds / 3600
    if hours is not None and length.max_minutes is not None:
        hours = min(hours, length.max_minutes / 60)
    return PhaseForecast(
        phase,
        parameters,
        TRAINED * parameters,
        cells * of_cell,
        cells,
        None if seconds is None else 1 / seconds,
        with_cells,
        hours,
    )


def _seconds_per_cell(
    phase: str,
    store: CellStore,
    config: TrainingConfig,
    world: World,
    n: int,
    progress: Progress | None,
) -> float:
    """Return the time of a step for each of its cells; DecD takes part as often as in the fit."""
    kind, model, device = _KINDS[phase], config.model, world.device
    generator = torch.Generator().manual_seed(config.seed)
    networks = initialised(kind.make(model), generator)
    for network in networks:
        network.to(device)
    training = kind.phase(config, networks, torch.Generator(device).manual_seed(config.seed))
    training.done = 1.0
    cells = StoreCells(store, in_memory=False)
    chosen = np.resize(np.arange(len(store)), n)
    batch: tuple[Tensor, ...] = (cells.references(chosen).to(device),)
    if phase == "conditional":
        labels = torch.from_numpy(np.asarray(cells.labels, np.int64)[chosen])
        z_ref = torch.randn(n, model.n_ref, generator=generator)
        batch = tuple(part.to(device) for part in (cells.images(chosen), labels, z_ref))
    every = config.decoding_discriminator_every
    shares = {True: 1 / every} | ({} if every == 1 else {False: 1 - 1 / every})
    mean, done, total = 0.0, 0, (1 + STEPS) * len(shares)
    with float32_products(tf32=config.tf32):
        for judge, share in shares.items():
            took = []
            for _ in range(1 + STEPS):
                began = time.perf_counter()
                training.gradients(*batch, judge=judge)
                training.update()
                _wait(device)
                took.append(time.perf_counter() - began)
                done += 1
                if progress is not None:
                    progress(done, total, f"timing steps of the {phase} phase")
            mean += share * float(np.mean(took[1:]))
    return mean / n


@dataclass(frozen=True)
class _Kind:
    phase: type[Phase]
    make: Callable[[ModelConfig], Any]


_KINDS = {
    "reference": _Kind(ReferencePhase, reference_networks),
    "conditional": _Kind(ConditionalPhase, conditional_networks),
}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a GPU or of this machine; None if it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)
