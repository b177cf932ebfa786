"""Past the paper: does the model hand out its training cells?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.drawing import cell_tile, label_of, sheet
from napari_ic_train.evaluation.experiment import Context, Figure, Findings, Table, Value
from napari_ic_train.evaluation.features import coarse
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.passes import generated

Floats = NDArray[np.float32]

SHOWN = 6


class Leakage:
    """The nearest training cell of each generated cell, beside that of each held-out cell."""

    name = "leakage"
    title = "Nearest training cells of generated cells"
    section = ""

    def needs(self, context: Context) -> str | None:
        """Held-out cells, and two training cells."""
        if len(context.cells["train"]) < 2:
            return "The store has too few training cells to be handed out."
        return None if len(context.cells["test"]) else "The store has no held-out cells."

    def run(self, context: Context) -> Findings:
        """Compare everyone with all training cells."""
        labels = context.labels("test")
        train = _coarse(x for _, x in context.batches("train", "reading training cells"))
        held_out = _coarse(x for _, x in context.batches("test", "reading held-out cells"))
        made = _coarse(batch for _, batch in generated(context, "test"))
        among = _nearest(train, train, itself=True)[1]
        observed_far = _nearest(held_out, train)[1]
        nearest, far = _nearest(made, train)
        authentic = far > among[nearest]
        closest = float(np.quantile(observed_far, 0.05))
        rows: list[list[Value]] = []
        for label in (*np.unique(labels), None):
            mine = np.ones(len(labels), bool) if label is None else labels == label
            rows.append(
                [
                    "all" if label is None else label_of(context.structures[label]),
                    int(mine.sum()),
                    float(np.median(far[mine])),
                    float(np.median(observed_far[mine])),
                    float((far[mine] < closest).mean()),
                    float(authentic[mine].mean()),
                ]
            )
        return Findings(
            headline={
                "distance to the nearest training cell, generated over held-out": bootstrap(
                    np.stack([far, observed_far], 1),
                    lambda pairs: float(np.median(pairs[:, 0]) / np.median(pairs[:, 1])),
                    seed=context.seed,
                ),
                "generated cells that are authentic": bootstrap(authentic.astype(float), seed=context.seed),
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
                    "Root of the mean square over coarse voxels and channels. A generated cell is authentic if it is "
                    "farther from its nearest training cell than that is from the others (Alaa et al. 2022).",
                ),
            ),
            figures=(
                Figure(
                    "Generated cells nearest to a training cell",
                    self._pairs(context, nearest, far),
                    "The training cell beside each may show another structure.",
                ),
            ),
            notes=f"{len(labels)} generated cells, and the held-out ones, against {len(train)} training cells, as "
            "means of blocks of voxels of all channels. A model that hands out its training cells is far nearer to "
            "them than held-out cells are. Generated cells are smooth, observed ones noisy: some nearness comes of "
            "that alone. It can be seen only in the store that the model was trained on.",
        )

    def _pairs(self, context: Context, nearest: NDArray[np.int64], far: NDArray[np.float64]) -> bytes:
        labels, of_train = context.labels("test"), context.labels("train")
        closest = np.argsort(far)[:SHOWN]
        # Drawn once more, for not all fit in memory: what is drawn in a cell's stead is always the same.
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
            rows.append(f"{far[i]:.3f}")
        of = " (simulated cells)" if context.store.simulated else ""
        return sheet(rows, ["generated", "nearest training cell"], tiles, "Nearest pairs" + of)


def _coarse(batches: Iterable[Floats]) -> Floats:
    return np.stack([coarse(image) for batch in batches for image in batch])


def _nearest(
    cells: Floats, among: Floats, *, itself: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which of ``among`` (M, D) is nearest to each cell (N, D), and how far it is, by the root mean square.

    With ``itself`` both are the same cells, and a cell does not count as its own neighbour.
    """
    squares = (among**2).sum(1)
    which, far = np.empty(len(cells), np.int64), np.empty(len(cells))
    for start in range(0, len(cells), 512):
        part = cells[start : start + 512]
        apart = (part**2).sum(1)[:, None] + squares - 2 * part @ among.T
        if itself:
            apart[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        best = apart.argmin(1)
        which[start : start + 512] = best
        # Again, without the cancellation of the expanded square: a copy must come out at 0.
        far[start : start + 512] = np.sqrt(((part - among[best]).astype(np.float64) ** 2).mean(1))
    return which, far
