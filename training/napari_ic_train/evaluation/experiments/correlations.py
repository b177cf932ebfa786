"""Section 3.4.4, Figure S6: how alike cells with the same structure are, observed, decoded and generated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.drawing import COLOURS, label_of, panels, svg
from napari_ic_train.evaluation.experiment import (
    SPLITS,
    Context,
    Figure,
    Findings,
    Indices,
    Interval,
    Split,
    Table,
    Value,
)
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.distances import kolmogorov_smirnov, wasserstein
from napari_ic_train.evaluation.passes import decoded, generated, spread
from napari_integrated_cell.variation.correlation import CorrelationStream

MOST = 60
"""Cells of each structure and collection at most: 1,770 pairs."""
DARK = 1e-6
"""A volume that varies less shows nothing, and correlates with nothing."""
COMPARED = (
    ("generated", "test"),
    ("generated", "train"),
    ("decoded train", "train"),
    ("decoded test", "test"),
    ("generated", "decoded test"),
    ("test", "train"),
)
"""Which distributions are held against which; the last shows how far apart samples of the data lie."""
SAMPLES = 200

Pairs = NDArray[np.float64]
Matrices = dict[str, NDArray[np.float64]]
"""ρ of the cells of a collection, (n, n), by structure."""


class Correlations:
    """Distributions of Pearson's correlation between structure channels, and distances between them."""

    name = "pairwise-correlations"
    title = "Pairwise correlations of structure channels"
    section = "3.4.4, Figure S6"

    def needs(self, context: Context) -> str | None:
        """Two cells of a structure."""
        return (
            None if any(len(context.cells[s]) > 1 for s in SPLITS) else "The store has fewer than two cells."
        )

    def run(self, context: Context) -> Findings:
        """Correlate every two cells of a structure, collection by collection."""
        matrices: dict[str, Matrices] = {}
        for split in SPLITS:
            if len(context.cells[split]) > 1:
                matrices |= _collections(context, split)
        made = "train" if "train" in matrices else "test"
        matrices["generated"] = _correlated(context, _drawn(context, made))
        found = {
            collection: {name: _pairs(rho, np.arange(len(rho))) for name, rho in of.items()}
            for collection, of in matrices.items()
        }
        medians: list[list[Value]] = [
            [
                label_of(name),
                *(_median(pairs.get(name)) for pairs in found.values()),
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
        words = ", ".join(found)
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
                    "Wasserstein's distance is in units of the correlation; Kolmogorov-Smirnov's is the greatest "
                    "difference of the cumulated shares. 'test to train' is what two samples of the data differ by.",
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
                Figure("Distributions", _boxes(context, found), "Quartiles, and 5 and 95 % of the pairs."),
            ),
            notes=f"Collections: {words}. At most {MOST} cells of each structure a collection; every two of one "
            "structure are correlated over all voxels of the structure's channel. Generated cells have z^r, z^s "
            "~ N(0, I).",
        )


def _collections(context: Context, split: Split) -> dict[str, Matrices]:
    """The correlations of the observed cells of a side and of their reconstructions, by structure."""
    most, labels = MOST * len(context.structures), context.labels(split)
    chosen = spread(context, split, most)

    def observed() -> Iterator[tuple[Indices, NDArray[np.float32]]]:
        for start in range(0, len(chosen), context.batch_size):
            context.cancel.raise_if_cancelled()
            which = chosen[start : start + context.batch_size]
            yield labels[which], context.images(context.cells[split][which])[:, -1]

    def again() -> Iterator[tuple[Indices, NDArray[np.float32]]]:
        for which, _, images in decoded(context, split, most):
            yield labels[which], images[:, -1]

    return {split: _correlated(context, observed()), f"decoded {split}": _correlated(context, again())}


def _drawn(context: Context, split: str) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
    side: Split = "train" if split == "train" else "test"
    labels = context.labels(side)
    for which, images in generated(context, side, MOST * len(context.structures)):
        yield labels[which], images[:, -1]


def _correlated(context: Context, batches: Iterator[tuple[Indices, NDArray[np.float32]]]) -> Matrices:
    """ρ of the cells of each structure that has two or more; a cell that is dark is left out."""
    with ExitStack() as stack:
        streams: dict[int, CorrelationStream] = {}
        for labels, volumes in batches:
            for label, volume in zip(labels, volumes, strict=True):
                stream = streams.get(int(label))
                if stream is None:
                    stream = streams[int(label)] = stack.enter_context(CorrelationStream())
                if np.ptp(volume) > DARK:
                    stream.add(volume[None])
        return {
            context.structures[label]: stream.matrix(context.cancel)
            for label, stream in sorted(streams.items())
            if len(stream) > 1
        }


def _pairs(rho: NDArray[np.float64], cells: Indices) -> Pairs:
    """The correlations of every two of some cells; a cell that is there twice is not paired with itself."""
    first, second = (cells[i] for i in np.triu_indices(len(cells), 1))
    return rho[first, second][first != second]


def _mean_distance(one: Matrices, other: Matrices, seed: int) -> Interval:
    """Wasserstein's distance between the pairs of two collections, mean over structures, over samples of cells."""
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


def _median(pairs: Pairs | None) -> float | None:
    return None if pairs is None else float(np.median(pairs))


def _boxes(context: Context, found: dict[str, dict[str, Pairs]]) -> bytes:
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
    ax.set_xticks(
        range(len(context.structures)), [label_of(n) for n in context.structures], rotation=30, ha="right"
    )
    ax.set_ylabel("Pearson correlation of two cells")
    ax.legend(frameon=False, fontsize=8, ncols=len(found), loc="lower left", bbox_to_anchor=(0, 1))
    return svg(figure)
