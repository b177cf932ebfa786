"""Section 3.4.2, Figures S1 and S2: compare images with their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.drawing import cell_tile, sheet
from napari_ic_train.evaluation.experiment import SPLIT_LABELS, SPLITS, Context, Experiment, Split
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_ic_train.evaluation.metrics.images import binary_cross_entropy, ssim
from napari_ic_train.evaluation.model_outputs import balanced, decoded, decoded_in_words
from napari_integrated_cell.arrays import Doubles, Floats, Indices, Rgb
from napari_integrated_cell.vocabulary import label_of

MOST = 220
"""Maximum number of training cells, and of held-out cells: SSIM in 3D is slow."""
SHOWN = 6
MEASURES = ("binary cross-entropy", "Pearson", "SSIM (3D)")
COLUMNS = ("cells", *MEASURES, "Pearson, 5 % of cells below")
REFERENCE, STRUCTURE = "reference model", "structure model"
FIGURES = {REFERENCE: "Reference model (Figure S1)", STRUCTURE: "Structure model (Figure S2)"}


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """Training cells or held-out cells, measured after reconstruction.

    Attributes
    ----------
    model : str
        The reference model or the structure model.
    values : array (n, C, 3)
        :data:`MEASURES` of each cell and channel.
    labels : array (n,)
        Structure of each cell.
    pairs : list of (input, reconstruction)
        Pictures of some cells.
    """

    model: str
    split: Split
    channels: tuple[str, ...]
    values: Doubles
    labels: Indices
    pairs: list[tuple[Rgb, Rgb]]


class Reconstruction(Experiment):
    """Inputs above reconstructions of both autoencoders, and their similarity in each channel."""

    name = "reconstruction"
    title = "Reconstructions"
    section = "3.4.2, Figures S1 and S2"
    least_either = 1
    settings = ("decoded_at",)

    def run(self, context: Context) -> Findings:
        """Reconstruct training cells and held-out cells with both autoencoders."""
        splits = [split for split in SPLITS if len(context.cells[split])]
        found = {model: [_reconstructed(context, split, model) for split in splits] for model in FIGURES}
        every = [one for of_model in found.values() for one in of_model]
        return Findings(
            headline={
                f"{one.model}: Pearson of {name}, held out": context.interval(one.values[:, channel, 1])
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
                    "Each cell is measured over all voxels of the box. The table shows means over cells.",
                ),
                Table(
                    "Structure channel by structure",
                    ("structure", "split", *COLUMNS),
                    [
                        [label_of(name), one.split, *_summary(one.values[one.labels == label, -1])]
                        for one in found[STRUCTURE]
                        for label, name in enumerate(context.structures)
                        if (one.labels == label).any()
                    ],
                ),
            ),
            figures=tuple(
                Figure(title, _sheet(found[model], model, context.store.simulated))
                for model, title in FIGURES.items()
            ),
            notes=f"At most {MOST} training cells and {MOST} held-out cells, with equal numbers for each structure. "
            "The reference model is Dec^r(Enc^r(x^r)). The structure model is Dec^{r,s}(Enc^{r,s}(x^{r,s})): "
            f"its codes are {decoded_in_words(context)}.",
        )


def measures(observed: Floats, images: Floats) -> Doubles:
    """Return cross-entropy, Pearson correlation and structural similarity of each cell and channel, (n, C, 3)."""
    found = np.empty((*observed.shape[:2], len(MEASURES)))
    for i, (x, x_hat) in enumerate(zip(observed, images, strict=True)):
        for c in range(len(x)):
            found[i, c] = binary_cross_entropy(x[c], x_hat[c]), pearson(x[c], x_hat[c]), ssim(x[c], x_hat[c])
    return found


def _reconstructed(context: Context, split: Split, model: str) -> Reconstructed:
    labels, shown = context.labels(split), balanced(context, split, SHOWN)
    last = () if model == REFERENCE else ("structure",)
    which, values, pairs = [], [], []
    for indices, observed, images in decoded(context, split, MOST, references_only=not last):
        which.append(indices)
        values.append(measures(observed, images))
        for i in np.flatnonzero(np.isin(indices, shown)):
            name = context.structures[labels[indices[i]]] if last else ""
            pairs.append((cell_tile(observed[i], name), cell_tile(images[i], name)))
    channels = (*context.model.config.references, *last)
    return Reconstructed(model, split, channels, np.concatenate(values), labels[np.concatenate(which)], pairs)


def _summary(values: Doubles) -> list[Value]:
    return [len(values), *(float(v) for v in values.mean(0)), float(np.quantile(values[:, 1], 0.05))]


def _sheet(found: Sequence[Reconstructed], model: str, simulated: bool) -> bytes:
    """Draw inputs above their reconstructions."""
    rows = [row for one in found for row in (f"{SPLIT_LABELS[one.split]} cells", "  decoded")]
    tiles = [[pair[i] for pair in one.pairs] for one in found for i in (0, 1)]
    title = f"Inputs over reconstructions, {model}"
    return sheet(rows, [""] * max(map(len, tiles)), tiles, title, simulated=simulated)
