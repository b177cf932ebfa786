"""Past the paper: do generated cells lie where observed ones do, and everywhere they do?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.drawing import label_of
from napari_ic_train.evaluation.experiment import Context, Findings, Indices, Interval, Table, Value
from napari_ic_train.evaluation.features import cell_features
from napari_ic_train.evaluation.independent_classifier import (
    IndependentClassifier,
    independent_classifier,
    kept_back,
)
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.feature_sets import frechet_distance, kernel_distance
from napari_ic_train.evaluation.metrics.manifold import NEIGHBOURS, expected_coverage, manifold
from napari_ic_train.evaluation.passes import generated
from napari_ic_train.evaluation.predictors import why_not

Floats = NDArray[np.float64]

SPACES = ("the independent classifier's features", "features of shape and intensity")
MEASURES = ("precision", "recall", "density", "coverage", "Fréchet distance", "kernel distance")
RIVALS = ("generated", "training")


class Fidelity:
    """Precision, recall, density, coverage, Fréchet and kernel distance of generated against held-out cells."""

    name = "fidelity"
    title = "Fidelity and diversity of generated cells"
    section = ""

    def needs(self, context: Context) -> str | None:
        """Held-out cells, and training cells of the same structures to hold beside them."""
        if reason := why_not(context):
            return reason
        unknown = np.flatnonzero(kept_back(context))
        if np.isin(context.labels("test"), context.labels("train")[unknown]).any():
            return None
        return (
            "No structure has a held-out cell and three training cells, of which one could be held beside it."
        )

    def run(self, context: Context) -> Findings:
        """Measure held-out cells, as many generated ones, and as many training ones."""
        judge = independent_classifier(context)
        labels = context.labels("test")
        unknown = np.flatnonzero(kept_back(context))
        theirs = like(labels, context.labels("train")[unknown], context.seed)
        kept = theirs >= 0  # held-out cells for which there is a training cell of the structure
        labels = labels[kept]
        observed = _measured(judge, (x for _, x in context.batches("test", "measuring held-out cells")))
        made = _measured(judge, (x for _, x in generated(context, "test")))
        chosen = context.cells["train"][unknown[theirs[kept]]]
        seen = _measured(judge, (context.images(chosen[i : i + 16]) for i in range(0, len(chosen), 16)))
        tables: list[Table] = []
        headline: dict[str, float | Interval] = {}
        for space, name in enumerate(SPACES):
            one = {
                "held out": observed[space][kept],
                "generated": made[space][kept],
                "training": seen[space],
            }
            scale = one["training"].std(0)
            one = {key: values / np.where(scale > 0, scale, 1) for key, values in one.items()}
            tables.append(_table(name, one, labels, context))
            headline |= _headline(name, one, context.seed)
        n = len(labels)
        return Findings(
            headline=headline,
            tables=tuple(tables),
            notes=f"Of {n} held-out cells, as many generated ones of the same structures (z^r, z^s ~ N(0, I)) and "
            "as many training cells, which the classifier was not fitted to either. What these reach against "
            "held-out ones is the best that any model can do: read a figure of generated cells beside theirs. "
            "Precision and density ask whether generated cells look like observed ones, recall and coverage "
            f"whether all observed ones are matched (Naeem et al. 2020, {NEIGHBOURS} neighbours; a coverage of "
            f"{expected_coverage(n, n):.2f} is expected of equal distributions over all structures). Features are "
            "scaled by the training cells' spread. Distances of few cells are biased upwards, alike for both.",
        )


def like(labels: Indices, among: Indices, seed: int) -> Indices:
    """For each label a cell of the same label among others, no cell twice; -1 where they run out."""
    order = np.random.default_rng([seed, 29]).permutation(len(among))
    found = np.full(len(labels), -1, np.int64)
    for label in np.unique(labels):
        wanted, there = np.flatnonzero(labels == label), order[among[order] == label]
        n = min(len(wanted), len(there))
        found[wanted[:n]] = there[:n]
    return found


def _measured(judge: IndependentClassifier, batches: Iterable[NDArray[np.float32]]) -> tuple[Floats, Floats]:
    """Features of cells (n, R + 1, Z, Y, X) in both of :data:`SPACES`."""
    learnt, described = [], []
    for images in batches:
        learnt.append(judge.judge(images)[1])
        described += [cell_features(image) for image in images]
    return np.concatenate(learnt).astype(np.float64), np.stack(described)


def _table(name: str, one: dict[str, Floats], labels: Indices, context: Context) -> Table:
    rows: list[list[Value]] = []
    for label in (*np.unique(labels), None):
        mine = np.ones(len(labels), bool) if label is None else labels == label
        rows.append(["all" if label is None else label_of(context.structures[label]), int(mine.sum())])
        figures = {who: _figures(one["held out"][mine], one[who][mine]) for who in RIVALS}
        rows[-1] += [figures[who][i] for i in range(len(MEASURES)) for who in RIVALS]
    columns = ("structure", "cells", *(f"{m}, {who}" for m in MEASURES for who in RIVALS))
    return Table(f"By {name}", columns, rows)


def _figures(observed: Floats, other: Floats) -> list[Value]:
    """By :data:`MEASURES`; None for what so few cells have not."""
    if len(observed) < 2:
        return [None] * len(MEASURES)
    near: list[Value] = [None] * 4
    if len(observed) > NEIGHBOURS:
        found = manifold(observed, other)
        near = [found.precision, found.recall, found.density, found.coverage]
    return [*near, frechet_distance(observed, other), kernel_distance(observed, other)]


def _headline(name: str, one: dict[str, Floats], seed: int) -> dict[str, float | Interval]:
    """Density and coverage of generated cells, over samples of cells where neighbours stay who they are."""
    observed, made, seen = one["held out"], one["generated"], one["training"]
    if len(observed) <= NEIGHBOURS:
        return {}
    from scipy.spatial.distance import cdist

    apart = cdist(observed, observed)
    reach = np.sort(apart, axis=1)[:, NEIGHBOURS]  # the cell itself is the first
    found: dict[str, float | Interval] = {}
    for who, cells in (("generated", made), ("training", seen)):
        within = cdist(observed, cells) < reach[:, None]
        found[f"density, {who}, {name}"] = bootstrap(within.sum(0) / NEIGHBOURS, seed=seed)
        found[f"coverage, {who}, {name}"] = bootstrap(within.any(1).astype(float), seed=seed)
    return found
