"""Precision of a run: the configured one, if the hardware has it."""

from __future__ import annotations

import warnings
from functools import cache

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.distributed import World
from napari_integrated_cell.model.runtime import has_bf16


def running_config(config: TrainingConfig, world: World) -> TrainingConfig:
    """Return the configuration to run with: without bf16 hardware, bf16 becomes fp32, with one warning."""
    if config.precision == "fp32" or has_bf16(world.device):
        return config
    if world.is_first:
        _warn(world.device.type)
    return config.model_copy(update={"precision": "fp32"})


@cache
def _warn(device: str) -> None:
    warnings.warn(f"This {device.upper()} has no bf16 arithmetic: the run continues in fp32.", stacklevel=3)
