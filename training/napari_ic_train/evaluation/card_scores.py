"""Write scores and report values into the model card of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_ic_train.bundle.model_card import REPORTED, card_text
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.evaluated import Evaluated
from napari_ic_train.evaluation.findings import Interval
from napari_ic_train.evaluation.localisation import score_real_field, score_simulated
from napari_integrated_cell.model.bundle import load_model, update_card
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import Progress


def score_bundle(
    bundle: str,
    *,
    real: Path | None,
    n_cells: int,
    workers: int | None = None,
    write: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a bundle on new simulated cells and, if one is given, on a real field; write the scores in its card.

    Returns
    -------
    dict
        ``simulated`` and ``real``, as :mod:`napari_ic_train.evaluation.localisation` describes them. ``simulated`` is
        missing if the simulator has none of the model's structures.
    """
    model = load_model(bundle)
    metrics: dict[str, Any] = {}
    if simulated := score_simulated(model, n_cells=n_cells, workers=workers, progress=progress):
        metrics["simulated"] = simulated
    if real is not None:
        metrics["real"] = score_real_field(real, model, progress)
    if write:
        _add_metrics(bundle, model, metrics)
    return metrics


def report_in_card(bundle: str | Path, found: Evaluated, store: CellStore) -> None:
    """Write the most important values of an evaluation report into the bundle's card.

    Parameters
    ----------
    bundle : path-like
        A bundle, or the name of one.
    found : Evaluated
        The results of `evaluate`.
    store : CellStore
        The store that it was evaluated on.
    """
    headline = {
        name: value
        for section in found.sections
        if section.findings is not None
        for name, value in section.findings.headline.items()
    }
    figures = {
        name: [value.value, value.low, value.high] if isinstance(value, Interval) else [value] * 3
        for name, value in headline.items()
        if name in REPORTED
    }
    report = {
        "held_out_cells": len(cells_of(store, held_out=True)),
        "store": "a store of simulated cells" if store.simulated else "a store",
        "figures": figures,
    }
    _add_metrics(bundle, load_model(bundle, device="cpu"), {"report": report})


def _add_metrics(bundle: str | Path, model: IntegratedCell, metrics: dict[str, Any]) -> None:
    card = {**model.card, "metrics": {**model.card.get("metrics", {}), **metrics}}
    update_card(locate(bundle), card=card, model_card_markdown=card_text(model, card))
