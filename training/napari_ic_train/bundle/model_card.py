"""Write the model card: what a bundle is, what it was trained on, and how it scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_ic_train.bundle.adaptation import adaptation_text
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark, LatentDistribution, LatentStatistics
from napari_integrated_cell.model.novelty import KnownStructures
from napari_integrated_cell.vocabulary import STAGE_NAMES, stage

TARGETS: Mapping[tuple[str, str], tuple[str, float]] = {
    ("simulated", "label_accuracy"): ("label accuracy, new simulated cells", 0.90),
    ("simulated", "localisation_pearson"): (
        "Pearson correlation of predicted and expected localisation inside the cell, mean over structures, "
        "new simulated cells",
        0.70,
    ),
    ("real", "inside_cell_least_structure_mean"): (
        "share of predicted intensity inside the cell dilated by 0.5 µm, structure with the lowest share, real cells",
        0.95,
    ),
    ("real", "inside_cell_unmasked_least_structure_mean"): (
        "the same for the decoder's output, before masking by the cell",
        0.95,
    ),
    ("real", "fibrillarin_in_nucleus"): ("share of fibrillarin inside the nucleus, real cells", 0.80),
    ("real", "fibrillarin_in_nucleus_unmasked"): ("the same for fibrillarin, before masking", 0.80),
    ("real", "lamin_at_surface"): ("share of lamin B1 within 1 µm of the nuclear surface, real cells", 0.70),
    ("real", "lamin_at_surface_unmasked"): ("the same for lamin B1, before masking", 0.70),
    ("real", "tom20_outside_nucleus"): ("share of TOM20 outside the nucleus, real cells", 0.85),
}
"""Scores that the demo model should reach: group and key in the metrics, description, and wanted minimum."""

STRUCTURE_OF_TARGET: Mapping[str, str] = {
    "fibrillarin_in_nucleus": "fibrillarin",
    "fibrillarin_in_nucleus_unmasked": "fibrillarin",
    "lamin_at_surface": "lamin-B1",
    "lamin_at_surface_unmasked": "lamin-B1",
    "tom20_outside_nucleus": "TOM20",
}
"""Structure that a score is about: a model without it has no such score."""

REPORTED: Mapping[str, float | None] = {
    "label accuracy, held out": 0.9675,
    "macro recall, held out": 0.90,
    "inception score, held-out data": None,
    "inception score, generated": None,
    "inception score, generated over held-out data (paper 0.96)": 0.96,
    "label accuracy of the independent classifier, held-out data": None,
    "generated cells that the independent classifier labels as asked for": None,
    "model, mean Pearson inside the cell": None,
    "gain of the cell's own shape over another's": None,
    "structures on which every baseline is beaten": 11,
    "structures on which every baseline is beaten, expected localisation": 11,
    "observed features within the draws' 50% interval": None,
    "observed features within the draws' 90% interval": None,
    "order of variability, Spearman against the simulator, interphase": 0.70,
}
"""Headline values of an evaluation report that the card shows, with the wanted minimum for the demo model."""


def verdicts(
    metrics: Mapping[str, Any], structures: Sequence[str] | None = None
) -> list[tuple[str, float, float | None, bool | None]]:
    """Return each target with the wanted value, the measured value and whether it is reached; None if not measured.

    Targets about a structure that is not among ``structures`` are left out.
    """
    rows: list[tuple[str, float, float | None, bool | None]] = []
    for (group, key), (what, least) in TARGETS.items():
        if structures is not None and STRUCTURE_OF_TARGET.get(key, structures[0]) not in structures:
            continue
        measured = metrics.get(group, {}).get(key)
        rows.append((what, least, measured, None if measured is None else measured >= least))
    real = metrics.get("real", {})
    if "tom20_pearson" in real:
        uniform, predicted = real["cytoplasm_pearson"], real["tom20_pearson"]
        what = "correlation of TOM20 with the real TOMM20 mask inside the cell (wanted: that of a uniform cytoplasm)"
        rows.append((what, uniform, predicted, predicted > uniform))
    return rows


def model_card(
    name: str,
    description: str,
    card: Mapping[str, Any],
    *,
    structures: Sequence[str] | None = None,
    latent: LatentStatistics | None = None,
    landmarks: Sequence[Landmark] = (),
    known_structures: KnownStructures | None = None,
) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    name, description : str
        Name of the model, and its purpose in one or two sentences.
    card : mapping
        The bundle's ``provenance``, ``licence``, ``preprocessing``, ``metrics`` and ``simulated``, and how its
        ``weights`` are stored if that is known.
    structures : sequence of str, optional
        Structures of the model: it is scored on these only.
    latent : LatentStatistics, optional
        Distributions of the training cells in the latent spaces.
    landmarks : sequence of Landmark
        Cells that represent the stages of the cell cycle.
    known_structures : KnownStructures, optional
        Statistics that tell whether a channel shows none of the structures.
    """
    metrics = card["metrics"]
    lines = [f"# {name}", "", description, ""]
    if card["simulated"]:
        lines += [
            "**Trained on simulated cells only.** The predictions follow the rules of the simulator. Do not draw "
            "biological conclusions from them.",
            "",
        ]
    lines += ["## Provenance", ""]
    lines += [f"- {key}: {value}" for key, value in card["provenance"].items()]
    lines += [f"- licence: {card['licence']}", *_weights(card.get("weights"))]
    lines += adaptation_text(card)
    scores = []
    for what, least, measured, reached in verdicts(metrics, structures):
        shown = "not measured" if measured is None else f"{measured:.3f}"
        word = {True: "reached", False: "**not reached**", None: ""}[reached]
        scores.append(f"{what} | {least:.3f} | {shown} | {word}")
    lines += _table("score | wanted | measured |", scores, "## Scores")
    lines += _on_held_out_cells(metrics.get("held_out"), "simulated cells" if card["simulated"] else "cells")
    lines += _on_simulated_cells(metrics.get("simulated"))
    lines += _on_real_cells(metrics.get("real"))
    lines += _reported(metrics.get("report"), structures)
    lines += _novelty(known_structures)
    lines += _landmarks(landmarks)
    lines += _latent_spaces(latent)
    return "\n".join(lines) + "\n"


