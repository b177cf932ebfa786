"""Table S9: number of training cells and held-out cells of each structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.data.subsets import stages_of
from napari_ic_train.evaluation.experiment import SPLITS, Context, Experiment
from napari_ic_train.evaluation.findings import Findings, Table, Value
from napari_integrated_cell.arrays import Mask
from napari_integrated_cell.vocabulary import STAGE_NAMES, label_of


class Counts(Experiment):
    """Training cells and held-out cells of the whole store, by structure and by stage."""

    name = "counts"
    title = "Cells by structure and split"
    section = "Table S9"

    def run(self, context: Context) -> Findings:
        """Count the cells."""
        table, chosen = context.store.table, {split: len(context.cells[split]) for split in SPLITS}
        split = table["split"].to_numpy()
        names = table["structure"].to_numpy()
        structures = [[label_of(name), *_counted(names == name, split)] for name in context.store.structures]
        total: list[Value] = ["all", *_counted(np.ones(len(table), bool), split)]
        tables = [Table("Cells by structure", ("structure", "all", "train", "test"), [*structures, total])]
        stages = stages_of(context.store)
        if any(stage is not None for stage in stages):
            rows: list[list[Value]] = [
                [name, *_counted(stages == name, split)] for name in STAGE_NAMES if (stages == name).any()
            ]
            unknown = np.array([stage is None for stage in stages])
            if unknown.any():
                rows.append(["not annotated", *_counted(unknown, split)])
            tables.append(Table("Cells by stage", ("stage", "all", "train", "test"), rows))
        left_out = context.store.left_out
        refused = len(context.store.report)
        if left_out or refused:
            reasons: list[list[Value]] = [[reason, count] for reason, count in left_out.items()]
            if refused:
                reasons.append(["could not be prepared", refused])
            tables.append(Table("Cells left out", ("reason", "cells"), reasons))
        return Findings(
            tables=tuple(tables),
            notes=f"The other experiments use {chosen['train']} training cells and {chosen['test']} held-out cells. "
            "Some experiments use fewer; their notes say so.",
        )


def _counted(mask: Mask, split: NDArray[np.object_]) -> list[Value]:
    return [int(mask.sum()), *(int((mask & (split == side)).sum()) for side in SPLITS)]
