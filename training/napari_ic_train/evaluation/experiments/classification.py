"""Section 3.4.1, Table S11: which structure Enc^{r,s} takes held-out cells to show, and how sure it may be."""

from __future__ import annotations

import numpy as np

from napari_ic_train.evaluation.drawing import COLOURS, label_of, panels, svg
from napari_ic_train.evaluation.experiment import Context, Figure, Findings, Table, Value
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.calibration import calibration
from napari_ic_train.evaluation.metrics.confusion import confusion_matrix, macro_recall
from napari_ic_train.evaluation.passes import codes

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
"""Of the diagonal of Table S11 and the test cells of Table S9."""

PAPER = "In the paper 2,140 of 2,212 held-out cells, 96.75 %, and a macro recall of 90.2 %."


class Classification:
    """The confusion matrix of held-out cells, accuracy, macro recall and calibration."""

    name = "classification"
    title = "Labels of held-out cells"
    section = "3.4.1, Table S11"

    def needs(self, context: Context) -> str | None:
        """Held-out cells."""
        return None if len(context.cells["test"]) else "The store has no held-out cells."

    def run(self, context: Context) -> Findings:
        """Classify every chosen held-out cell."""
        p, truth = codes(context, "test").y, context.labels("test")
        k = len(context.structures)
        predicted = p.argmax(1)
        matrix = confusion_matrix(truth, predicted, k)
        reliability = calibration(p, truth)
        pairs = np.stack([truth, predicted], 1)

        def accuracy(sample: np.ndarray) -> float:
            return float((sample[:, 0] == sample[:, 1]).mean())

        def recall(sample: np.ndarray) -> float:
            return macro_recall(confusion_matrix(sample[:, 0], sample[:, 1], k))

        labels = [label_of(name) for name in context.structures]
        confusion: list[list[Value]] = [
            [label, *(int(v) for v in row)] for label, row in zip(labels, matrix, strict=True)
        ]
        present, chosen = matrix.sum(1), matrix.sum(0)
        by_structure: list[list[Value]] = [
            [
                label,
                int(present[i]),
                float(matrix[i, i] / present[i]) if present[i] else None,
                float(matrix[i, i] / chosen[i]) if chosen[i] else None,
                float(p[truth == i, i].mean()) if present[i] else None,
                PAPER_RECALL.get(context.structures[i]),
            ]
            for i, label in enumerate(labels)
        ]
        return Findings(
            headline={
                "label accuracy, held out": bootstrap(pairs, accuracy, seed=context.seed),
                "macro recall, held out": bootstrap(pairs, recall, seed=context.seed),
                "expected calibration error": bootstrap(
                    np.arange(len(truth)),
                    lambda chosen: calibration(p[chosen], truth[chosen]).error,
                    seed=context.seed,
                ),
            },
            tables=(
                Table("Confusion matrix", ("observed \\ predicted", *labels), confusion),
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
                Figure("Confusion matrix", _heat(matrix, labels), "Shares of each row."),
                Figure(
                    "Reliability",
                    _reliable(reliability),
                    "How often the encoder is right, by how sure it is; on the diagonal it is as sure as it may be.",
                ),
            ),
            notes=f"{int(np.trace(matrix))} of {len(truth)} held-out cells are labelled right by ŷ of Enc^{{r,s}}. "
            + PAPER,
        )


def _heat(matrix: np.ndarray, labels: list[str]) -> bytes:
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, (ax,) = panels(6.2, 5.4)
    ax.imshow(share, cmap="viridis", vmin=0, vmax=1)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        colour = "#111111" if share[i, j] > 0.6 else "#eeeeee"
        ax.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=8)
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.set_xlabel("predicted")
    ax.set_ylabel("observed")
    return svg(figure)


def _reliable(found: object) -> bytes:
    figure, (ax,) = panels(4.2, 3.8)
    confidence, right, counts = (np.asarray(getattr(found, n)) for n in ("confidence", "accuracy", "counts"))
    there = counts > 0
    ax.plot([0, 1], [0, 1], color="#888888", lw=1, ls=":")
    ax.scatter(
        confidence[there],
        right[there],
        s=12 + 200 * counts[there] / counts.sum(),
        color=COLOURS["test"],
        alpha=0.8,
        clip_on=False,
    )
    ax.plot(confidence[there], right[there], color=COLOURS["test"], lw=1)
    ax.set(
        xlabel="probability of the label chosen",
        ylabel="share of cells labelled right",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    return svg(figure)
