"""Section 3.4.1, Table S11: accuracy and calibration of the labels that Enc^{r,s} gives to held-out cells."""

from __future__ import annotations

import numpy as np

from napari_ic_train.evaluation.drawing import COLOURS, panels, svg
from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_ic_train.evaluation.metrics.calibration import Calibration, calibration
from napari_ic_train.evaluation.metrics.confusion import confusion_matrix, macro_recall
from napari_ic_train.evaluation.model_outputs import codes
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.vocabulary import label_of

PAPER_RECALL = {
    "alpha-actinin": 36 / 47,
    "alpha-tubulin": 330 / 345,
    "beta-actin": 160 / 174,
    "desmoplakin": 229 / 236,
    "fibrillarin": 104 / 104,
    "lamin-B1": 434 / 437,
    "myosin-IIB": 7 / 19,
    "ST6GAL1": 156 / 162,
    "Sec61-beta": 218 / 221,
    "TOM20": 449 / 450,
    "ZO1": 17 / 17,
}
"""From the diagonal of Table S11 and the test cells of Table S9."""

PAPER = "In the paper it is 2,140 of 2,212 held-out cells (96.75 %), with a macro recall of 90.2 %."


class Classification(Experiment):
    """Confusion matrix, accuracy, macro recall and calibration on held-out cells."""

    name = "classification"
    title = "Labels of held-out cells"
    section = "3.4.1, Table S11"
    least_test = 1

    def run(self, context: Context) -> Findings:
        """Classify every selected held-out cell."""
        p, truth = codes(context, "test").y, context.labels("test")
        k = len(context.structures)
        predicted = p.argmax(1)
        matrix = confusion_matrix(truth, predicted, k)
        reliability = calibration(p, truth)
        pairs = np.stack([truth, predicted], 1)

        def accuracy(sample: Indices) -> float:
            return float((sample[:, 0] == sample[:, 1]).mean())

        def recall(sample: Indices) -> float:
            return macro_recall(confusion_matrix(sample[:, 0], sample[:, 1], k))

        labels = [label_of(name) for name in context.structures]
        present, assigned = matrix.sum(1), matrix.sum(0)
        by_structure: list[list[Value]] = [
            [
                label,
                int(present[i]),
                float(matrix[i, i] / present[i]) if present[i] else None,
                float(matrix[i, i] / assigned[i]) if assigned[i] else None,
                float(p[truth == i, i].mean()) if present[i] else None,
                PAPER_RECALL.get(context.structures[i]),
            ]
            for i, label in enumerate(labels)
        ]
        return Findings(
            headline={
                "label accuracy, held out": context.interval(pairs, accuracy),
                "macro recall, held out": context.interval(pairs, recall),
                "expected calibration error": context.interval(
                    np.arange(len(truth)), lambda chosen: calibration(p[chosen], truth[chosen]).error
                ),
            },
            tables=(
                context.confusion_table("Confusion matrix", "observed \\ predicted", matrix),
                Table(
                    "By structure",
                    (
                        "structure",
                        "cells",
                        "recall",
                        "precision",
                        "mean probability of the truth",
                        "recall in the paper (real cells)",
                    ),
                    by_structure,
                ),
            ),
            figures=(
                Figure("Confusion matrix", _heat_map(matrix, labels), "Colours show shares of each row."),
                Figure(
                    "Reliability",
                    _reliability_diagram(reliability),
                    "Accuracy of the encoder by its confidence. A calibrated encoder lies on the diagonal.",
                ),
            ),
            notes=f"{int(np.trace(matrix))} of {len(truth)} held-out cells get the correct label by ŷ of "
            "Enc^{r,s}. " + PAPER,
        )


def _heat_map(matrix: Indices, labels: list[str]) -> bytes:
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, (ax,) = panels(6.2, 5.4)
    ax.imshow(share, cmap="viridis", vmin=0, vmax=1)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        colour = "#111111" if share[i, j] > 0.6 else "#eeeeee"
        ax.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=8)
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.set(xlabel="predicted", ylabel="observed")
    return svg(figure)


def _reliability_diagram(found: Calibration) -> bytes:
    figure, (ax,) = panels(4.2, 3.8)
    filled = found.counts > 0
    confidence, accuracy, counts = (a[filled] for a in (found.confidence, found.accuracy, found.counts))
    ax.plot([0, 1], [0, 1], color="#888888", lw=1, ls=":")
    sizes = 12 + 200 * counts / counts.sum()
    ax.scatter(confidence, accuracy, s=sizes, color=COLOURS["test"], alpha=0.8, clip_on=False)
    ax.plot(confidence, accuracy, color=COLOURS["test"], lw=1)
    ax.set(xlabel="probability of the predicted label", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    return svg(figure)
