"""Rank the features of observed structures among the model's draws for the same shape."""

from __future__ import annotations

import numpy as np

from napari_ic_train.evaluation.drawing import COLOURS, panels, svg
from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.features import FEATURES, features_of, regions_of
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_ic_train.evaluation.metrics.ranks import interval_coverage, rank_in_draws, uniformity
from napari_ic_train.evaluation.model_outputs import balanced, codes
from napari_ic_train.evaluation.predictors import missing_for_predictions, other_cells
from napari_integrated_cell.arrays import Doubles, Indices
from napari_integrated_cell.model.conditional_prior import CONDITIONAL, OBSERVED, PRIOR, DrawFrom
from napari_integrated_cell.variation.structure_variation import Draws

CELLS = 110
"""Maximum number of held-out cells, with equal numbers for each structure."""
DRAWS = 50
LEVELS = (0.5, 0.9)


class ConditionalCalibration(Experiment):
    """Ranks of observed features among draws, and coverage of the draws' 50 % and 90 % intervals.

    A second set of draws takes the shape of another cell. It shows whether the model uses the shape. If the model has
    p(z^s | z^r, y), draws from elsewhere are compared: from the prior, and with what decoding leaves out.
    """

    name = "conditional-calibration"
    title = "Calibration of structures in given shapes"

    def needs(self, context: Context) -> str | None:
        """Require held-out cells and training cells, and two draws."""
        if context.draws < 2:
            return f"The number of draws is {context.draws}, and an interval needs 2 or more."
        return missing_for_predictions(context)

    def run(self, context: Context) -> Findings:
        """Draw the structure of each selected held-out cell in its shape, and measure the draws."""
        wanted, n_draws = balanced(context, "test", CELLS), min(context.draws, DRAWS)
        labels = context.labels("test")[wanted]
        others = other_cells(len(context.labels("test")), context.seed)[wanted]
        default, *further = _sources(context)
        observed, drawn = self._measured(context, wanted, wanted, n_draws, default)
        elsewhere = self._measured(context, wanted, others, n_draws, default)[1]
        ranks, permuted = (_ranked(observed, draws, context.seed) for draws in (drawn, elsewhere))
        rows: list[list[Value]] = []
        for f, name in enumerate(FEATURES):
            distance, p = uniformity(ranks[:, f])
            covered = [interval_coverage(r[:, f], level) for r in (ranks, permuted) for level in LEVELS]
            means = [float(values.mean()) for values in (observed[:, f], drawn[:, :, f], ranks[:, f])]
            rows.append([name, *means[:2], *covered, means[2], distance, p])
        by_structure: list[list[Value]] = [
            [
                name,
                int(mine.sum()),
                *(interval_coverage(r[mine], level) for r in (ranks, permuted) for level in LEVELS),
            ]
            for name, mine in context.by_structure(labels)
        ]
        compared = {
            source: _ranked(
                observed, self._measured(context, wanted, wanted, n_draws, source)[1], context.seed
            )
            for source in further
        }
        within = [f"within {level:.0%}{of}" for of in ("", ", another cell's shape") for level in LEVELS]
        return Findings(
            headline={
                f"observed features within the draws' {level:.0%} interval{of}": context.interval(
                    (np.abs(r - 0.5) <= level / 2).mean(1)
                )
                for of, r in (("", ranks), (", another cell's shape", permuted))
                for level in LEVELS
            }
            | {
                f"observed features within the {level:.0%} interval of draws from {source}": context.interval(
                    (np.abs(r - 0.5) <= level / 2).mean(1)
                )
                for source, r in compared.items()
                for level in LEVELS
            },
            tables=(
                Table(
                    "By feature",
                    (
                        "feature",
                        "mean observed",
                        "mean drawn",
                        *within,
                        "mean rank",
                        "distance of ranks to uniform",
                        "p",
                    ),
                    rows,
                    "A rank near 0 means that the observed value is below all draws; near 1 it is above all draws.",
                ),
                Table("By structure", ("structure", "cells", *within), by_structure),
                *([_by_source({default: ranks, **compared})] if compared else []),
            ),
            figures=(
                Figure(
                    "Ranks of what was observed among draws",
                    _histograms(ranks),
                    "A calibrated model gives flat histograms. Peaks at both ends mean that draws vary too "
                    "little. A peak at one end means that draws are biased.",
                ),
            ),
            notes=f"The structure of each of {len(wanted)} held-out cells was drawn {n_draws} times in its shape "
            f"(z^r = Enc^r(x^r), z^s ~ {_WORDS[default]}). Features are measured with the observed cell and nucleus. "
            "If the model is calibrated, 50 % and 90 % of the observed values lie within these intervals. Observed "
            "images have noise that the model does not draw, and intensities are relative to the brightest voxel of "
            "the cell. This affects the object count and the variation of intensity most.\n\nWith another cell's "
            "shape, z^r is that of another held-out cell, and the draws are measured in this cell. A model that uses "
            "the shape reaches a lower coverage there.",
        )

    def _measured(
        self, context: Context, wanted: Indices, shapes: Indices, n_draws: int, source: DrawFrom
    ) -> tuple[Doubles, Doubles]:
        """Return the observed features (n, F), and those of draws from a source in these ``shapes`` (n, draws, F)."""
        z_ref, labels = codes(context, "test").z_ref, context.labels("test")
        observed, drawn = [], []
        for done, (which, shape) in enumerate(zip(wanted, shapes, strict=True)):
            image = context.images(context.cells["test"][which : which + 1])[0]
            regions = regions_of(image[:2])
            observed.append(features_of(image[-1], regions))
            # Each cell has its own random seed: cells with the same draws would not be independent.
            seed = int(np.random.SeedSequence([context.seed, int(which)]).generate_state(1)[0])
            draws = Draws(context.model, z_ref[shape], context.structures[labels[which]], seed, source)
            blocks = draws.blocks(n_draws, context.batch_size, context.cancel)
            drawn.append([features_of(volume, regions) for block in blocks for volume in block])
            context.progress(done + 1, len(wanted), "drawing structures in held-out shapes")
        return np.array(observed), np.array(drawn)


