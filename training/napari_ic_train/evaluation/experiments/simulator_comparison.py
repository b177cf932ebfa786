"""Compare predictions and latent codes with the simulator's ground truth, on simulated cells."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.experiment import SPLITS, Context, Experiment
from napari_ic_train.evaluation.experiments.baseline_comparison import Scores, margins, score_table
from napari_ic_train.evaluation.features import masks_of
from napari_ic_train.evaluation.findings import Findings, Interval, Table, Value
from napari_ic_train.evaluation.metrics.ridge import FOLDS, r_squared, ridge_predictions
from napari_ic_train.evaluation.model_outputs import balanced_sample, codes
from napari_ic_train.evaluation.predictors import (
    MODEL,
    PREDICTORS,
    missing_for_predictions,
    predictable,
    predictions,
)
from napari_ic_train.evaluation.simulated_truth import SimulatedTruth
from napari_ic_train.evaluation.variation_order import SEED, score_order
from napari_integrated_cell.arrays import Doubles, Indices
from napari_integrated_cell.model.variation_reference import GROUPS
from napari_integrated_cell.vocabulary import label_of

CELLS = 66
"""Maximum number of held-out cells with a simulated expectation, with equal numbers for each structure."""
EXPECTATION_DRAWS = 32
ORDER_CELLS, ORDER_DRAWS = 8, 50
"""Cells for the order of variability, half of them in mitosis, and maximum number of draws: the simulator is slow."""
MEASURED = ("cell_volume", "nucleus_volume", "elongation", "extent_z")
"""Columns of the store's table that are predicted from z^r, beside the simulator's parameters."""
POSED_AWAY = ("axis", "spindle_angle", "nucleus_y", "nucleus_x")
"""Parameters of a cell's orientation and position in the image. Posing removes them, so z^r should not have them."""
SHAPE_TABLE = "What z^r tells of a cell's shape"


class SimulatorComparison(Experiment):
    """Comparison with the expected localisation, the order of variability, and the parameters of the shape."""

    name = "simulated-truth"
    title = "Against the simulator's truth"

    def needs(self, context: Context) -> str | None:
        """Require a store of simulated cells, and the simulated data set that it was prepared from."""
        if reason := missing_for_predictions(context):
            return reason
        try:
            SimulatedTruth(context.store)
        except ValueError as error:
            return str(error)
        return None

    def run(self, context: Context) -> Findings:
        """Compare localisation, order of variability and shape parameters."""
        truth = SimulatedTruth(context.store)
        scores, labels = self._localisation(context, truth)
        expected = score_table(
            "Pearson inside the cell, against the expected localisation", scores, labels, context
        )
        by_parameter, mean_r_squared = self._parameters(context, truth)
        headline: dict[str, float | Interval] = {
            "predicted against expected localisation, mean Pearson inside the cell": context.interval(
                scores[MODEL]
            ),
            **{
                f"{name}, expected localisation": value
                for name, value in margins(scores, labels, context).items()
                if "beaten" in name or "least" in name
            },
            "what z^r tells of the shape's parameters by a straight line, mean R²": mean_r_squared,
        }
        tables = [expected, by_parameter]
        if context.draws >= 2 and context.model.config.n_structures > 2:
            order, spearman = self._order(context)
            tables.insert(1, order)
            headline["order of variability, Spearman against the simulator, interphase"] = spearman
        return Findings(
            headline=headline,
            tables=tuple(tables),
            notes=f"The expected localisation is the mean of {EXPECTATION_DRAWS} noise-free draws of the simulator in "
            "the shape of a held-out cell. The number of draws is finite, which lowers all columns slightly. The order "
            f"of variability comes from Algorithm 4, with draws of the model and of the simulator in {ORDER_CELLS} new "
            "shapes and the same number of draws for both. Its interval is over structures. The parameters of the "
            f"shape are predicted from z^r by ridge regression, cross-validated in {FOLDS} folds.",
        )

    def _localisation(self, context: Context, truth: SimulatedTruth) -> tuple[Scores, Indices]:
        wanted = predictable(context)
        wanted = wanted[balanced_sample(context.labels("test")[wanted], CELLS, context.seed)]
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
            seed=context.seed + SEED,
            workers=1,
            progress=context.progress,
        )
        keys = {"model": "scores", "simulator": "simulator_scores"}
        rows: list[list[Value]] = [
            [label_of(name), *(found[group][key][name] for group in GROUPS for key in keys.values())]
            for name in context.structures
        ]
        columns = tuple(f"{who}, {group}" for group in GROUPS for who in keys)
        note = (
            "Spearman's correlation between the scores of model and simulator is "
            f"{found['spearman']:.2f} in interphase and {found['spearman_mitosis']:.2f} in mitosis. A larger score "
            "means less variation."
        )
        interphase = np.array([row[1 : 1 + len(keys)] for row in rows], np.float64)
        order = context.interval(interphase, _spearman)
        return Table("Order of variability", ("structure", *columns), rows, note), order

    def _parameters(self, context: Context, truth: SimulatedTruth) -> tuple[Table, float | Interval]:
        positions = np.concatenate([context.cells[split] for split in SPLITS])
        z_ref = np.concatenate([codes(context, split).z_ref for split in SPLITS])
        parameters = truth.parameters.iloc[positions]
        table = context.store.table
        known = {name: parameters[name].to_numpy() for name in parameters}
        known |= {name: table[name].to_numpy(np.float64)[positions] for name in MEASURED if name in table}
        if len(positions) < 2 * FOLDS:
            return Table(SHAPE_TABLE, ("parameter", "R²"), []), float("nan")
        targets = np.stack(list(known.values()), 1)
        predicted = ridge_predictions(z_ref, targets, seed=context.seed)
        scores = zip(known, r_squared(targets, predicted), strict=True)
        found = {str(name): float(r) for name, r in scores if np.isfinite(r)}
        rows: list[list[Value]] = [[name, r] for name, r in sorted(found.items(), key=lambda item: -item[1])]
        used = found.keys() & set(parameters) - set(POSED_AWAY)
        shape = [i for i, name in enumerate(known) if name in used]

        def mean(cells: Indices) -> float:
            return float(np.nanmean(r_squared(targets[cells][:, shape], predicted[cells][:, shape])))

        return Table(
            SHAPE_TABLE,
            ("parameter", "R²"),
            rows,
            "R² is 1 for a parameter that a linear regression predicts exactly from z^r, and 0 for one that it cannot "
            "predict. Posing removes the orientation and position of a cell, so these parameters should be near 0. The "
            f"mean leaves them out: {', '.join(POSED_AWAY)}.",
        ), context.interval(np.arange(len(targets)), mean)


def _spearman(pairs: Doubles) -> float:
    """Return Spearman's correlation of pairs (N, 2)."""
    return float(np.corrcoef(rankdata(pairs, axis=0).T)[0, 1])
