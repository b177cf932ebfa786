"""Past the paper: images scored by a classifier that is no part of the model, beside the model's own encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.drawing import label_of
from napari_ic_train.evaluation.experiment import Context, Findings, Table, Value
from napari_ic_train.evaluation.experiments.inception import decoded_labels, generated_labels
from napari_ic_train.evaluation.independent_classifier import independent_classifier
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.inception import divergences, inception_score
from napari_ic_train.evaluation.passes import codes

COLLECTIONS = ("data", "encoded-decoded", "generated")

Probabilities = NDArray[np.float64]


class IndependentScores:
    """Labels and inception scores of held-out, encoded-decoded and generated cells by a separate classifier."""

    name = "independent-classifier"
    title = "Scores by an independent classifier"
    section = ""

    def needs(self, context: Context) -> str | None:
        """Training cells to fit the classifier to, and held-out cells."""
        if len(context.cells["train"]) < 2:
            return "The store has too few training cells to fit a classifier to."
        return None if len(context.cells["test"]) else "The store has no held-out cells."

    def run(self, context: Context) -> Findings:
        """Fit the classifier, and let both judge the same images."""
        judge, labels = independent_classifier(context), context.labels("test")
        observed = [
            judge.classify(images) for _, images in context.batches("test", "classifying held-out cells")
        ]
        found: dict[tuple[str, str], Probabilities] = {}

        def both(images: NDArray[np.float32]) -> NDArray[np.floating]:
            own = context.model.classify(images, batch_size=context.batch_size)
            return np.stack([judge.classify(images), own], 1)

        for collection, p in (
            ("data", np.stack([np.concatenate(observed), codes(context, "test").y], 1)),
            ("encoded-decoded", decoded_labels(context, "test", None, both)),
            ("generated", generated_labels(context, "test", None, both)),
        ):
            for i, who in enumerate(("independent", "own encoder")):
                found[collection, who] = p[:, i].astype(np.float64)
        truth = labels[:, None]
        right = {key: (p.argmax(1)[:, None] == truth)[:, 0] for key, p in found.items()}
        spread = {key: divergences(p) for key, p in found.items()}
        recalls: list[list[Value]] = []
        scores: list[list[Value]] = []
        for label in np.unique(labels):
            mine, name = labels == label, label_of(context.structures[label])
            recalls.append([name, int(mine.sum()), *(float(r[mine].mean()) for r in right.values())])
            scores.append([name, int(mine.sum()), *(float(np.exp(d[mine].mean())) for d in spread.values())])
        recalls.append(["all", len(labels), *(float(r.mean()) for r in right.values())])
        scores.append(["all", len(labels), *(inception_score(p) for p in found.values())])
        columns = ("structure", "cells", *(f"{collection}, {who}" for collection, who in found))
        mine = {collection: (collection, "independent") for collection in COLLECTIONS}

        def ratio(values: NDArray[np.float64]) -> float:
            return float(np.exp(values.mean()))

        return Findings(
            headline={
                "label accuracy of the independent classifier, held-out data": bootstrap(
                    right[mine["data"]].astype(float), seed=context.seed
                ),
                "generated cells that the independent classifier labels as asked for": bootstrap(
                    right[mine["generated"]].astype(float), seed=context.seed
                ),
                "inception score by the independent classifier, generated": bootstrap(
                    spread[mine["generated"]], ratio, seed=context.seed
                ),
                "inception score by the independent classifier, generated over held-out data": bootstrap(
                    spread[mine["generated"]] - spread[mine["data"]], ratio, seed=context.seed
                ),
            },
            tables=(
                Table("Share of cells labelled right", columns, recalls),
                Table(
                    "Inception scores",
                    columns,
                    scores,
                    "A structure's row takes the marginal p(y) of all cells, as in Table S10.",
                ),
            ),
            notes="The independent classifier is a small 3D network fitted to observed training cells alone; the own "
            "encoder is the model's Enc^{r,s}, which the decoder was trained against. Where the two disagree on "
            "generated cells, the decoder pleases its encoder rather than showing the structure. Generated cells have "
            "z^r, z^s ~ N(0, I) and the held-out cells' structures. The right label of a generated cell is the one it "
            "was asked to show.",
        )
