"""Section 3.4.3, Figures 3 and S5: the most probable localisation of every structure in given shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.drawing import cell_tile, label_of, sheet
from napari_ic_train.evaluation.experiment import SPLITS, Context, Figure, Findings, Split, Table, Value
from napari_ic_train.evaluation.localisation import pearson
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.passes import codes, spread

SHAPES = 5
"""Columns of predictions in the paper's Figure 3."""

Floats = NDArray[np.float32]


class Integration:
    """Integrated cells by Algorithm 3, beside observed ones; and how much of the observed is so predicted."""

    name = "integration"
    title = "Integrated cells"
    section = "3.4.3, Figures 3 and S5"

    def needs(self, context: Context) -> str | None:
        """Cells."""
        return None if any(len(context.cells[s]) for s in SPLITS) else "The store has no cells."

    def run(self, context: Context) -> Findings:
        """Draw the sheets, then predict each chosen held-out cell's own structure from its shape."""
        split: Split = "test" if len(context.cells["test"]) else "train"
        figures = self._sheets(context, split)
        correlation, labels = predicted(context, split), context.labels(split)
        rows: list[list[Value]] = []
        for i, name in enumerate(context.structures):
            mine = correlation[labels == i]
            if len(mine):
                low, middle, high = (float(q) for q in np.quantile(mine, (0.25, 0.5, 0.75)))
                rows.append([label_of(name), len(mine), low, middle, high])

        def weakest(chosen: NDArray[np.int64]) -> float:
            of = labels[chosen]
            return min(float(np.median(correlation[chosen[of == label]])) for label in np.unique(of))

        side = "held out" if split == "test" else "training cells"
        return Findings(
            headline={
                f"predicted against observed structure, mean Pearson, {side}": bootstrap(
                    correlation, lambda values: float(values.mean()), seed=context.seed
                ),
                f"predicted against observed structure, median of the weakest structure, {side}": bootstrap(
                    np.arange(len(labels)), weakest, seed=context.seed
                ),
            },
            tables=(
                Table(
                    "Most probable against observed structure",
                    ("structure", "cells", "Pearson, lower quartile", "median", "upper quartile"),
                    rows,
                    "Over all voxels of the box. A prediction shows what cells of that shape have in common, an "
                    "observed cell one way of many: what varies freely cannot correlate highly.",
                ),
            ),
            figures=figures,
            notes="Structures are decoded from a cell's membrane and DNA alone: z^r = Enc^r(x^r), then "
            "Dec^{r,s}(z^r, y, argmax p(z^s)). The last column is another cell, observed with that structure.",
        )

    def _sheets(self, context: Context, split: Split) -> tuple[Figure, ...]:
        positions, labels = context.cells[split], context.labels(split)
        chosen = spread(context, split, SHAPES)
        references = context.images(positions[chosen])[:, :-1]
        volumes = context.model.integrate(
            references,
            batch_size=context.batch_size,
            cancel=context.cancel,
            progress=context.progress,
        )
        names = [name for i, name in enumerate(context.structures) if (labels == i).any()]
        examples = {}
        for name in names:
            own = np.flatnonzero(labels == context.structures.index(name))
            apart = own[~np.isin(own, chosen)]
            examples[name] = context.images(positions[(apart if len(apart) else own)[:SHAPES]])
        columns = [*(f"shape {i + 1}" for i in range(len(chosen))), "observed"]
        of = " (simulated cells)" if context.store.simulated else ""

        def predictions(behind: bool) -> bytes:
            tiles = [
                [
                    *(
                        cell_tile(np.concatenate([x, volume[None]]), name, references=behind)
                        for x, volume in zip(references, volumes[name], strict=True)
                    ),
                    cell_tile(examples[name][0], name, references=behind),
                ]
                for name in names
            ]
            return sheet(names, columns, tiles, "Most probable localisation" + of)

        shown = min(len(e) for e in examples.values())
        observed = [[cell_tile(x, name, references=False) for x in examples[name][:shown]] for name in names]
        return (
            Figure("Most probable localisation (Figure 3)", predictions(True)),
            Figure("Structure channels alone (Figure S5b)", predictions(False)),
            Figure(
                "Observed structure channels (Figure S5a)",
                sheet(names, [""] * shown, observed, "Observed" + of),
            ),
        )


def predicted(context: Context, split: Split) -> NDArray[np.float64]:
    """Pearson's correlation of each chosen cell's structure with its most probable localisation, (n,)."""
    z_ref, labels = codes(context, split).z_ref, context.labels(split)
    found = np.empty(len(labels))
    for part, images in context.batches(split, "predicting structures from shapes"):
        for label in np.unique(labels[part]):
            name = context.structures[label]
            mine = np.flatnonzero(labels[part] == label)
            volumes = context.model.decode_structures(z_ref[part][mine], name)[name]
            found[part.start + mine] = [pearson(images[i, -1], v) for i, v in zip(mine, volumes, strict=True)]
    return found
