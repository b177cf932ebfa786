"""Section 3.4.4, Table S10: inception scores of observed, encoded-decoded and generated cells (equation 19)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.experiment import SPLITS, Context, Experiment, Split
from napari_ic_train.evaluation.findings import Findings, Interval, Table, Value
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.confusion import confusion_matrix
from napari_ic_train.evaluation.metrics.inception import divergences, inception_score
from napari_ic_train.evaluation.model_outputs import balanced, codes, decoded, decoded_in_words, generated
from napari_integrated_cell.arrays import Doubles, Floats, Indices, Reals
from napari_integrated_cell.vocabulary import label_of

IN_SHAPES = "generated in observed shapes"
COLLECTIONS = ("data", "encoded-decoded", "generated", IN_SHAPES)
PAPER_RATIO = 0.96

Classify = Callable[[Floats], Reals]


class InceptionScores(Experiment):
    """Inception scores by the model's own encoder, for each structure and for all cells."""

    name = "inception"
    title = "Inception scores"
    section = "3.4.4, Table S10"
    least_either = 1
    settings = ("decoded_at", "inception")

    def run(self, context: Context) -> Findings:
        """Classify observed, encoded-decoded and generated cells, for training cells and held-out cells."""

        def classify(images: Floats) -> Reals:
            return context.model.classify(images, batch_size=context.batch_size)

        found: dict[tuple[str, Split], Doubles] = {}
        labels: dict[Split, Indices] = {}
        weights: dict[Split, Doubles] = {}
        for split in SPLITS:
            if len(context.cells[split]):
                most = context.caps.inception if split == "train" else None
                chosen = balanced(context, split, most)
                labels[split] = context.labels(split)[chosen]
                weights[split] = sampling_weights(context, split, labels[split])
                found["data", split] = codes(context, split).y[chosen].astype(np.float64)
                found["encoded-decoded", split] = decoded_labels(context, split, most, classify)
                found["generated", split] = generated_labels(context, split, most, classify)
                found[IN_SHAPES, split] = generated_labels(
                    context, split, most, classify, observed_shapes=True
                )
        columns = [key for collection in COLLECTIONS for key in found if key[0] == collection]
        rows: list[list[Value]] = []
        for i, name in enumerate(context.structures):
            row: list[Value] = [label_of(name)]
            for key in columns:
                mine = labels[key[1]] == i
                of_cells = divergences(found[key], weights[key[1]])
                row.append(float(np.exp(of_cells[mine].mean())) if mine.any() else None)
            rows.append(row)
        rows.append(["all", *(inception_score(found[key], weights[key[1]]) for key in columns)])
        return Findings(
            headline=_headline(found, weights, context.seed),
            tables=(
                Table(
                    "Inception scores",
                    ("structure", *(f"{collection}, {split}" for collection, split in columns)),
                    rows,
                    "The row of a structure uses the marginal p(y) of all cells, as in the paper. In the paper the "
                    "test cells score 7.876, encoded-decoded cells 7.823 and generated cells 7.561 (0.96 of the data).",
                ),
                *_label_tables(context, found, labels),
            ),
            notes="p(y|x) is ŷ of the model's own Enc^{r,s}. The model scores itself, so a decoder that misleads its "
            "own encoder scores well. Generated cells have z^r, z^s ~ N(0, I) and the same structures as the training "
            "cells (train) or held-out cells (test). In observed shapes only z^s is drawn, and z^r = Enc^r(x^r). At "
            f"most {context.caps.inception} training cells are used, with equal numbers for each structure. "
            "Weights restore the "
            f"frequencies of the structures in the store. Encoded cells are {decoded_in_words(context)}.",
        )


def sampling_weights(context: Context, split: Split, labels: Indices) -> Doubles:
    """Return how many cells of the store, of the same structure and split, each selected cell represents, (n,)."""
    names = context.store.table["structure"].to_numpy()
    if not context.pooled:
        names = names[cells_of(context.store, held_out=split == "test")]
    counts = np.array([(names == name).sum() for name in context.structures], np.float64)
    return counts[labels] / np.bincount(labels, minlength=len(counts))[labels]


def decoded_labels(context: Context, split: Split, most: int | None, classify: Classify) -> Doubles:
    """Return p(y|x) of the selected cells' reconstructions, (n, K)."""
    return np.concatenate([classify(images) for _, _, images in decoded(context, split, most)]).astype(float)


def generated_labels(
    context: Context, split: Split, most: int | None, classify: Classify, *, observed_shapes: bool = False
) -> Doubles:
    """Return p(y|x) of one generated cell for each selected cell, (n, K)."""
    drawn = generated(context, split, most, observed_shapes=observed_shapes)
    return np.concatenate([classify(images) for _, images in drawn]).astype(float)


def _label_tables(
    context: Context, found: dict[tuple[str, Split], Doubles], labels: dict[Split, Indices]
) -> list[Table]:
    """Count the predicted labels of generated cells by the structure that they were generated for."""
    split: Split = "train" if "train" in labels else "test"
    tables = []
    for collection in ("generated", IN_SHAPES):
        matrix = confusion_matrix(labels[split], found[collection, split].argmax(1), len(context.structures))
        title = f"{collection.capitalize()}: labels"
        tables.append(context.confusion_table(title, "asked for \\ predicted", matrix))
    return tables


def _headline(
    found: dict[tuple[str, Split], Doubles], weights: dict[Split, Doubles], seed: int
) -> dict[str, float | Interval]:
    """Return the scores of held-out cells. The bootstrap keeps p(y), because a sample can lack rare structures."""
    if ("data", "test") not in found:
        return {}
    weight, names = weights["test"], ("data", "generated", IN_SHAPES)
    data, made, in_shapes = (divergences(found[name, "test"], weight) for name in names)

    def score(cells: Doubles) -> float:
        return float(np.exp(np.average(cells[:, 0], weights=cells[:, 1])))

    def over_cells(of_cells: Doubles) -> Interval:
        return bootstrap(np.stack([of_cells, weight], 1), score, seed=seed)

    return {
        "inception score, held-out data": over_cells(data),
        "inception score, generated": over_cells(made),
        f"inception score, generated over held-out data (paper {PAPER_RATIO})": over_cells(made - data),
        "inception score, generated in held-out shapes over held-out data": over_cells(in_shapes - data),
    }
