"""The model card: what a bundle is, what it was trained on, and what was measured, in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A figure that the demo model should reach.

    Attributes
    ----------
    what : str
        What is measured, in words.
    group, key : str
        Where the figure stands in the metrics, e.g. ``metrics["simulated"]["label_accuracy"]``.
    least : float
        The figure wanted.
    """

    what: str
    group: str
    key: str
    least: float


TARGETS: tuple[Target, ...] = (
    Target("label accuracy, unseen simulated cells", "simulated", "label_accuracy", 0.90),
    Target(
        "Pearson correlation of predicted and expected localisation inside the cell, mean over structures, "
        "unseen simulated cells",
        "simulated",
        "localisation_pearson",
        0.70,
    ),
    Target(
        "share of a structure's predicted intensity inside the cell dilated by 0.5 µm, least structure, real cells",
        "real",
        "inside_cell_least_structure_mean",
        0.95,
    ),
    Target("share of fibrillarin inside the nucleus, real cells", "real", "fibrillarin_in_nucleus", 0.80),
    Target(
        "share of lamin B1 within 1 µm of the nuclear surface, real cells", "real", "lamin_at_surface", 0.70
    ),
    Target("share of TOM20 outside the nucleus, real cells", "real", "tom20_outside_nucleus", 0.85),
)


def verdicts(metrics: Mapping[str, Any]) -> list[tuple[str, float, float | None, bool | None]]:
    """Each target with the figure wanted, the figure measured and whether it is reached; None if not measured."""
    rows: list[tuple[str, float, float | None, bool | None]] = []
    for target in TARGETS:
        measured = metrics.get(target.group, {}).get(target.key)
        rows.append(
            (target.what, target.least, measured, None if measured is None else measured >= target.least)
        )
    real = metrics.get("real", {})
    if "tom20_pearson" in real:
        uniform, predicted = real["cytoplasm_pearson"], real["tom20_pearson"]
        what = "correlation of TOM20 with the real TOMM20 mask inside the cell, against a uniform cytoplasm's"
        rows.append((what, uniform, predicted, predicted > uniform))
    return rows


def model_card(name: str, description: str, card: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Parameters
    ----------
    name, description : str
        The model's name and what it is for, in a sentence or two.
    card : mapping
        The bundle's ``provenance``, ``licence``, ``preprocessing``, ``metrics`` and ``simulated``.
    """
    metrics = card["metrics"]
    lines = [f"# {name}", "", description, ""]
    if card["simulated"]:
        lines += [
            "**Trained on simulated cells only.** Its predictions show what the simulator's rules say of a cell "
            "of this shape. Do not draw biological conclusions from them.",
            "",
        ]
    lines += ["## Where it comes from", ""]
    lines += [f"- {key}: {value}" for key, value in card["provenance"].items()]
    lines += [f"- licence: {card['licence']}", "", "## What was measured", ""]
    lines += ["| figure | wanted | measured | |", "| --- | --- | --- | --- |"]
    for what, least, measured, reached in verdicts(metrics):
        shown = "not measured" if measured is None else f"{measured:.3f}"
        word = {True: "reached", False: "**not reached**", None: ""}[reached]
        lines.append(f"| {what} | {least:.3f} | {shown} | {word} |")
    simulated, real = metrics.get("simulated"), metrics.get("real")
    if simulated:
        lines += ["", f"### By structure, on {simulated['n_cells']} unseen simulated cells", ""]
        lines += ["| structure | recall | localisation Pearson |", "| --- | --- | --- |"]
        for structure, r in simulated["localisation_pearson_by_structure"].items():
            lines.append(f"| {structure} | {simulated['label_recall'][structure]:.2f} | {r:.2f} |")
        lines += ["", "| stage | localisation Pearson |", "| --- | --- |"]
        lines += [f"| {stage} | {r:.2f} |" for stage, r in simulated["localisation_pearson_by_stage"].items()]
    if real:
        lines += [
            "",
            f"### Share of predicted intensity inside the cell, on {real['n_cells']} real cells",
            "",
        ]
        lines += ["| structure | mean over cells | least cell |", "| --- | --- | --- |"]
        for structure, mean in real["inside_cell_mean"].items():
            lines.append(f"| {structure} | {mean:.3f} | {real['inside_cell_least'][structure]:.3f} |")
    else:
        lines += ["", "The real cells were not at hand when this card was written."]
    return "\n".join(lines) + "\n"