def card_text(model: IntegratedCell, card: Mapping[str, Any]) -> str:
    """Return the card of a bundle's model as Markdown."""
    learned, kind = "trained on", "simulated cells" if card["simulated"] else "segmented cells"
    if card.get("adapted_from"):
        learned, kind = "adapted to", f"{card['adapted_from']['cells']} {kind}"
    description = (
        "Predicts the most probable localisation of structures in a cell from its membrane and DNA. The structures "
        f"are {', '.join(model.config.structures)}. The model is the two-phase conditional adversarial autoencoder of "
        f'"Building a 3D Integrated Cell", {learned} {kind}.'
    )
    return model_card(
        model.name,
        description,
        card,
        structures=model.config.structures,
        latent=model.latent,
        landmarks=model.landmarks,
        known_structures=model.known_structures,
    )


def _table(columns: str, rows: Iterable[str], *above: str) -> list[str]:
    """Return paragraphs and a table under them; each row is the text between the first and the last bar."""
    paragraphs = [line for text in above for line in (text, "")]
    rule = "|" + " --- |" * (columns.count("|") + 1)
    return ["", *paragraphs, f"| {columns} |", rule, *(f"| {r} |" for r in rows)]


def _weights(stored: Mapping[str, Any] | None) -> list[str]:
    if not stored:
        return []
    line = f"- weights: stored as {stored['stored_as']}"
    if "mean_absolute_difference" in stored:
        mean, largest = stored["mean_absolute_difference"], stored["max_absolute_difference"]
        which = "held-out" if stored["held_out"] else "training"
        line += (
            f"; compared with float32, decoded images (values from 0 to 1) of {stored['cells']} {which} cells differ "
            f"by {mean:.1e} on average and by {largest:.1e} at most"
        )
    return [line]


def _on_held_out_cells(held_out: Mapping[str, Any] | None, kind: str) -> list[str]:
    if not held_out:
        return []
    return _table(
        "structure | recall",
        (f"{name} | {value:.2f}" for name, value in held_out["label_recall"].items()),
        f"### Labels of {held_out['n_cells']} held-out {kind}",
        f"Accuracy {held_out['label_accuracy']:.3f}, mean recall over structures {held_out['macro_recall']:.3f}.",
    )


