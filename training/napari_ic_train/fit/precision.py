"""Which precision a run computes in: the configured one where the hardware has it."""

from __future__ import annotations

import platform
import warnings
from functools import cache

import torch

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.distributed import World


def running_config(config: TrainingConfig, world: World) -> TrainingConfig:
    """The configuration to run with: bf16 becomes fp32, and that is said once, where the device has none of it."""
    if config.precision == "fp32" or has_bf16(world.device):
        return config
    if world.is_first:
        _say(world.device.type)
    return config.model_copy(update={"precision": "fp32"})


@cache
def _say(device: str) -> None:
    warnings.warn(f"This {device.upper()} has no bf16 arithmetic: the run goes on in fp32.", stacklevel=3)


def has_bf16(device: torch.device) -> bool:
    """Whether ``device`` computes in bf16, rather than imitating it slowly."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        answers = [getattr(torch.cpu, name)() for name in asked if hasattr(torch.cpu, name)]
        return any(answers) or not answers
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
