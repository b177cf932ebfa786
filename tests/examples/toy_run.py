"""A small store with stages, and a run fitted on it in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train.config import PhaseConfig
from napari_ic_train.data.store import CellStore, StoreWriter
from napari_ic_train.fit.trainer import fit_conditional, fit_reference

# Held-out and training cells of each stage; of the other four stages there is no cell.
STAGES = {"interphase": (6, 12), "prophase-1": (3, 4), "metaphase": (2, 5), "anaphase": (0, 2)}


def toy_store(path: Path) -> CellStore:
    """36 cells: some without a stage, stages out of order, held-out and training cells mixed."""
    rows = [
        {"stage": stage, "split": split}
        for stage, counts in reversed(STAGES.items())
        for split, count in zip(("test", "train"), counts, strict=True)
        for _ in range(count)
    ] + [{"stage": None, "split": "train"}, {"stage": "asleep", "split": "train"}]
    order = np.random.default_rng(5).permutation(len(rows))
    cells = ToyCells(len(rows), seed=2)
    writer = StoreWriter(
        path,
        len(rows),
        channels=("membrane", "dna", "structure"),
        box=MODEL.box,
        voxel_size=MODEL.voxel_size,
        structures=MODEL.structures,
        simulated=True,
        source="toys",
    )
    for i, (row, image) in enumerate(zip(order, cells.x.numpy(), strict=True)):
        facts = {"CellId": f"c{i}", "structure": MODEL.structures[cells.labels[i]], "field": f"f{i}"}
        writer.write(i, image, facts | rows[row])
    return writer.finish()


def toy_run(store: CellStore, out: Path) -> Path:
    """Both phases, two epochs each."""
    length = PhaseConfig(epochs=2)
    config = toy_config(reference=length, conditional=length)
    train = CellStore(store.path, "train")
    fit_reference(train, config, out, device="cpu")
    fit_conditional(train, config, out, device="cpu")
    return out