def _on_simulated_cells(simulated: Mapping[str, Any] | None) -> list[str]:
    if not simulated:
        return []
    recall, found = simulated["label_recall"], simulated["localisation_pearson_by_structure"]
    by_structure = (f"{name} | {recall[name]:.2f} | {r:.2f}" for name, r in found.items())
    by_stage = (f"{name} | {r:.2f}" for name, r in simulated["localisation_pearson_by_stage"].items())
    title = f"### By structure, on {simulated['n_cells']} new simulated cells"
    lines = _table("structure | recall | localisation Pearson", by_structure, title)
    return lines + _table("stage | localisation Pearson", by_stage)


def _on_real_cells(real: Mapping[str, Any] | None) -> list[str]:
    """Describe the masked predictions, and the decoder's output before masking if it was measured."""
    if not real:
        return ["", "The model was not scored on real cells."]
    unmasked = real.get("inside_cell_unmasked_mean")
    rows = []
    for structure, mean in real["inside_cell_mean"].items():
        row = f"{structure} | {mean:.3f} | {real['inside_cell_least'][structure]:.3f}"
        rows.append(row + (f" | {unmasked[structure]:.3f}" if unmasked else ""))
    more = " | before masking, mean over cells" if unmasked else ""
    columns = f"structure | mean over cells | minimum{more}"
    title = f"### Share of predicted intensity inside the cell, on {real['n_cells']} real cells"
    note = "Predictions are masked by the cell. The last column is the output of the networks before masking."
    return _table(columns, rows, title) + (["", note] if unmasked else [])


def _reported(report: Mapping[str, Any] | None, structures: Sequence[str] | None) -> list[str]:
    if not report:
        return []
    rows = []
    for name, wanted in REPORTED.items():
        if name in report["figures"]:
            value, low, high = report["figures"][name]
            if wanted is not None and structures is not None and "every baseline" in name:
                wanted = min(wanted, len(structures))
            verdict = "" if wanted is None else "reached" if value >= wanted else "**not reached**"
            asked = "" if wanted is None else f"{wanted:.4g}"
            rows.append(f"{name} | {asked} | {value:.3f} | {low:.3f} to {high:.3f} | {verdict}")
    cells = f"{report['held_out_cells']} held-out cells of {report['store']}"
    title = f"### From the evaluation report, on {cells}"
    return _table("score | wanted | measured | 95 % confidence interval |", rows, title)


def _novelty(known: KnownStructures | None) -> list[str]:
    if known is None:
        return []
    return [
        "",
        "## Channels that show none of the structures",
        "",
        f"Measured with {known.n_training} training cells. Limits: an energy of {known.largest_energy:.2f} and a "
        f"distance of {known.largest_distance:.2f}. They reject {known.held_out_rejected:.1%} of "
        f"{known.n_held_out} held-out cells, which all show a known structure.",
    ]


def _landmarks(landmarks: Sequence[Landmark]) -> list[str]:
    if not landmarks:
        return []
    rows = (
        f"{stage(m.stage).label} | {m.cell_id} | {m.n_held_out} | {m.n_cells} | {m.note}" for m in landmarks
    )
    lines = _table(
        "stage | cell | held-out cells | all cells |",
        rows,
        "## Landmarks of the cell cycle",
        "The landmark of a stage is the medoid of its held-out cells in the reference latent space "
        f"({landmarks[0].metric} distance).",
    )
    found = {mark.stage for mark in landmarks}
    absent = [stage(name).label for name in STAGE_NAMES if name not in found]
    if absent:
        lines += ["", f"Stages without cells have no landmark: {', '.join(absent)}."]
    return lines


def _latent_spaces(latent: LatentStatistics | None) -> list[str]:
    if latent is None:
        return []
    spaces = {"z^r, cell and nuclear shape": latent.z_ref}
    spaces |= {f"z^s, {name}": distribution for name, distribution in latent.z_struct.items()}
    return _table(
        "space | cells | dimensions | distance of the mean from 0 | mean variance | variance of the first axis "
        "| axes for 90 % of the variance",
        (_latent_space(name, distribution) for name, distribution in spaces.items()),
        "## Latent spaces",
        "Distribution of the training cells. The prior has mean 0 and variance 1 in every dimension.",
    )


def _latent_space(name: str, space: LatentDistribution) -> str:
    cumulated = np.cumsum(space.explained, dtype=np.float64)
    enough = min(int(np.searchsorted(cumulated, 0.9)) + 1, len(cumulated))
    return (
        f"{name} | {space.n} | {len(space.mean)} | {np.linalg.norm(space.mean):.2f} "
        f"| {space.variances.mean():.2f} | {100 * space.explained[0]:.0f} % | {enough}"
    )
