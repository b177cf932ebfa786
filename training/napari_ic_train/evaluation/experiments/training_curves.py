"""Figure S3: training curves of both phases, from the logs of the run."""

from __future__ import annotations

import math

from napari_ic_train.evaluation.drawing import COLOURS, panels, svg
from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_ic_train.run.folder import read_losses

PHASES = {"reference": "Reference phase (Algorithm 1)", "conditional": "Conditional phase (Algorithm 2)"}
NOT_LOSSES = ("epoch", "seconds", "cells_per_second", "memory_gb", "warnings")
HELD_OUT = "held_out_"


class TrainingCurves(Experiment):
    """Losses by epoch, on training cells and, if the run measured them, on held-out cells."""

    name = "training-curves"
    title = "Training curves of both phases"
    section = "3.3, Figure S3"

    def needs(self, context: Context) -> str | None:
        """Require a run folder with losses."""
        if context.run is None:
            return "The run folder of this bundle is not known."
        if not any(read_losses(context.run / phase) for phase in PHASES):
            return f"The run folder {context.run} has no losses."
        return None

    def run(self, context: Context) -> Findings:
        """Plot every loss of ``losses.csv``."""
        assert context.run is not None
        figures, tables = [], []
        for phase, title in PHASES.items():
            rows = read_losses(context.run / phase)
            if not rows:
                continue
            epochs = [int(row["epoch"]) for row in rows]
            curves = {
                name: [_number(row.get(name)) for row in rows] for name in rows[0] if name not in NOT_LOSSES
            }
            figures.append(Figure(title, _drawn(epochs, curves)))
            tables.append(Table(f"Last epoch, {phase} phase", ("figure", "value"), _last(epochs, curves)))
        return Findings(
            tables=tuple(tables),
            figures=tuple(figures),
            notes="From the losses.csv of each phase, with one point for each epoch. Losses of held-out cells are "
            "measured in eval mode, losses of training cells in training mode.",
        )


def _drawn(epochs: list[int], curves: dict[str, list[float]]) -> bytes:
    from matplotlib.ticker import MaxNLocator

    plain = [name for name in curves if not name.startswith(HELD_OUT) or name[len(HELD_OUT) :] not in curves]
    columns = 3
    figure, axes = panels(11, 2.3 * -(-len(plain) // columns), -(-len(plain) // columns), columns)
    for ax, name in zip(axes, plain, strict=False):
        split, label = ("test", "held out") if name.startswith(HELD_OUT) else ("train", "training")
        ax.plot(epochs, curves[name], color=COLOURS[split], label=label)
        unseen = curves.get(HELD_OUT + name)
        if unseen is not None:
            ax.plot(epochs, unseen, color=COLOURS["test"], label="held out")
            ax.legend(frameon=False, fontsize=8)
        ax.set_title(name.replace("_", " "), fontsize=9)
        ax.tick_params(labelsize=7)
        ax.set_xlabel("epoch", fontsize=8)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for ax in axes[len(plain) :]:
        ax.set_visible(False)
    return svg(figure)


def _last(epochs: list[int], curves: dict[str, list[float]]) -> list[list[Value]]:
    values: list[list[Value]] = [
        [name.replace("_", " "), None if math.isnan(curve[-1]) else curve[-1]]
        for name, curve in curves.items()
    ]
    return [["epoch", epochs[-1]], *values]


def _number(word: str | None) -> float:
    try:
        return float(word or "nan")
    except ValueError:
        return math.nan
