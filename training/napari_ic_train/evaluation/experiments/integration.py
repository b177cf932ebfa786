"""Section 3.4.3, Figures 3 and S5: the most probable localisation of each structure in given shapes."""

from __future__ import annotations

import numpy as np

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.drawing import cell_tile, sheet
from napari_ic_train.evaluation.experiment import Context, Experiment, Split
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_ic_train.evaluation.model_outputs import balanced, codes
from napari_integrated_cell.arrays import Doubles, Indices

SHAPES = 5
"""Number of shapes in the figures, as in the paper's Figure 3."""


class MostProbableLocalisation(Experiment):
    """Integrated cells by Algorithm 3 beside observed cells, and the correlation of predicted with observed."""

    name = "integration"
    title = "Integrated cells"
    section = "3.4.3, Figures 3 and S5"
    least_either = 1

    def run(self, context: Context) -> Findings:
        """Draw the figures, then predict the structure of each selected held-out cell from its shape."""
        split: Split = "test" if len(context.cells["test"]) else "train"
        figures = self._sheets(context, split)
        correlation, labels = predicted(context, split), context.labels(split)
        rows: list[list[Value]] = []
        for name, mine in context.by_structure(labels):
            quartiles = np.quantile(correlation[mine], (0.25, 0.5, 0.75))
            rows.append([name, int(mine.sum()), *(float(q) for q in quartiles)])

        def weakest(chosen: Indices) -> float:
            present = labels[chosen]
            return min(float(np.median(correlation[chosen[present == one]])) for one in np.unique(present))

        side = "held out" if split == "test" else "training cells"
        return Findings(
            headline={
                f"predicted against observed structure, mean Pearson, {side}": context.interval(correlation),
                f"predicted against observed structure, median of the weakest structure, {side}": context.interval(
                    np.arange(len(labels)), weakest
                ),
            },
            tables=(
                Table(
                    "Most probable against observed structure",
                    ("structure", "cells", "Pearson, lower quartile", "median", "upper quartile"),
                    rows,
                    "Over all voxels of the box. A prediction shows what cells of this shape have in common. An "
                    "observed cell is one of many possible cells, so the correlation is low for structures that vary "
                    "much.",
                ),
            ),
            figures=figures,
            notes="Structures are predicted from membrane and DNA only: z^r = Enc^r(x^r), then "
            "Dec^{r,s}(z^r, y, argmax p(z^s)). The last column is another cell, in which the structure was observed.",
        )

    def _sheets(self, context: Context, split: Split) -> tuple[Figure, ...]:
        positions, labels = context.cells[split], context.labels(split)
        chosen = balanced(context, split, SHAPES)
        references = context.images(positions[chosen])[:, :-1]
        volumes = context.model.integrate(
            references, batch_size=context.batch_size, cancel=context.cancel, progress=context.progress
        )
        names = [name for i, name in enumerate(context.structures) if (labels == i).any()]
        examples = {}
        for name in names:
            mine = np.flatnonzero(labels == context.structures.index(name))
            others = mine[~np.isin(mine, chosen)]
            examples[name] = context.images(positions[(others if len(others) else mine)[:SHAPES]])
        columns = [*(f"shape {i + 1}" for i in range(len(chosen))), "observed"]
        simulated = context.store.simulated

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
            return sheet(names, columns, tiles, "Most probable localisation", simulated=simulated)

        shown = min(len(e) for e in examples.values())
        observed = [[cell_tile(x, name, references=False) for x in examples[name][:shown]] for name in names]
        return (
            Figure("Most probable localisation (Figure 3)", predictions(True)),
            Figure("Structure channels alone (Figure S5b)", predictions(False)),
            Figure(
                "Observed structure channels (Figure S5a)",
                sheet(names, [""] * shown, observed, "Observed", simulated=simulated),
            ),
        )


def predicted(context: Context, split: Split) -> Doubles:
    """Return the Pearson correlation of each cell's structure with its most probable localisation, (n,)."""
    z_ref, labels = codes(context, split).z_ref, context.labels(split)
    found = np.empty(len(labels))
    for part, images in context.batches(split, "predicting structures from shapes"):
        for label in np.unique(labels[part]):
            name = context.structures[label]
            mine = np.flatnonzero(labels[part] == label)
            volumes = context.model.decode_structures(z_ref[part][mine], name)[name]
            found[part.start + mine] = [pearson(images[i, -1], v) for i, v in zip(mine, volumes, strict=True)]
    return found
