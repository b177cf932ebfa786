"""Section 3.4.4, Figure S6: pairwise correlations of observed, decoded and generated cells of a structure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from napari_ic_train.evaluation.drawing import COLOURS, legend_above, name_structures, panels, svg
from napari_ic_train.evaluation.experiment import SPLIT_LABELS, SPLITS, Context, Experiment, Split
from napari_ic_train.evaluation.findings import Figure, Findings, Interval, Table, Value
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.distances import kolmogorov_smirnov, wasserstein
from napari_ic_train.evaluation.model_outputs import balanced, decoded, decoded_in_words, generated
from napari_integrated_cell.arrays import Doubles, Floats, Indices
from napari_integrated_cell.variation.correlation import CorrelationStream
from napari_integrated_cell.vocabulary import label_of

DARK = 1e-6
"""Range of values below which a volume counts as empty: its correlation is not defined."""
COMPARED = (
    ("generated", "test"),
    ("generated", "train"),
    ("decoded train", "train"),
    ("decoded test", "test"),
    ("generated", "decoded test"),
    ("test", "train"),
)
"""Pairs of distributions to compare. The last pair shows how much two samples of the data differ."""
SAMPLES = 200

Matrices = dict[str, Doubles]
"""Correlation matrix ρ (n, n) of the cells of a collection, by structure."""


class Correlations(Experiment):
    """Distributions of Pearson's correlation between structure channels, and distances between distributions."""

    name = "pairwise-correlations"
    title = "Pairwise correlations of structure channels"
    section = "3.4.4, Figure S6"
    least_either = 2
    settings = ("decoded_at", "correlations")

    def run(self, context: Context) -> Findings:
        """Correlate all pairs of cells of each structure, for each collection."""
        matrices: dict[str, Matrices] = {}
        for split in SPLITS:
            if len(context.cells[split]) > 1:
                matrices |= _collections(context, split)
        split = "train" if "train" in matrices else "test"
        labels, drawn = (
            context.labels(split),
            generated(context, split, context.caps.correlations * len(context.structures)),
        )
        matrices["generated"] = _correlated(context, ((labels[which], x[:, -1]) for which, x in drawn))
        found = {
            collection: {name: _pairs(rho, np.arange(len(rho))) for name, rho in of.items()}
            for collection, of in matrices.items()
        }
        medians: list[list[Value]] = [
            [
                label_of(name),
                *(float(np.median(pairs[name])) if name in pairs else None for pairs in found.values()),
                *(len(pairs[name]) if name in pairs else 0 for pairs in found.values()),
            ]
            for name in context.structures
        ]
        distances: list[list[Value]] = []
        apart: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for name in context.structures:
            row: list[Value] = [label_of(name)]
            for one, other in COMPARED:
                a, b = found.get(one, {}).get(name), found.get(other, {}).get(name)
                if a is None or b is None:
                    row += [None, None]
                    continue
                far = wasserstein(a, b)
                apart[one, other].append(far)
                row += [far, kolmogorov_smirnov(a, b)]
            distances.append(row)
        mean = {pair: float(np.mean(values)) for pair, values in apart.items()}
        distances.append(["mean", *(v for pair in COMPARED for v in (mean.get(pair), None))])
        return Findings(
            headline={
                f"pairwise correlations, {one} to {other}, mean Wasserstein distance": _mean_distance(
                    matrices[one], matrices[other], context.seed
                )
                for one, other in (("generated", "test"), ("test", "train"))
                if (one, other) in mean
            },
            tables=(
                Table(
                    "Distances between distributions",
                    (
                        "structure",
                        *(f"{one} to {other}, {d}" for one, other in COMPARED for d in ("Wasserstein", "KS")),
                    ),
                    distances,
                    "The Wasserstein distance has the unit of the correlation. The Kolmogorov-Smirnov distance (KS) is "
                    "the largest difference between the cumulative distributions. 'test to train' compares two samples "
                    "of the data.",
                ),
                Table(
                    "Medians",
                    (
                        "structure",
                        *(f"median, {collection}" for collection in found),
                        *(f"pairs, {collection}" for collection in found),
                    ),
                    medians,
                ),
            ),
            figures=(
                Figure(
                    "Distributions",
                    _boxes(context, found),
                    "Quartiles, and the 5 % and 95 % quantiles of the pairs.",
                ),
            ),
            notes=f"Collections: {', '.join(found)}. Each has at most {context.caps.correlations} cells of each "
            "structure. All pairs of cells with the same structure are correlated over all voxels of the structure "
            "channel. Generated cells have z^r, z^s ~ N(0, I). "
            f"Encoded cells are {decoded_in_words(context)}.",
        )


