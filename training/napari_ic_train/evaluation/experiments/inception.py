"""Section 3.4.4, Table S10: inception scores of observed, encoded-decoded and generated cells (equation 19)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.drawing import label_of
from napari_ic_train.evaluation.experiment import (
    SPLITS,
    Context,
    Findings,
    Indices,
    Interval,
    Split,
    Table,
    Value,
)
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.confusion import confusion_matrix
from napari_ic_train.evaluation.metrics.inception import divergences, inception_score
from napari_ic_train.evaluation.passes import codes, decoded, generated, spread

MOST = 1100
"""Training cells at most, each of which stands for as many as there are; all held-out cells are used."""
IN_SHAPES = "generated in observed shapes"
COLLECTIONS = ("data", "encoded-decoded", "generated", IN_SHAPES)
PAPER_RATIO = 0.96

Probabilities = NDArray[np.float64]
Classify = Callable[[NDArray[np.float32]], NDArray[np.floating]]


class Inception:
    """Inception scores by the model's own encoder, per structure and overall."""

    name = "inception"
    title = "Inception scores"
    section = "3.4.4, Table S10"

    def needs(self, context: Context) -> str | None:
        """Cells."""
        return None if any(len(context.cells[s]) for s in SPLITS) else "The store has no cells."

    def run(self, context: Context) -> Findings:
        """Classify observed, encoded-decoded and generated cells of both sides."""

        def classify(images: NDArray[np.float32]) -> NDArray[np.floating]:
            return context.model.classify(images, batch_size=context.batch_size)

        found: dict[tuple[str, Split], Probabilities] = {}
        labels: dict[Split, Indices] = {}
        weights: dict[Split, NDArray[np.float64]] = {}
        for split in SPLITS:
            if len(context.cells[split]):
                most = MOST if split == "train" else None
                chosen = spread(context, split, most)
                labels[split] = context.labels(split)[chosen]
                weights[split] = stands_for(context, split, labels[split])
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
                    "A structure's row takes the marginal p(y) of all cells, as the paper's. In the paper all test "
                    "cells score 7.876, encoded-decoded 7.823, generated 7.561: 0.96 of the data's.",
                ),
                *_taken_for(context, found, labels),
            ),
            notes="p(y|x) is ŷ of the model's own Enc^{r,s}: a model scores itself, and a decoder that fools its "
            "own encoder scores well. Generated cells have z^r, z^s ~ N(0, I) and the structures of the cells of "
            "that side; in observed shapes only z^s is drawn, and z^r = Enc^r(x^r). At most "
            f"{MOST} training cells, in equal numbers a structure; each counts as many times as makes structures as "
            "frequent as they are on that side of the store.",
        )


def stands_for(context: Context, split: Split, labels: Indices) -> NDArray[np.float64]:
    """How many cells of its structure, on its side of the store, each of some cells stands for, (n,)."""
    there = context.store.table["structure"].to_numpy()[cells_of(context.store, held_out=split == "test")]
    counts = np.array([(there == name).sum() for name in context.structures], np.float64)
    return counts[labels] / np.bincount(labels, minlength=len(counts))[labels]


def decoded_labels(context: Context, split: Split, most: int | None, classify: Classify) -> Probabilities:
    """p(y|x) of the chosen cells' reconstructions, (n, K)."""
    return np.concatenate([classify(images) for _, _, images in decoded(context, split, most)]).astype(float)


def generated_labels(
    context: Context, split: Split, most: int | None, classify: Classify, *, observed_shapes: bool = False
) -> Probabilities:
    """p(y|x) of cells generated in the chosen cells' stead, (n, K)."""
    drawn = generated(context, split, most, observed_shapes=observed_shapes)
    return np.concatenate([classify(images) for _, images in drawn]).astype(float)


def _taken_for(
    context: Context, found: dict[tuple[str, Split], Probabilities], labels: dict[Split, Indices]
) -> list[Table]:
    """Which structure generated cells are taken to show, where it was asked for another."""
    split: Split = "train" if "train" in labels else "test"
    names = [label_of(name) for name in context.structures]
    tables = []
    for collection in ("generated", IN_SHAPES):
        matrix = confusion_matrix(labels[split], found[collection, split].argmax(1), len(names))
        rows: list[list[Value]] = [
            [name, *(int(count) for count in row)] for name, row in zip(names, matrix, strict=True)
        ]
        tables.append(Table(f"{collection.capitalize()}: labels", ("asked for \\ predicted", *names), rows))
    return tables


def _headline(
    found: dict[tuple[str, Split], Probabilities], weights: dict[Split, NDArray[np.float64]], seed: int
) -> dict[str, float | Interval]:
    """With intervals over cells for a p(y) that stays: a sample drawn with repetition lacks structures by chance."""
    if ("data", "test") not in found:
        return {}
    weight = weights["test"]
    data, made, in_shapes = (
        divergences(found[name, "test"], weight) for name in ("data", "generated", IN_SHAPES)
    )

    def score(cells: NDArray[np.float64]) -> float:
        return float(np.exp(np.average(cells[:, 0], weights=cells[:, 1])))

    def over_cells(of_cells: NDArray[np.float64]) -> Interval:
        return bootstrap(np.stack([of_cells, weight], 1), score, seed=seed)

    return {
        "inception score, held-out data": over_cells(data),
        "inception score, generated": over_cells(made),
        f"inception score, generated over held-out data (paper {PAPER_RATIO})": over_cells(made - data),
        "inception score, generated in held-out shapes over held-out data": over_cells(in_shapes - data),
    }
