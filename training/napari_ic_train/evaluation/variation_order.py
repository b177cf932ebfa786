"""Does a model know which structures vary more? Held against the simulator's own draws in the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from napari_integrated_cell.imaging.pose import Box, pose_of, posed_mask, posed_references, to_box
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.variation_reference import GROUPS, group_of
from napari_integrated_cell.processes import worker_processes
from napari_integrated_cell.simulation import simulate_cell, structure_draws
from napari_integrated_cell.variation.correlation import correlation_matrix
from napari_integrated_cell.variation.structure_variation import RIDGE, Variation, structure_variations
from napari_integrated_cell.vocabulary import STAGE_NAMES

Progress = Callable[[int, int, str], None]
Volume = NDArray[np.float32]

SEED = 990_002
"""Far from those of training sets."""


@dataclass(frozen=True, eq=False)
class OpenShape:
    """An unseen simulated cell in the model's box, and how much the simulator leaves open in its shape.

    Attributes
    ----------
    stage : str
    references : array of float32, (2, Z, Y, X)
        Membrane and DNA as a microscope would show them.
    mask : array of float32, (Z, Y, X)
        Where the cell is.
    variation : dict of str to Variation
        Algorithm 4 of the simulator's independent, noise-free draws of each structure, inside the cell.
    """

    stage: str
    references: Volume
    mask: Volume
    variation: dict[str, Variation]


def open_shape(index: int, *, structures: Sequence[str], box: Box, seed: int, draws: int) -> OpenShape:
    """The ``index``-th cell of an unseen set: interphase, and the stages of mitosis in turn, one after the other."""
    stage = STAGE_NAMES[0] if index % 2 == 0 else STAGE_NAMES[1 + index // 2 % (len(STAGE_NAMES) - 1)]
    cell_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    simulated = simulate_cell(cell_seed, stage=stage, voxel_size=box.voxel_size)
    cell = simulated.cell
    pose = pose_of(cell, box)
    mask = posed_mask(cell, pose)
    inside = mask > 0.5
    variation = {}
    for name in structures:
        images = structure_draws(simulated.shape, name, simulated.grid, draws, cell_seed)
        posed = [to_box(image, cell.voxel_size, pose, offset=cell.offset)[inside] for image in images]
        variation[name] = Variation.of(correlation_matrix(posed), RIDGE)
    return OpenShape(stage, posed_references(cell, pose), mask, variation)


def score_order(
    model: IntegratedCell,
    *,
    n_cells: int = 16,
    draws: int = 100,
    seed: int = SEED,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Spearman's correlation, over structures, of how much the model's draws vary with how much the simulator's do.

    Both are the mean over cells of the score of Algorithm 4, of as many draws, inside the cell.

    Returns
    -------
    dict
        ``spearman`` in interphase, for which the simulator's order is stated (``VARIABILITY``);
        ``spearman_mitosis``; and by group ``scores`` of the model, ``simulator_scores``, ``effective_ranks``
        and ``simulator_effective_ranks`` by structure.

    Raises
    ------
    ValueError
        For fewer than two cells: one of each group is needed.
    """
    if n_cells < 2:
        raise ValueError(f"{n_cells} cell cannot be in interphase and in mitosis: take two at least.")
    structures = model.config.structures
    make = partial(open_shape, structures=structures, box=model_box(model.config), seed=seed, draws=draws)
    found: dict[str, list[dict[str, Variation]]] = {group: [] for group in GROUPS}
    known: dict[str, list[dict[str, Variation]]] = {group: [] for group in GROUPS}
    with worker_processes(workers) as pool:
        for i, cell in enumerate(pool.map(make, range(n_cells))):
            z_ref = model.encode(cell.references[None])
            variations = structure_variations(model, z_ref, n=draws, seed=seed, mask=cell.mask)
            found[group_of(cell.stage)].append(dict(variations))
            known[group_of(cell.stage)].append(cell.variation)
            if progress is not None:
                progress(i + 1, n_cells, "comparing variation with the simulator's")

    def means(cells: list[dict[str, Variation]], figure: str) -> dict[str, float]:
        return {name: float(np.mean([getattr(c[name], figure) for c in cells])) for name in structures}

    groups = {
        group: {
            "cells": len(found[group]),
            "scores": means(found[group], "score"),
            "simulator_scores": means(known[group], "score"),
            "effective_ranks": means(found[group], "effective_rank"),
            "simulator_effective_ranks": means(known[group], "effective_rank"),
        }
        for group in GROUPS
    }
    spearman, in_mitosis = (
        float(spearmanr([*g["scores"].values()], [*g["simulator_scores"].values()]).statistic)  # type: ignore[attr-defined]
        for g in groups.values()
    )
    return {
        "n_cells": n_cells,
        "draws": draws,
        "ridge": RIDGE,
        "seed": seed,
        "spearman": spearman,
        "spearman_mitosis": in_mitosis,
        **groups,
    }
