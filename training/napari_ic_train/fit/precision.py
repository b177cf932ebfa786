"""Precision of a run: the configured one, if the hardware has it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

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


@contextmanager
def float32_products(*, tf32: bool) -> Iterator[None]:
    """Let a GPU compute float32 products and convolutions in TF32, or not, inside the block.

    PyTorch's own default is TF32 for convolutions and float32 for products.
    """
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = tf32
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


@cache
def _warn(device: str) -> None:
    warnings.warn(f"This {device.upper()} has no bf16 arithmetic: the run continues in fp32.", stacklevel=3)
