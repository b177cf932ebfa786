"""From a finished run to a bundle that opens in napari, and from a bundle to what it is worth."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from napari_ic_train.checkpoint import checkpoints, read_checkpoint
from napari_ic_train.config import read_config
from napari_ic_train.data.store import CellStore
from napari_ic_train.evaluation.localisation import score_real_field, score_simulated
from napari_ic_train.evaluation.model_card import model_card
from napari_ic_train.trainer import fitted_conditional, fitted_reference
from napari_integrated_cell import __version__
from napari_integrated_cell.model.bundle import load_model, save_bundle, update_card
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import choose_device
from napari_integrated_cell.vocabulary import STAGE_NAMES

Progress = Callable[[int, int, str], None]

PREPROCESSING = {
    "background": "the most populous intensity is subtracted, negative values become 0",
    "mask": "the membrane and structure channels by the cell, the DNA channel by the nucleus",
    "pose": "major axis along X, nucleus's centre of mass in the box's centre, Y and X flipped by skew",
    "scale": "to a maximum of 1 in the box",
}


def hardware(device: str) -> str:
    """What ``device`` is on this machine, in words for a model card."""
    kind = choose_device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_name()
    return "an Apple GPU" if kind == "mps" else f"{os.cpu_count()} CPU cores"


def export_bundle(
    run: str | Path, store: CellStore, out: str | Path, *, name: str, licence: str, trained_on: str = ""
) -> Path:
    """The inference bundle of a finished run: four networks, their configuration and a card without metrics yet.

    Parameters
    ----------
    run : path-like
        Folder of a run with both phases finished.
    store : CellStore
        What it was fitted on, for the card's provenance.
    out : path-like
        A folder, or a file ending in ``.zip``.
    name, licence : str
        What the model is called, and under which terms its weights may be used.
    trained_on : str
        The hardware, for the card's provenance.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ValueError
        If a phase is not finished.
    """
    config = read_config(Path(run) / "config.yaml")
    reference, conditional = fitted_reference(run), fitted_conditional(run)
    model = IntegratedCell(
        config.model, reference.enc, reference.dec, conditional.enc, conditional.dec, name=name
    )
    minutes = sum(_seconds(Path(run) / phase) for phase in ("reference", "conditional")) / 60
    n_train = int((store.table["split"] == "train").sum())
    card = {
        "simulated": store.simulated,
        "licence": licence,
        "preprocessing": PREPROCESSING,
        "provenance": {
            "training cells": f"{n_train} {'simulated' if store.simulated else 'real'} cells ({store.source})",
            "reference phase": f"{config.reference.epochs} epochs (Algorithm 1)",
            "conditional phase": f"{config.conditional.epochs} epochs (Algorithm 2)",
            "training time": f"{minutes:.0f} minutes" + (f" on {trained_on}" if trained_on else ""),
            "batch size": config.batch_size,
            "seed": config.seed,
            "software": f"napari-integrated-cell {__version__}, torch {torch.__version__}",
        },
        "metrics": {},
        "stages": [name for name in STAGE_NAMES if (store.table["stage"] == name).any()],
    }
    # Half precision halves the file; the networks compute in float32.
    return save_bundle(model, out, card=card, model_card_markdown=_card_text(model, card), dtype="float16")


def _seconds(phase: Path) -> float:
    """Wall-clock time that a finished phase took."""
    position, _ = read_checkpoint(checkpoints(phase)[-1])
    return position.seconds


def score_bundle(
    bundle: str,
    *,
    real: Path | None,
    n_cells: int,
    workers: int | None = None,
    write: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a bundle on unseen simulated cells and, where it is at hand, on a real field; write it in its card.

    Returns
    -------
    dict
        ``simulated`` and ``real``, as :mod:`napari_ic_train.evaluation.localisation` describes them.
    """
    model = load_model(bundle)
    metrics: dict[str, Any] = {
        "simulated": score_simulated(model, n_cells=n_cells, workers=workers, progress=progress)
    }
    if real is not None:
        metrics["real"] = score_real_field(real, model, progress)
    if write:
        card = {**model.card, "metrics": {**model.card.get("metrics", {}), **metrics}}
        update_card(locate(bundle), card=card, model_card_markdown=_card_text(model, card))
    return metrics


def _card_text(model: IntegratedCell, card: Mapping[str, Any]) -> str:
    kind = "simulated cells" if card["simulated"] else "segmented cells"
    description = (
        f"Predicts where {', '.join(model.config.structures)} most probably lie in a cell, from its membrane and "
        f'DNA. The two-phase conditional adversarial autoencoder of "Building a 3D Integrated Cell", fitted on {kind}.'
    )
    return model_card(model.name, description, card)
