"""Compare the distributions of generated and observed cells: fidelity and diversity."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial.distance import cdist

from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.features import cell_features
from napari_ic_train.evaluation.findings import Findings, Interval, Table, Value
from napari_ic_train.evaluation.independent_classifier import (
    IndependentClassifier,
    excluded_from_fit,
    independent_classifier,
)
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.feature_sets import frechet_distance, kernel_distance
from napari_ic_train.evaluation.metrics.manifold import NEIGHBOURS, expected_coverage, manifold
from napari_ic_train.evaluation.model_outputs import generated
from napari_ic_train.evaluation.predictors import missing_for_predictions
from napari_integrated_cell.arrays import Doubles, Floats, Indices

SPACES = ("the independent classifier's features", "features of shape and intensity")
MEASURES = ("precision", "recall", "density", "coverage", "Fréchet distance", "kernel distance")
COMPARED = ("generated", "training")


class Fidelity(Experiment):
    """Precision, recall, density, coverage, Fréchet and kernel distance between generated and held-out cells."""

    name = "fidelity"
    title = "Fidelity and diversity of generated cells"

    def needs(self, context: Context) -> str | None:
        """Require held-out cells, and training cells of the same structures that the classifier has not seen."""
        if reason := missing_for_predictions(context):
            return reason
        unseen = np.flatnonzero(excluded_from_fit(context))
        if np.isin(context.labels("test"), context.labels("train")[unseen]).any():
            return None
        return "This experiment needs a structure with a held-out cell and three training cells."

    def run(self, context: Context) -> Findings:
        """Measure held-out cells, and the same number of generated cells and of training cells."""
        classifier = independent_classifier(context)
        labels = context.labels("test")
        unseen = np.flatnonzero(excluded_from_fit(context))
        partners = same_label(labels, context.labels("train")[unseen], context.seed)
        paired = partners >= 0
        labels = labels[paired]
        observed = _measured(classifier, (x for _, x in context.batches("test", "measuring held-out cells")))
        drawn = _measured(classifier, (x for _, x in generated(context, "test")))
        chosen = context.cells["train"][unseen[partners[paired]]]
        train = _measured(
            classifier,
            (context.images(chosen[p]) for p in context.parts(len(chosen), "measuring training cells")),
        )
        tables: list[Table] = []
        headline: dict[str, float | Interval] = {}
        for space, name in enumerate(SPACES):
            one = {
                "held out": observed[space][paired],
                "generated": drawn[space][paired],
                "training": train[space],
            }
            scale = one["training"].std(0)
            one = {key: values / np.where(scale > 0, scale, 1) for key, values in one.items()}
            tables.append(_table(name, one, labels, context))
            headline |= _headline(name, one, context.seed)
        n = len(labels)
        return Findings(
            headline=headline,
            tables=tuple(tables),
            notes=f"{n} held-out cells are compared with {n} generated cells of the same structures (z^r, z^s ~ "
            f"N(0, I)) and with {n} training cells that the classifier has not seen. The training cells show the best "
            "values that a model can reach: compare the generated cells with them. Precision and density say whether "
            "generated cells look like observed cells. Recall and coverage say whether the generated cells cover all "
            f"kinds of observed cells (Naeem et al. 2020, {NEIGHBOURS} neighbours). Equal distributions have an "
            f"expected coverage of {expected_coverage(n, n):.2f} over all structures. Features are divided by the "
            "standard deviation of the training cells. Few cells bias the Fréchet distance upwards, by the same amount "
            "for both.",
        )


def same_label(labels: Indices, among: Indices, seed: int) -> Indices:
    """Return for each label the place of another cell ``among`` with this label, each only once; -1 if none is left."""
    order = np.random.default_rng([seed, 29]).permutation(len(among))
    found = np.full(len(labels), -1, np.int64)
    for label in np.unique(labels):
        wanted, available = np.flatnonzero(labels == label), order[among[order] == label]
        n = min(len(wanted), len(available))
        found[wanted[:n]] = available[:n]
    return found


def _measured(classifier: IndependentClassifier, batches: Iterable[Floats]) -> tuple[Doubles, Doubles]:
    """Return the features of cells (n, R + 1, Z, Y, X) in both :data:`SPACES`."""
    learned, measured = [], []
    for images in batches:
        learned.append(classifier.outputs(images)[1])
        measured += [cell_features(image) for image in images]
    return np.concatenate(learned).astype(np.float64), np.stack(measured)


def _table(name: str, one: dict[str, Doubles], labels: Indices, context: Context) -> Table:
    rows: list[list[Value]] = []
    for structure, mine in (*context.by_structure(labels), ("all", np.ones(len(labels), bool))):
        values = [_values(one["held out"][mine], one[who][mine]) for who in COMPARED]
        rows.append([structure, int(mine.sum()), *(v for pair in zip(*values, strict=True) for v in pair)])
    columns = ("structure", "cells", *(f"{m}, {who}" for m in MEASURES for who in COMPARED))
    return Table(f"By {name}", columns, rows)


def _values(observed: Doubles, other: Doubles) -> list[Value]:
    """Return the :data:`MEASURES`; None for those that need more cells."""
    if len(observed) < 2:
        return [None] * len(MEASURES)
    neighbours: list[Value] = [None] * 4
    if len(observed) > NEIGHBOURS:
        found = manifold(observed, other)
        neighbours = [found.precision, found.recall, found.density, found.coverage]
    return [*neighbours, frechet_distance(observed, other), kernel_distance(observed, other)]


def _headline(name: str, one: dict[str, Doubles], seed: int) -> dict[str, float | Interval]:
    """Return density and coverage; the bootstrap keeps the neighbours that the cells have in the whole sample."""
    observed = one["held out"]
    if len(observed) <= NEIGHBOURS:
        return {}
    radius = np.sort(cdist(observed, observed), axis=1)[:, NEIGHBOURS]  # the first is the cell itself
    found: dict[str, float | Interval] = {}
    for who in COMPARED:
        within = cdist(observed, one[who]) < radius[:, None]
        found[f"density, {who}, {name}"] = bootstrap(within.sum(0) / NEIGHBOURS, seed=seed)
        found[f"coverage, {who}, {name}"] = bootstrap(within.any(1).astype(float), seed=seed)
    return found
