"""Table S9: how many cells of each structure there are on each side of the split."""

from __future__ import annotations

import numpy as np

from napari_ic_train.data.subsets import stages_of
from napari_ic_train.evaluation.drawing import label_of
from napari_ic_train.evaluation.experiment import SPLITS, Context, Findings, Table, Value
from napari_integrated_cell.vocabulary import STAGE_NAMES


class Counts:
    """Cells by structure, by stage, and by side of the split, in the whole store."""

    name = "counts"
    title = "Cells by structure and split"
    section = "Table S9"

    def needs(self, context: Context) -> str | None:
        """Nothing but a store."""
        return None

    def run(self, context: Context) -> Findings:
        """Count."""
        table, chosen = context.store.table, {split: len(context.cells[split]) for split in SPLITS}
        split = table["split"].to_numpy()
        names = table["structure"].to_numpy()
        structures = [[label_of(name), *_counted(names == name, split)] for name in context.store.structures]
        total: list[Value] = ["all", *_counted(np.ones(len(table), bool), split)]
        tables = [
            Table("Cells by structure", ("structure", "all", "train", "test"), [*structures, total]),
        ]
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
            notes=f"The experiments below use {chosen['train']} cells of the training side and "
            f"{chosen['test']} held-out cells; some use fewer of them, and say so.",
        )


def _counted(mask: np.ndarray, split: np.ndarray) -> list[Value]:
    return [int(mask.sum()), *(int((mask & (split == side)).sum()) for side in SPLITS)]
