"""Precision of a run: the configured one, if the hardware has it."""

from __future__ import annotations

import platform
import warnings
from functools import cache

import torch

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.distributed import World


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


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` has bf16 arithmetic; other devices emulate it slowly."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        answers = [getattr(torch.cpu, name)() for name in asked if hasattr(torch.cpu, name)]
        return any(answers) or not answers
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
