"""Section 3.4.2, Figures S1 and S2: what comes back of an image that was encoded and decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.drawing import cell_tile, label_of, sheet
from napari_ic_train.evaluation.experiment import (
    SPLITS,
    Context,
    Figure,
    Findings,
    Indices,
    Split,
    Table,
    Value,
)
from napari_ic_train.evaluation.localisation import pearson
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.images import binary_cross_entropy, ssim
from napari_ic_train.evaluation.passes import decoded, spread
from napari_integrated_cell.picture import Rgb

MOST = 220
"""Cells of each side at most: a structural similarity in 3D takes a while."""
SHOWN = 6
MEASURES = ("binary cross-entropy", "Pearson", "SSIM (3D)")
COLUMNS = ("cells", *MEASURES, "Pearson, 5 % of cells below")
REFERENCE, STRUCTURE = "reference model", "structure model"
FIGURES = {REFERENCE: "Reference model (Figure S1)", STRUCTURE: "Structure model (Figure S2)"}
SIDES = {"train": "training", "test": "held-out"}

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Passed:
    """Cells of a side that went through one of the autoencoders.

    Attributes
    ----------
    model : str
        Which of the two.
    split : str
    channels : tuple of str
    values : array (n, C, 3)
        The :data:`MEASURES` of each cell and channel.
    labels : array (n,)
        Each cell's structure.
    pairs : list of (input, reconstruction)
        Pictures of some of them.
    """

    model: str
    split: Split
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    labels: Indices
    pairs: list[tuple[Rgb, Rgb]]


class Reconstruction:
    """Inputs over reconstructions of both autoencoders, and how far they lie apart, channel by channel."""

    name = "reconstruction"
    title = "Reconstructions"
    section = "3.4.2, Figures S1 and S2"

    def needs(self, context: Context) -> str | None:
        """Cells."""
        return None if any(len(context.cells[s]) for s in SPLITS) else "The store has no cells."

    def run(self, context: Context) -> Findings:
        """Reconstruct cells of both sides with both autoencoders."""
        sides = [split for split in SPLITS if len(context.cells[split])]
        passed = {model: [_passed(context, split, model) for split in sides] for model in FIGURES}
        every = [one for of_model in passed.values() for one in of_model]
        return Findings(
            headline={
                f"{one.model}: Pearson of {name}, held out": bootstrap(
                    one.values[:, channel, 1], _mean, seed=context.seed
                )
                for one in every
                if one.split == "test"
                for channel, name in enumerate(one.channels)
            },
            tables=(
                Table(
                    "By channel",
                    ("model", "split", "channel", *COLUMNS),
                    [
                        [one.model, one.split, name, *_summary(one.values[:, channel])]
                        for one in every
                        for channel, name in enumerate(one.channels)
                    ],
                    "Means over cells of measures over all voxels of the box.",
                ),
                Table(
                    "Structure channel by structure",
                    ("structure", "split", *COLUMNS),
                    [
                        [label_of(name), one.split, *_summary(one.values[one.labels == label, -1])]
                        for one in passed[STRUCTURE]
                        for label, name in enumerate(context.structures)
                        if (one.labels == label).any()
                    ],
                ),
            ),
            figures=tuple(
                Figure(title, _sheet(passed[model], model, context.store.simulated))
                for model, title in FIGURES.items()
            ),
            notes=f"At most {MOST} cells of each side, in equal numbers a structure. The reference model is "
            "Dec^r(Enc^r(x^r)), the structure model Dec^{r,s}(Enc^{r,s}(x^{r,s})) with ŷ as probabilities.",
        )


def measures(observed: Floats, images: Floats) -> NDArray[np.float64]:
    """Cross-entropy, Pearson's correlation and structural similarity of each cell and channel, (n, C, 3)."""
    found = np.empty((*observed.shape[:2], len(MEASURES)))
    for i, (x, x_hat) in enumerate(zip(observed, images, strict=True)):
        for c in range(len(x)):
            found[i, c] = binary_cross_entropy(x[c], x_hat[c]), pearson(x[c], x_hat[c]), ssim(x[c], x_hat[c])
    return found


def references_decoded(
    context: Context, split: Split, most: int | None
) -> Iterator[tuple[Indices, Floats, Floats]]:
    """As :func:`~napari_ic_train.evaluation.passes.decoded`, of the reference model: Dec^r(Enc^r(x^r))."""
    wanted = spread(context, split, most)
    for start in range(0, len(wanted), context.batch_size):
        context.cancel.raise_if_cancelled()
        which = wanted[start : start + context.batch_size]
        x = context.images(context.cells[split][which])[:, :-1]
        yield which, x, context.model.reconstruct(x, batch_size=context.batch_size)
        context.progress(start + len(which), len(wanted), f"reconstructing shapes of {SIDES[split]} cells")


def _passed(context: Context, split: Split, model: str) -> Passed:
    labels, shown = context.labels(split), spread(context, split, SHOWN)
    way = references_decoded if model == REFERENCE else decoded
    last = () if model == REFERENCE else ("structure",)
    which, values, pairs = [], [], []
    for indices, observed, images in way(context, split, MOST):
        which.append(indices)
        values.append(measures(observed, images))
        for i in np.flatnonzero(np.isin(indices, shown)):
            name = context.structures[labels[indices[i]]] if last else ""
            pairs.append((cell_tile(observed[i], name), cell_tile(images[i], name)))
    channels = (*context.model.config.references, *last)
    return Passed(model, split, channels, np.concatenate(values), labels[np.concatenate(which)], pairs)


def _summary(values: NDArray[np.float64]) -> list[Value]:
    return [len(values), *(float(v) for v in values.mean(0)), float(np.quantile(values[:, 1], 0.05))]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _sheet(passed: Sequence[Passed], model: str, simulated: bool) -> bytes:
    """Inputs over reconstructions, side by side of the split one under the other."""
    rows = [row for one in passed for row in (f"{SIDES[one.split]} cells", "  decoded")]
    tiles = [[pair[i] for pair in one.pairs] for one in passed for i in (0, 1)]
    title = f"Inputs over reconstructions, {model}" + (" (simulated cells)" if simulated else "")
    return sheet(rows, [""] * max(map(len, tiles)), tiles, title)
