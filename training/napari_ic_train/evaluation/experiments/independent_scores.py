"""Score images with a classifier that is not part of the model, beside the model's own encoder."""

from __future__ import annotations

import numpy as np

from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.experiments.inception import decoded_labels, generated_labels
from napari_ic_train.evaluation.findings import Findings, Table, Value
from napari_ic_train.evaluation.independent_classifier import independent_classifier
from napari_ic_train.evaluation.metrics.inception import divergences, inception_score
from napari_ic_train.evaluation.model_outputs import codes, decoded_in_words
from napari_integrated_cell.arrays import Doubles, Floats, Reals


class IndependentScores(Experiment):
    """Labels and inception scores of held-out, encoded-decoded and generated cells by a separate classifier."""

    name = "independent-classifier"
    title = "Scores by an independent classifier"
    least_train = 2
    least_test = 1
    settings = ("decoded_at",)

    def run(self, context: Context) -> Findings:
        """Fit the classifier, and classify the same images with both networks."""
        classifier, labels = independent_classifier(context), context.labels("test")
        observed = [
            classifier.classify(images) for _, images in context.batches("test", "classifying held-out cells")
        ]
        found: dict[tuple[str, str], Doubles] = {}

        def both(images: Floats) -> Reals:
            own = context.model.classify(images, batch_size=context.batch_size)
            return np.stack([classifier.classify(images), own], 1)

        for collection, p in (
            ("data", np.stack([np.concatenate(observed), codes(context, "test").y], 1)),
            ("encoded-decoded", decoded_labels(context, "test", None, both)),
            ("generated", generated_labels(context, "test", None, both)),
        ):
            for i, who in enumerate(("independent", "own encoder")):
                found[collection, who] = p[:, i].astype(np.float64)
        correct = {key: (p.argmax(1) == labels).astype(float) for key, p in found.items()}
        divergence = {key: divergences(p) for key, p in found.items()}
        recalls: list[list[Value]] = []
        scores: list[list[Value]] = []
        for name, mine in context.by_structure(labels):
            recalls.append([name, int(mine.sum()), *(float(r[mine].mean()) for r in correct.values())])
            scores.append(
                [name, int(mine.sum()), *(float(np.exp(d[mine].mean())) for d in divergence.values())]
            )
        recalls.append(["all", len(labels), *(float(r.mean()) for r in correct.values())])
        scores.append(["all", len(labels), *(inception_score(p) for p in found.values())])
        columns = ("structure", "cells", *(f"{collection}, {who}" for collection, who in found))
        data, drawn = ("data", "independent"), ("generated", "independent")

        def score(values: Doubles) -> float:
            return float(np.exp(values.mean()))

        return Findings(
            headline={
                "label accuracy of the independent classifier, held-out data": context.interval(
                    correct[data]
                ),
                "generated cells that the independent classifier labels as asked for": context.interval(
                    correct[drawn]
                ),
                "inception score by the independent classifier, generated": context.interval(
                    divergence[drawn], score
                ),
                "inception score by the independent classifier, generated over held-out data": context.interval(
                    divergence[drawn] - divergence[data], score
                ),
            },
            tables=(
                Table("Share of cells labelled right", columns, recalls),
                Table(
                    "Inception scores",
                    columns,
                    scores,
                    "The row of a structure uses the marginal p(y) of all cells, as in Table S10.",
                ),
            ),
            notes="The independent classifier is a small 3D network, fitted to observed training cells only. The own "
            "encoder is the model's Enc^{r,s}; the decoder was trained with it. If the encoder gives the correct label "
            "to generated cells and the independent classifier does not, the decoder misleads its encoder and does not "
            "show the structure. Generated cells have z^r, z^s ~ N(0, I) and the structures of the held-out cells. The "
            "correct label of a generated cell is the structure that it was generated for. Encoded "
            f"cells are {decoded_in_words(context)}.",
        )