def _collections(context: Context, split: Split) -> dict[str, Matrices]:
    """Return the correlations of observed cells and of their reconstructions."""
    most, labels = context.caps.correlations * len(context.structures), context.labels(split)
    chosen = balanced(context, split, most)
    parts = (chosen[part] for part in context.parts(len(chosen), f"correlating {SPLIT_LABELS[split]} cells"))
    observed = ((labels[part], context.images(context.cells[split][part])[:, -1]) for part in parts)
    reconstructed = ((labels[which], images[:, -1]) for which, _, images in decoded(context, split, most))
    return {split: _correlated(context, observed), f"decoded {split}": _correlated(context, reconstructed)}


def _correlated(context: Context, batches: Iterator[tuple[Indices, Floats]]) -> Matrices:
    """Correlate the cells of each structure that has two or more; empty volumes are left out."""
    with ExitStack() as stack:
        streams: dict[int, CorrelationStream] = {}
        for labels, volumes in batches:
            for label, volume in zip(labels, volumes, strict=True):
                if label not in streams:
                    streams[label] = stack.enter_context(CorrelationStream())
                if np.ptp(volume) > DARK:
                    streams[label].add(volume[None])
        return {
            context.structures[label]: stream.matrix(context.cancel)
            for label, stream in sorted(streams.items())
            if len(stream) > 1
        }


def _pairs(rho: Doubles, cells: Indices) -> Doubles:
    """Return the correlations of all pairs of these cells; a cell that occurs twice is not paired with itself."""
    first, second = (cells[i] for i in np.triu_indices(len(cells), 1))
    return rho[first, second][first != second]


def _mean_distance(one: Matrices, other: Matrices, seed: int) -> Interval:
    """Return the Wasserstein distance between the pairs of two collections, as a mean over structures."""
    both = [(one[name], other[name]) for name in one if name in other]
    cells = np.array(
        [
            (i, side, cell)
            for i, matrices in enumerate(both)
            for side, rho in enumerate(matrices)
            for cell in range(len(rho))
        ]
    )

    def distance(sample: Indices) -> float:
        apart = []
        for i, matrices in enumerate(both):
            a, b = (
                _pairs(rho, sample[(sample[:, 0] == i) & (sample[:, 1] == side), 2])
                for side, rho in enumerate(matrices)
            )
            if len(a) and len(b):
                apart.append(wasserstein(a, b))
        return float(np.mean(apart)) if apart else float("nan")

    return bootstrap(cells, distance, SAMPLES, seed)


def _boxes(context: Context, found: dict[str, Matrices]) -> bytes:
    figure, (ax,) = panels(11, 4.2)
    width = 0.8 / len(found)
    for j, (collection, pairs) in enumerate(found.items()):
        for i, name in enumerate(context.structures):
            if name in pairs:
                low, first, middle, third, high = np.quantile(pairs[name], (0.05, 0.25, 0.5, 0.75, 0.95))
                x = i + (j - (len(found) - 1) / 2) * width
                ax.plot([x, x], [low, high], color=COLOURS[collection], lw=1)
                label = collection if name == next(iter(pairs)) else None
                ax.bar(x, third - first, width * 0.8, first, color=COLOURS[collection], label=label)
                ax.plot([x - 0.4 * width, x + 0.4 * width], [middle] * 2, color="#000000", lw=1.2)
    name_structures(ax, context.structures)
    ax.set_ylabel("Pearson correlation of two cells")
    legend_above(ax, len(found))
    return svg(figure)
