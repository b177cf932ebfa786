"""What a model card says about an adapted model: from which bundle, on how many cells, and what it beats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_ic_train.bundle.localisation_scores import MEAN_IMAGE, MODEL, OTHER_SHAPE
from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.store import CellStore
from napari_ic_train.run.checkpoint import BEST, read_point
from napari_ic_train.run.folder import PHASES

GAIN_OF_SHAPE = 0.05
"""Least gain in correlation of a cell's own shape over another's: less means that the shape is hardly used."""


def adaptation_facts(run: Path, config: TrainingConfig, store: CellStore) -> dict[str, Any] | None:
    """Return what the card says of the bundle that a run adapts; None if it adapts none.

    Returns
    -------
    dict
        ``model``, ``fingerprint`` and ``simulated`` of that bundle; ``cells``, the number of training cells;
        ``new``, the known class from which each new class started; ``without_cells``, the classes that no training
        cell shows; ``chosen_epochs``, that of each phase, where 0 means that the bundle's networks were kept.
    """
    start = config.adapted_from
    if start is None:
        return None
    train = store.table[store.table["split"] == "train"]
    shown = set(train["structure"].dropna())
    return {
        "model": start.name,
        "fingerprint": start.fingerprint,
        "simulated": start.simulated,
        "cells": len(train),
        "new": dict(start.nearest),
        "without_cells": [name for name in config.model.structures if name not in shown],
        "chosen_epochs": {phase: read_point(run / phase / BEST).epoch for phase in PHASES},
    }


def adaptation_text(card: Mapping[str, Any]) -> list[str]:
    """Return the lines of a card about the adaptation; none if the model is not an adapted one."""
    facts = card.get("adapted_from")
    if not facts:
        return []
    kind = "simulated" if card["simulated"] else "real"
    before = "simulated" if facts["simulated"] else "real"
    epochs = facts["chosen_epochs"]
    lines = [
        "",
        "## Adaptation",
        "",
        f"Adapted from the model {facts['model']!r} (trained on {before} cells) to {facts['cells']} {kind} cells.",
        f"A part of these cells chose the epochs: {_epoch(epochs['reference'])} in the reference phase, "
        f"{_epoch(epochs['conditional'])} in the conditional phase.",
    ]
    if facts["new"]:
        began = ", ".join(f"{name} from {source}" for name, source in facts["new"].items())
        lines.append(f"New structures, and the known one from whose weights each started: {began}.")
    if facts["without_cells"]:
        lines += [
            "",
            f"**No cell of {', '.join(facts['without_cells'])} was among these cells.** The predictions of these "
            f"structures come from the model {facts['model']!r}, whose networks the adaptation changed. Do not rely on "
            "them.",
        ]
    return lines + _scores(card["metrics"].get("localisation"))


def _epoch(epoch: int) -> str:
    return f"epoch {epoch}" if epoch else "none (the networks of the model before are kept)"


def _scores(found: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    if not found:
        return ["", "There were no held-out cells to compare the predictions with."]
    lines = [
        "",
        "Mean Pearson correlation of predicted and observed structure inside held-out cells, which had no part in the "
        "training:",
        "",
        "| structure | cells | model | mean image of the training cells | from another cell's shape | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, score in found.items():
        ahead, gain = score[MODEL] - score[MEAN_IMAGE], score[MODEL] - score[OTHER_SHAPE]
        beaten = "beats the mean image" if ahead > 0 else "**does not beat the mean image**"
        shape = "" if gain >= GAIN_OF_SHAPE else "; **hardly uses the cell's shape**"
        lines.append(
            f"| {name} | {score['cells']} | {score[MODEL]:.3f} | {score[MEAN_IMAGE]:.3f} | {score[OTHER_SHAPE]:.3f} "
            f"| {beaten}{shape} |"
        )
    return lines
