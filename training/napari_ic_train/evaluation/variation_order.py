"""Compare how much structures vary in a model's draws and in the simulator's draws, in the same shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.pose import Box, pose_of, posed_mask, posed_references, to_box
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.conditional_prior import DrawFrom
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.variation_reference import GROUPS, group_of
from napari_integrated_cell.processes import Progress, worker_processes
from napari_integrated_cell.simulation import simulate_cell, structure_draws
from napari_integrated_cell.variation.correlation import correlation_matrix
from napari_integrated_cell.variation.structure_variation import RIDGE, Variation, structure_variations
from napari_integrated_cell.vocabulary import STAGE_NAMES

SEED = 990_002
"""Far from the random seeds of training data."""


def simulated_variation(
    index: int, *, structures: Sequence[str], box: Box, seed: int, draws: int
) -> tuple[str, Floats, Floats, dict[str, Variation]]:
    """Simulate cell number ``index``, and measure how much the simulator's structures vary in its shape.

    Returns
    -------
    stage : str
        Even numbers are in interphase, odd ones take turns in the mitotic stages.
    references, mask : array of float32, (2, Z, Y, X) and (Z, Y, X)
        Simulated microscope images of membrane and DNA, and the cell's mask, in the box.
    variation : dict of str to Variation
        Algorithm 4 on the simulator's independent, noise-free draws of each structure, inside the cell.
    """
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
    return stage, posed_references(cell, pose), mask, variation


def score_order(
    model: IntegratedCell,
    *,
    n_cells: int = 16,
    draws: int = 100,
    seed: int = SEED,
    draw_from: DrawFrom | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return Spearman's correlation, over structures, of the variation of the model's and of the simulator's draws.

    The variation of a structure is the mean over cells of the score of Algorithm 4, inside the cell. The number of
    draws is the same for both. ``draw_from`` says where the model's draws are from: ``"prior"``, ``"conditional"`` (the
    default if the model has it) or ``"observed"``.

    Returns
    -------
    dict
        ``spearman`` in interphase, for which the simulator defines the order (``VARIABILITY``);
        ``spearman_mitosis``; and for each group ``scores`` of the model, ``simulator_scores``, ``effective_ranks``
        and ``simulator_effective_ranks`` by structure.

    Raises
    ------
    ValueError
        If there are fewer than two cells: each group needs one.
    """
    if n_cells < 2:
        raise ValueError(
            f"{n_cells} cells are too few: give 2 or more, one in interphase and one in mitosis."
        )
    structures = model.config.structures
    make = partial(
        simulated_variation, structures=structures, box=model_box(model.config), seed=seed, draws=draws
    )
    found: dict[str, list[dict[str, Variation]]] = {group: [] for group in GROUPS}
    known: dict[str, list[dict[str, Variation]]] = {group: [] for group in GROUPS}
    with worker_processes(workers) as pool:
        for i, (stage, references, mask, variation) in enumerate(pool.map(make, range(n_cells))):
            z_ref = model.encode(references[None])
            variations = structure_variations(
                model, z_ref, n=draws, seed=seed, mask=mask, draw_from=draw_from
            )
            where = next(iter(variations.values())).draw_from
            found[group_of(stage)].append(dict(variations))
            known[group_of(stage)].append(variation)
            if progress is not None:
                progress(i + 1, n_cells, "comparing variation with the simulator's")

    def means(cells: list[dict[str, Variation]], measure: str) -> dict[str, float]:
        return {name: float(np.mean([getattr(c[name], measure) for c in cells])) for name in structures}

    groups: dict[str, dict[str, Any]] = {group: {"cells": len(found[group])} for group in GROUPS}
    for group, values in groups.items():
        for measure in ("score", "effective_rank"):
            values[f"{measure}s"] = means(found[group], measure)
            values[f"simulator_{measure}s"] = means(known[group], measure)
    spearman, in_mitosis = (
        float(spearmanr([*g["scores"].values()], [*g["simulator_scores"].values()]).statistic)
        for g in groups.values()
    )
    return {
        "n_cells": n_cells,
        "draws": draws,
        "ridge": RIDGE,
        "seed": seed,
        "draw_from": where,
        "spearman": spearman,
        "spearman_mitosis": in_mitosis,
        **groups,
    }
