"""A small bundle, for tests of the files that a model is saved in."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_integrated_cell.model import archive
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import NETWORK_NAMES, IntegratedCell

CONFIG = preset("tiny").model_copy(update={"structures": ("TOM20", "ZO1", "peroxisomes")})
CARD = {
    "simulated": True,
    "licence": "BSD-3-Clause",
    "provenance": {"cells": 12, "seed": 1},
    "metrics": {"accuracy": 0.9},
    "preprocessing": {"voxel_size": 1.268},
    "stages": ["interphase", "metaphase"],
    "note": "a further field",
}
MARKDOWN = "# Tiny\n\nTrained on *simulated* cells.\n"
FILES = ["model.json", "MODEL_CARD.md", "SHA256SUMS", *(f"weights/{n}.safetensors" for n in NETWORK_NAMES)]


def state(model: IntegratedCell) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v for n, network in model.networks.items() for k, v in network.state_dict().items()}


def resealed(folder: Path, **changes: bytes | None) -> Path:
    """``folder`` with files changed and matching checksums: damage that the checksums do not show."""
    files = {name: (folder / name).read_bytes() for name in FILES if name != "SHA256SUMS"}
    files |= {name.replace("__", "/").replace("_DOT_", "."): content for name, content in changes.items()}
    archive.write(folder, [(name, content) for name, content in files.items() if content is not None])
    return folder
