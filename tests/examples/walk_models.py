"""A small model with landmarks, for tests of walks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from napari_integrated_cell.model.bundle import save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark

CONFIG = preset("tiny")
STAGES = ("interphase", "prophase-1", "prometaphase-1", "metaphase", "anaphase")
CHOSEN = ("TOM20", "lamin-B1")


def save_walker(path: Path) -> Path:
    """Save an untrained model with weights so large that the shape matters."""
    model = IntegratedCell.untrained(CONFIG, seed=4)
    with torch.no_grad():
        for network in (model.enc_ref, model.dec_ref, model.dec_cond):
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8)
    random = np.random.default_rng(0)
    model.landmarks = tuple(
        Landmark(
            stage=stage,
            cell_id=f"c{i}",
            z_ref=random.normal(size=CONFIG.n_ref).astype(np.float32),
            metric="cityblock",
            among="all" if stage == "anaphase" else "held-out",
            n_held_out=1 if stage == "anaphase" else 5,
            n_cells=2 if stage == "anaphase" else 9,
        )
        for i, stage in enumerate(STAGES)
    )
    model.name = "walker"
    return save_bundle(model, path, card={"simulated": True}, model_card_markdown="# walker\n")
