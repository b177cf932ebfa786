"""Networks of a finished phase, read from the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from napari_ic_train.config import PhaseConfig, read_config
from napari_ic_train.run.checkpoint import BEST, PhasePoint, checkpoints, read_checkpoint, under
from napari_ic_train.run.folder import CONFIG
from napari_integrated_cell.model.networks import (
    ConditionalNetworks,
    ReferenceNetworks,
    conditional_networks,
    reference_networks,
)

Networks = ReferenceNetworks | ConditionalNetworks
"""The four networks of a phase."""
AnyNetworks = TypeVar("AnyNetworks", bound=Networks)


def fitted_reference(run: str | Path, *, best: bool | None = None) -> ReferenceNetworks:
    """Return phase 1's networks of a run, in eval mode on the CPU.

    They are those of the last epoch, or with ``best`` those that did best on the held-out cells. Left out, ``best`` is
    whether some of the run's training cells choose the best epoch (`TrainingConfig.choosing_share`).

    Raises
    ------
    ValueError
        If the phase is not finished, or there is no best checkpoint.
    """
    config = read_config(Path(run) / CONFIG)
    best = bool(config.choosing_share) if best is None else best
    return _fitted(reference_networks(config.model), Path(run) / "reference", config.reference, best)


def fitted_conditional(run: str | Path, *, best: bool | None = None) -> ConditionalNetworks:
    """Return phase 2's networks of a run, as `fitted_reference` returns those of phase 1."""
    config = read_config(Path(run) / CONFIG)
    best = bool(config.choosing_share) if best is None else best
    return _fitted(conditional_networks(config.model), Path(run) / "conditional", config.conditional, best)


def _fitted(networks: AnyNetworks, folder: Path, length: PhaseConfig, best: bool) -> AnyNetworks:
    saved = checkpoints(folder)
    point, tensors = read_checkpoint(saved[-1]) if saved else (PhasePoint(), {})
    if not length.ended(point.epoch, point.seconds):
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
