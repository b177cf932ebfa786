"""Measure whether generated cells are copies of training cells."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from napari_ic_train.evaluation.drawing import cell_tile, sheet
from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.features import coarse
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_ic_train.evaluation.model_outputs import generated
from napari_integrated_cell.arrays import Doubles, Floats, Indices

SHOWN = 6


class Leakage(Experiment):
    """Distances of generated cells and of held-out cells to their nearest training cells."""

    name = "leakage"
    title = "Nearest training cells of generated cells"
    least_train = 2
    least_test = 1

    def run(self, context: Context) -> Findings:
        """Compare generated cells and held-out cells with all training cells."""
        labels = context.labels("test")
        train = _coarse(x for _, x in context.batches("train", "reading training cells"))
        held_out = _coarse(x for _, x in context.batches("test", "reading held-out cells"))
        drawn = _coarse(batch for _, batch in generated(context, "test"))
        of_train = _nearest(train, train, exclude_self=True)[1]
        of_held_out = _nearest(held_out, train)[1]
        nearest, distance = _nearest(drawn, train)
        authentic = distance > of_train[nearest]
        closest = float(np.quantile(of_held_out, 0.05))
        rows: list[list[Value]] = []
        for structure, mine in (*context.by_structure(labels), ("all", np.ones(len(labels), bool))):
            rows.append(
                [
                    structure,
                    int(mine.sum()),
                    float(np.median(distance[mine])),
                    float(np.median(of_held_out[mine])),
                    float((distance[mine] < closest).mean()),
                    float(authentic[mine].mean()),
                ]
            )
        return Findings(
            headline={
                "distance to the nearest training cell, generated over held-out": context.interval(
                    np.stack([distance, of_held_out], 1),
                    lambda pairs: float(np.median(pairs[:, 0]) / np.median(pairs[:, 1])),
                ),
                "generated cells that are authentic": context.interval(authentic.astype(float)),
            },
            tables=(
                Table(
                    "Distances to the nearest training cell",
                    (
                        "structure",
                        "cells",
                        "median, generated",
                        "median, held out",
                        "share nearer than 95 % of held-out cells",
                        "share authentic",
                    ),
                    rows,
                    "The distance is the root mean square difference over coarse voxels and channels. A generated cell "
                    "is authentic if it is farther from its nearest training cell than this cell is from all other "
                    "training cells (Alaa et al. 2022).",
                ),
            ),
            figures=(
                Figure(
                    "Generated cells nearest to a training cell",
                    self._pairs(context, nearest, distance),
                    "The nearest training cell may show another structure.",
                ),
            ),
            notes=f"{len(labels)} generated cells and {len(labels)} held-out cells are compared with {len(train)} "
            "training cells, as block means of all channels. If a model copies its training cells, generated cells are "
            "much nearer to them than held-out cells. Generated cells are smooth and observed cells are noisy, which "
            "also makes generated cells somewhat nearer. This test works only with the store that the model was "
            "trained on.",
        )

    def _pairs(self, context: Context, nearest: Indices, distance: Doubles) -> bytes:
        labels, of_train = context.labels("test"), context.labels("train")
        closest = np.argsort(distance)[:SHOWN]
        # Generate the same cells again: not all of them fit in memory.
        images = {
            int(i): batch[np.flatnonzero(which == i)[0]].copy()
            for which, batch in generated(context, "test")
            for i in np.intersect1d(which, closest)
        }
        tiles, rows = [], []
        for i in closest:
            near = int(nearest[i])
            image = context.images(context.cells["train"][near : near + 1])[0]
            names = (context.structures[labels[i]], context.structures[of_train[near]])
            tiles.append([cell_tile(x, name) for x, name in zip((images[int(i)], image), names, strict=True)])
            rows.append(f"{distance[i]:.3f}")
        columns = ["generated", "nearest training cell"]
        return sheet(rows, columns, tiles, "Nearest pairs", simulated=context.store.simulated)


def _coarse(batches: Iterable[Floats]) -> Floats:
    return np.stack([coarse(image) for batch in batches for image in batch])


def _nearest(cells: Floats, among: Floats, *, exclude_self: bool = False) -> tuple[Indices, Doubles]:
    """Find the nearest of the cells ``among`` (M, D) for each cell (N, D); return its place and distance, (N,) each.

    With ``exclude_self`` both are the same cells, and a cell is not its own neighbour.
    """
    squares = (among**2).sum(1)
    which, distance = np.empty(len(cells), np.int64), np.empty(len(cells))
    for start in range(0, len(cells), 512):
        part = cells[start : start + 512]
        apart = (part**2).sum(1)[:, None] + squares - 2 * part @ among.T
        if exclude_self:
            apart[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        best = apart.argmin(1)
        which[start : start + 512] = best
        # The expanded square above has rounding errors, and the distance of a copy must be 0.
        distance[start : start + 512] = np.sqrt(((part - among[best]).astype(np.float64) ** 2).mean(1))
    return which, distance
