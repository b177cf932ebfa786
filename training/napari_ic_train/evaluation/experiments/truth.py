"""Past the paper, on simulated cells: predictions and codes against what the simulator knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from napari_ic_train.evaluation.drawing import label_of
from napari_ic_train.evaluation.experiment import Context, Findings, Indices, Interval, Table, Value
from napari_ic_train.evaluation.experiments.against_baselines import margins, score_table
from napari_ic_train.evaluation.features import masks_of
from napari_ic_train.evaluation.localisation import pearson
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.probe import FOLDS, explained, read_off
from napari_ic_train.evaluation.passes import codes, equal_numbers
from napari_ic_train.evaluation.predictors import MODEL, PREDICTORS, predictable, predictions, why_not
from napari_ic_train.evaluation.simulated_truth import SimulatedTruth
from napari_ic_train.evaluation.variation_order import score_order

CELLS = 66
"""Held-out cells at most whose expectation is simulated, in equal numbers a structure."""
EXPECTATION_DRAWS = 32
ORDER_CELLS, ORDER_DRAWS = 8, 50
"""Cells in which the order of variability is measured, half of them in mitosis, and draws of each structure in each,
at most: the simulator's own draws take long."""
MEASURED = ("cell_volume", "nucleus_volume", "elongation", "extent_z")
"""Columns of the store's table that are probed beside the simulator's parameters."""
POSED_AWAY = ("axis", "spindle_angle", "nucleus_y", "nucleus_x")
"""Parameters of how a cell lay, and of directions in the image: z^r need not tell them."""


class Truth:
    """Predictions against expected localisation, order of variability, and z^r against the shape's parameters."""

    name = "simulated-truth"
    title = "Against the simulator's truth"
    section = ""

    def needs(self, context: Context) -> str | None:
        """A simulated store, with the data set that it was made of."""
        if reason := why_not(context):
            return reason
        try:
            SimulatedTruth(context.store)
        except ValueError as error:
            return str(error)
        return None

    def run(self, context: Context) -> Findings:
        """All three."""
        truth = SimulatedTruth(context.store)
        scores, labels = self._localisation(context, truth)
        expected = score_table(
            "Pearson inside the cell, against the expected localisation", scores, labels, context
        )
        probed, best = self._probe(context, truth)
        ahead = {
            f"{name}, expected localisation": value
            for name, value in margins(scores, labels, context).items()
        }
        headline: dict[str, float | Interval] = {
            "predicted against expected localisation, mean Pearson inside the cell": bootstrap(
                scores[MODEL], seed=context.seed
            ),
            **{name: value for name, value in ahead.items() if "beaten" in name or "least" in name},
            "what z^r tells of the shape's parameters by a straight line, mean R²": best,
        }
        tables = [expected, probed]
        if context.draws >= 2 and context.model.config.n_structures > 2:
            order, spearman = self._order(context)
            tables.insert(1, order)
            headline["order of variability, Spearman against the simulator, interphase"] = spearman
        return Findings(
            headline=headline,
            tables=tuple(tables),
            notes=f"The expected localisation is the mean of {EXPECTATION_DRAWS} noise-free draws of the simulator in "
            "the very shape of a held-out cell; the little chance that is left in it lowers every column. The order of "
            f"variability is by Algorithm 4 of draws of the model and of the simulator in {ORDER_CELLS} unseen shapes, "
            "as many draws of each; its interval is over structures. The probe is a ridge regression from z^r of the "
            f"chosen cells to each parameter of their shape, cross-validated in {FOLDS} folds.",
        )

    def _localisation(
        self, context: Context, truth: SimulatedTruth
    ) -> tuple[dict[str, NDArray[np.float64]], Indices]:
        wanted = predictable(context)
        wanted = wanted[equal_numbers(context.labels("test")[wanted], CELLS, context.seed)]
        scores = {who: np.zeros(len(wanted)) for who in PREDICTORS}
        for i, (which, image, predicted) in enumerate(predictions(context, wanted)):
            cell, _ = masks_of(image[:2])
            expected = truth.expected(int(context.cells["test"][which]), EXPECTATION_DRAWS, context.seed)
            for who, volume in predicted.items():
                scores[who][i] = pearson(expected[cell], volume[cell])
        return scores, context.labels("test")[wanted]

    def _order(self, context: Context) -> tuple[Table, Interval]:
        found = score_order(
            context.model,
            n_cells=ORDER_CELLS,
            draws=min(context.draws, ORDER_DRAWS),
            seed=context.seed + 990_002,
            workers=1,
            progress=context.progress,
        )
        rows: list[list[Value]] = [
            [
                label_of(name),
                *(
                    found[group][key][name]
                    for group in ("interphase", "mitosis")
                    for key in ("scores", "simulator_scores")
                ),
            ]
            for name in context.structures
        ]
        columns = tuple(
            f"{who}, {group}" for group in ("interphase", "mitosis") for who in ("model", "simulator")
        )
        note = (
            f"Spearman's correlation of the model's with the simulator's scores is {found['spearman']:.2f} in "
            f"interphase and {found['spearman_mitosis']:.2f} in mitosis. A larger score is less variation."
        )
        interphase = found["interphase"]
        pairs = np.array(
            [[interphase[who][name] for who in ("scores", "simulator_scores")] for name in context.structures]
        )
        merit = bootstrap(pairs, _spearman, seed=context.seed)
        return Table("Order of variability", ("structure", *columns), rows, note), merit

    def _probe(self, context: Context, truth: SimulatedTruth) -> tuple[Table, float | Interval]:
        positions = np.concatenate([context.cells[side] for side in ("train", "test")])
        z_ref = np.concatenate([codes(context, side).z_ref for side in ("train", "test")])
        parameters = truth.parameters.iloc[positions]
        table = context.store.table
        known = {name: parameters[name].to_numpy() for name in parameters}
        known |= {name: table[name].to_numpy(np.float64)[positions] for name in MEASURED if name in table}
        if len(positions) < 2 * FOLDS:
            return Table("What z^r tells of a cell's shape", ("parameter", "R²"), []), float("nan")
        targets = np.stack(list(known.values()), 1)
        read = read_off(z_ref, targets, seed=context.seed)
        found = explained(targets, read)
        told = {str(name): float(r) for name, r in zip(known, found, strict=True) if np.isfinite(r)}
        rows: list[list[Value]] = [[name, r] for name, r in sorted(told.items(), key=lambda item: -item[1])]
        own = [
            i
            for i, name in enumerate(known)
            if name in parameters and name in told and name not in POSED_AWAY
        ]

        def mean(cells: Indices) -> float:
            return float(np.nanmean(explained(targets[cells][:, own], read[cells][:, own])))

        return Table(
            "What z^r tells of a cell's shape",
            ("parameter", "R²"),
            rows,
            "1 can be read off z^r by a straight line, 0 cannot at all. What pose takes away, as the angle at which a "
            f"cell lay, should not be there and is in no mean: {', '.join(POSED_AWAY)}.",
        ), bootstrap(np.arange(len(targets)), mean, seed=context.seed)


def _spearman(pairs: NDArray[np.float64]) -> float:
    """Spearman's correlation of pairs (N, 2)."""
    return float(np.corrcoef(rankdata(pairs, axis=0).T)[0, 1])