_WORDS: dict[DrawFrom, str] = {PRIOR: "N(0, I)", CONDITIONAL: "p(z^s | z^r, y)"}


def _sources(context: Context) -> list[DrawFrom]:
    """Return where the model can draw from, the default first."""
    known = context.model.conditional_prior
    if known is None:
        return [PRIOR]
    return [CONDITIONAL, PRIOR, *([OBSERVED] if known.residuals is not None else [])]


def _by_source(ranks: dict[DrawFrom, Doubles]) -> Table:
    """Return the coverage of each feature, for each source of draws."""
    rows: list[list[Value]] = [
        [name, *(interval_coverage(r[:, f], level) for r in ranks.values() for level in LEVELS)]
        for f, name in enumerate(FEATURES)
    ]
    rows.append(["all", *(interval_coverage(r, level) for r in ranks.values() for level in LEVELS)])
    columns = [f"within {level:.0%}, {source}" for source in ranks for level in LEVELS]
    return Table(
        "By source of the draws",
        ("feature", *columns),
        rows,
        "prior: z^s ~ N(0, I). conditional: z^s ~ p(z^s | z^r, y). observed: the same, with the texture and noise that "
        "decoded images lack.",
    )


def _ranked(observed: Doubles, drawn: Doubles, seed: int) -> Doubles:
    """Return the rank of each cell's features (n, F) among those of its draws (n, draws, F)."""
    ranks = [rank_in_draws(observed[:, f], drawn[:, :, f], seed + f) for f in range(len(FEATURES))]
    return np.stack(ranks, 1)


def _histograms(ranks: Doubles) -> bytes:
    columns = 3
    figure, axes = panels(8, 1.3 * -(-len(FEATURES) // columns), -(-len(FEATURES) // columns), columns)
    for f, (ax, name) in enumerate(zip(axes, FEATURES, strict=False)):
        ax.hist(ranks[:, f], np.linspace(0, 1, 11).tolist(), color=COLOURS["test"], alpha=0.8)
        ax.axhline(len(ranks) / 10, color="#888888", lw=1, ls=":")
        ax.set_title(name, fontsize=7)
        ax.set_yticks([])
        ax.tick_params(labelsize=6)
    return svg(figure)
