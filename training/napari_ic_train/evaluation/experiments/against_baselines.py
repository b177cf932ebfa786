"""Past the paper: does the model predict structures better than what needs no model, and does it use the shape?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.baselines import BASELINES
from napari_ic_train.evaluation.drawing import label_of
from napari_ic_train.evaluation.experiment import Context, Findings, Interval, Table, Value
from napari_ic_train.evaluation.features import masks_of
from napari_ic_train.evaluation.independent_classifier import independent_classifier
from napari_ic_train.evaluation.localisation import pearson
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.predictors import (
    MODEL,
    OTHER_SHAPE,
    PREDICTORS,
    predictable,
    predictions,
    why_not,
)

Scores = dict[str, NDArray[np.float64]]


class AgainstBaselines:
    """Held-out cells' structures as the model predicts them, as baselines do, and from another cell's shape."""

    name = "baselines"
    title = "The model against baselines, and with shapes permuted"
    section = ""

    def needs(self, context: Context) -> str | None:
        """Held-out and training cells."""
        return why_not(context)

    def run(self, context: Context) -> Findings:
        """Predict every chosen held-out cell's own structure."""
        judge = independent_classifier(context)
        wanted = predictable(context)
        labels = context.labels("test")[wanted]
        alike: Scores = {who: np.zeros(len(wanted)) for who in PREDICTORS}
        told: Scores = {who: np.zeros(len(wanted)) for who in PREDICTORS}
        for i, (_, image, predicted) in enumerate(predictions(context, wanted)):
            cell, _ = masks_of(image[:2])
            for who, volume in predicted.items():
                alike[who][i] = pearson(image[-1][cell], volume[cell])
            shown = np.stack([np.concatenate([image[:-1], v[None]]) for v in predicted.values()])
            right = judge.classify(shown).argmax(1) == labels[i]
            for who, hit in zip(predicted, right, strict=True):
                told[who][i] = hit
        return Findings(
            headline=margins(alike, labels, context),
            tables=(
                score_table(
                    "Pearson inside the cell, against the observed structure", alike, labels, context
                ),
                score_table(
                    "Share whose structure the independent classifier recognises",
                    told,
                    labels,
                    context,
                    beaten=False,
                ),
            ),
            notes="Every prediction is of a held-out cell's own structure from its membrane and DNA, and is compared "
            "with what was observed inside that cell. The baselines are made of the training cells: the mean image of "
            "a structure, the structure of the training cell whose cell and nucleus are most alike, and a uniform "
            "cytoplasm or nucleus, whichever fits a structure's training cells better.\n\nWith another cell's shape "
            "the model is given the reference channels of another held-out cell: a model that uses the shape loses "
            "by it.",
        )


def margins(scores: Scores, labels: NDArray[np.int64], context: Context) -> dict[str, float | Interval]:
    """By how much the model is ahead of the best baseline of each structure, and of itself in other shapes."""
    ahead = np.stack([scores[MODEL] - scores[b] for b in BASELINES], 1)

    def least(cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """The margin over the best baseline, of each structure that some cells have."""
        return np.array(
            [ahead[cells[labels[cells] == label]].mean(0).min() for label in np.unique(labels[cells])]
        )

    every = np.arange(len(labels))
    weakest = np.unique(labels)[least(every).argmin()]
    return {
        "model, mean Pearson inside the cell": bootstrap(scores[MODEL], seed=context.seed),
        **{f"model ahead of {b}": bootstrap(scores[MODEL] - scores[b], seed=context.seed) for b in BASELINES},
        "gain of the cell's own shape over another's": bootstrap(
            scores[MODEL] - scores[OTHER_SHAPE], seed=context.seed
        ),
        "structures on which every baseline is beaten": bootstrap(
            every, lambda cells: float((least(cells) > 0).sum()), seed=context.seed
        ),
        f"least margin over the best baseline ({label_of(context.structures[weakest])})": bootstrap(
            ahead[labels == weakest], lambda cells: float(cells.mean(0).min()), seed=context.seed
        ),
    }


def score_table(
    title: str, scores: Scores, labels: NDArray[np.int64], context: Context, *, beaten: bool = True
) -> Table:
    """Mean scores by structure and predictor."""
    rows: list[list[Value]] = []
    for label in np.unique(labels):
        mine = labels == label
        means = {who: float(values[mine].mean()) for who, values in scores.items()}
        row: list[Value] = [label_of(context.structures[label]), int(mine.sum()), *means.values()]
        rows.append([*row, means[MODEL] - max(means[b] for b in BASELINES)] if beaten else row)
    rows.append(["all", len(labels), *(float(values.mean()) for values in scores.values())])
    if beaten:
        rows[-1].append(None)
    extra = ("ahead of the best baseline",) if beaten else ()
    return Table(title, ("structure", "cells", *scores, *extra), rows)
