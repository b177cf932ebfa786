"""Compare the model's predictions of structures with baselines, and with its predictions from another shape."""

from __future__ import annotations

import numpy as np

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.baselines import BASELINES
from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.features import masks_of
from napari_ic_train.evaluation.findings import Findings, Interval, Table, Value
from napari_ic_train.evaluation.independent_classifier import independent_classifier
from napari_ic_train.evaluation.predictors import (
    MODEL,
    OTHER_SHAPE,
    PREDICTORS,
    missing_for_predictions,
    predictable,
    predictions,
)
from napari_integrated_cell.arrays import Doubles, Indices
from napari_integrated_cell.vocabulary import label_of

Scores = dict[str, Doubles]
"""Score of each cell, (n,), by predictor."""


class BaselineComparison(Experiment):
    """Predict the structures of held-out cells with the model, with baselines, and from another cell's shape."""

    name = "baselines"
    title = "The model against baselines, and with shapes permuted"

    def needs(self, context: Context) -> str | None:
        """Require held-out cells and training cells."""
        return missing_for_predictions(context)

    def run(self, context: Context) -> Findings:
        """Predict the structure of every selected held-out cell."""
        classifier = independent_classifier(context)
        wanted = predictable(context)
        labels = context.labels("test")[wanted]
        correlation: Scores = {who: np.zeros(len(wanted)) for who in PREDICTORS}
        recognised: Scores = {who: np.zeros(len(wanted)) for who in PREDICTORS}
        for i, (_, image, predicted) in enumerate(predictions(context, wanted)):
            cell, _ = masks_of(image[:2])
            for who, volume in predicted.items():
                correlation[who][i] = pearson(image[-1][cell], volume[cell])
            images = np.stack([np.concatenate([image[:-1], v[None]]) for v in predicted.values()])
            correct = classifier.classify(images).argmax(1) == labels[i]
            for who, hit in zip(predicted, correct, strict=True):
                recognised[who][i] = hit
        return Findings(
            headline=margins(correlation, labels, context),
            tables=(
                score_table(
                    "Pearson inside the cell, against the observed structure", correlation, labels, context
                ),
                score_table(
                    "Share whose structure the independent classifier recognises",
                    recognised,
                    labels,
                    context,
                    margin=False,
                ),
            ),
            notes="The structure of each held-out cell is predicted from its membrane and DNA, and compared with the "
            "observed structure inside the cell. The baselines come from training cells. They are the mean image of "
            "the structure, the structure of the training cell with the most similar cell and nucleus, and a uniform "
            "cytoplasm or nucleus (the one that fits the structure's training cells better).\n\nIn the column "
            '"another cell\'s shape" the model gets the reference channels of another held-out cell. A model that '
            "uses the shape scores lower there.",
        )


def margins(scores: Scores, labels: Indices, context: Context) -> dict[str, float | Interval]:
    """Return how far the model is ahead of the baselines, and of itself with the shapes of other cells."""
    ahead = np.stack([scores[MODEL] - scores[b] for b in BASELINES], 1)

    def least(cells: Indices) -> Doubles:
        """Return the margin over the best baseline for each structure of these cells."""
        return np.array(
            [ahead[cells[labels[cells] == label]].mean(0).min() for label in np.unique(labels[cells])]
        )

    every = np.arange(len(labels))
    weakest = np.unique(labels)[least(every).argmin()]
    return {
        "model, mean Pearson inside the cell": context.interval(scores[MODEL]),
        **{f"model ahead of {b}": context.interval(scores[MODEL] - scores[b]) for b in BASELINES},
        "gain of the cell's own shape over another's": context.interval(scores[MODEL] - scores[OTHER_SHAPE]),
        "structures on which every baseline is beaten": context.interval(
            every, lambda cells: float((least(cells) > 0).sum())
        ),
        f"least margin over the best baseline ({label_of(context.structures[weakest])})": context.interval(
            ahead[labels == weakest], lambda cells: float(cells.mean(0).min())
        ),
    }


def score_table(
    title: str, scores: Scores, labels: Indices, context: Context, *, margin: bool = True
) -> Table:
    """Return mean scores by structure and predictor, with the model's ``margin`` over the best baseline."""
    rows: list[list[Value]] = []
    for name, mine in context.by_structure(labels):
        means = {who: float(values[mine].mean()) for who, values in scores.items()}
        row: list[Value] = [name, int(mine.sum()), *means.values()]
        rows.append([*row, means[MODEL] - max(means[b] for b in BASELINES)] if margin else row)
    rows.append(["all", len(labels), *(float(values.mean()) for values in scores.values())])
    if margin:
        rows[-1].append(None)
    extra = ("ahead of the best baseline",) if margin else ()
    return Table(title, ("structure", "cells", *scores, *extra), rows)
