"""Figure S4: distributions of z^r and z^s, compared with their prior by plots and tests of normality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_ic_train.evaluation.drawing import COLOURS, legend_above, panels, svg
from napari_ic_train.evaluation.experiment import SPLITS, Context, Experiment, Split
from napari_ic_train.evaluation.findings import Figure, Findings, Interval, Table, Value
from napari_ic_train.evaluation.metrics.normality import energy_test, mardia, marginal_normality
from napari_ic_train.evaluation.metrics.ridge import FOLDS, largest_r_squared, r_squared, ridge_predictions
from napari_ic_train.evaluation.model_outputs import Codes, codes
from napari_integrated_cell.arrays import Floats, Indices

SPACES = {"z_ref": "Z^r, cell and nuclear shape", "z_struct": "Z^s, residual of the structure"}
SHARES = (0.5, 0.9, 0.99)
TESTED = 1000
SHOWN = 3000


class LatentSpaces(Experiment):
    """Comparison of Z^r of Enc^r and Z^s of Enc^{r,s} with the prior N(0, I)."""

    name = "latent-spaces"
    title = "The latent spaces and their prior"
    section = "Figure S4"
    least_either = 3

    def run(self, context: Context) -> Findings:
        """Encode all selected cells and test their codes."""
        found = {split: codes(context, split) for split in SPLITS if len(context.cells[split]) > 2}
        figures, rows = [], []
        headline: dict[str, float | Interval] = {}
        for space, title in SPACES.items():
            points = {split: getattr(code, space) for split, code in found.items()}
            figures.append(Figure(title, _scatter(points, context.seed)))
            for split, sample in points.items():
                rows.append([space.replace("_", " "), split, *_tested(sample, context.seed)])
                if split == "test":
                    headline[f"{space.replace('_', ' ')}: mean standard deviation (prior 1)"] = (
                        context.interval(sample, lambda cells: float(cells.std(0, ddof=1).mean()))
                    )
        repeated = _repeated(context, list(found.values()), [context.cells[split] for split in found])
        if repeated.rows:
            most = "z struct: what z^r explains of its most predictable direction, mean R² (prior 0)"
            headline[most] = float(np.mean([row[-1] for row in repeated.rows]))
        columns = (
            "space", "split", "cells", "dimensions", "RMS of means (prior 0)", "mean std (prior 1)", "least std",
            "greatest std", "mean |z|² / dimensions (prior 1)", "dimensions rejected as N(0, 1), Holm 5 %",
            "Mardia skewness p", "Mardia kurtosis p", "energy distance to N(0, I)", "energy test p",
        )  # fmt: skip
        return Findings(
            headline=headline,
            tables=(
                Table(
                    "Codes against the prior",
                    columns,
                    rows,
                    "With many cells every test rejects: look at the sizes of the differences first, then at p. "
                    "Mardia's tests are for any normal distribution, the other tests are for N(0, I). The tests use at "
                    f"most {TESTED} cells.",
                ),
                repeated,
            ),
            figures=tuple(figures),
            notes="Left: two random dimensions, as in the paper. Right: the two principal axes along which the cells "
            "vary most. The circles contain 50 %, 90 % and 99 % of the prior.",
        )


def _repeated(context: Context, found: Sequence[Codes], cells: Sequence[Indices]) -> Table:
    """Return for each structure how well ridge regression predicts z^s from z^r."""
    z_ref, z_struct = (np.concatenate([getattr(code, space) for code in found]) for space in SPACES)
    names = context.store.table["structure"].to_numpy()[np.concatenate(cells)]
    rows: list[list[Value]] = []
    for structure in context.model.config.structures:
        mine = names == structure
        own = np.asarray(z_struct[mine], np.float64)
        if len(own) < max(2 * FOLDS, 2 * own.shape[1]):
            continue
        predicted = ridge_predictions(z_ref[mine], own, seed=context.seed)
        most = largest_r_squared(own, predicted)
        if np.isfinite(most):  # it is NaN for a collapsed encoder
            rows.append([structure, len(own), float(r_squared(own, predicted).mean()), most])
    return Table(
        "What z^s repeats of z^r",
        ("structure", "cells", "mean R² of z^s's dimensions", "R² of its most predictable direction"),
        rows,
        "Algorithm 4 draws z^s from the prior N(0, I), which does not depend on z^r. If z^s repeats information of "
        "z^r, such as the stage of mitosis, a draw can contradict the shape that it is decoded in. R² is that of "
        "cross-validated ridge regressions. The ideal value is 0; a slightly negative value is the same as 0.",
    )


def _scatter(points: Mapping[Split, Floats], seed: int) -> bytes:
    every = np.concatenate(list(points.values()))
    dims = np.sort(np.random.default_rng(seed).choice(every.shape[1], min(2, every.shape[1]), replace=False))
    axes_of = np.linalg.svd(every - every.mean(0), full_matrices=False)[2][:2]
    figure, axes = panels(9.5, 4.6, 1, 2)
    for ax, basis, words in (
        (axes[0], np.eye(every.shape[1])[dims], [f"dimension {d}" for d in dims]),
        (axes[1], axes_of, ["first principal axis", "second principal axis"]),
    ):
        for split, sample in points.items():
            plane = sample[:SHOWN] @ basis.T
            ax.scatter(
                plane[:, 0], plane[:, -1], s=9, alpha=0.6, lw=0, color=COLOURS[split], label=split, rasterized=True
            )  # fmt: skip
        angle = np.linspace(0, 2 * np.pi, 200)
        for share in SHARES:
            radius = np.sqrt(-2 * np.log(1 - share))
            ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=COLOURS["prior"], lw=1)
        ax.set_xlabel(words[0])
        ax.set_ylabel(words[-1])
        ax.set_aspect("equal", "datalim")
    legend_above(axes[0], 2)
    return svg(figure)


def _tested(sample: Floats, seed: int) -> list[Value]:
    n, size = sample.shape
    std = sample.std(0, ddof=1)
    some = sample[np.random.default_rng(seed).permutation(n)[:TESTED]].astype(np.float64)
    skewness = kurtosis = None
    # The codes of a collapsed encoder have no inverse covariance.
    if len(some) > 2 * size and std.min() > 1e-6 and np.linalg.matrix_rank(some - some.mean(0)) == size:
        skewness, kurtosis = mardia(some)
    return [
        n,
        size,
        float(np.sqrt(np.mean(sample.mean(0) ** 2))),
        float(std.mean()),
        float(std.min()),
        float(std.max()),
        float(np.mean((sample.astype(np.float64) ** 2).sum(1)) / size),
        int(marginal_normality(some).sum()),
        skewness,
        kurtosis,
        *energy_test(some, seed=seed),
    ]
