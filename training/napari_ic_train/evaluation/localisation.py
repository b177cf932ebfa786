"""Score where a model predicts structures.

In simulated cells the expected localisation is known. In segmented real cells the compartment of a structure is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_ic_train.bundle.localisation_scores import pearson
from napari_integrated_cell.arrays import Doubles, Floats, Mask, Reals
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import (
    Box,
    Pose,
    pose_of,
    posed_image,
    posed_mask,
    to_box,
)
from napari_integrated_cell.imaging.reading import read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values
from napari_integrated_cell.integration import integrate_cell, model_box
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import Progress, worker_processes
from napari_integrated_cell.simulation import VARIABILITY, simulate_cell
from napari_integrated_cell.vocabulary import STAGE_NAMES

CELL_DILATION = 0.5
"""In µm: a voxel at most this far from the cell counts as inside."""
LAMINA_WIDTH = 1.0
"""In µm: a voxel at most this far from the nuclear surface counts as at the surface."""


def signed_distance(mask: Mask, voxel_size: tuple[float, float, float]) -> Doubles:
    """Return the distance in µm to the surface of a mask (Z, Y, X), negative inside."""
    outside = ndimage.distance_transform_edt(~mask, sampling=voxel_size)
    inside = ndimage.distance_transform_edt(mask, sampling=voxel_size)
    return outside - inside


def at_box_voxels(
    image: Reals, voxel_size: tuple[float, float, float], offset: tuple[int, int, int], pose: Pose
) -> Doubles:
    """Interpolate a map of a cell's crop at the centres of the box's voxels, (Z, Y, X).

    Outside the crop it takes the nearest value. This suits distances, which only have to stay large there.
    """
    shape = pose.box.shape
    grid = np.indices(shape, np.float64).reshape(3, -1) * pose.box.voxel_size
    micrometres = pose.from_box[:3, :3] @ grid + pose.from_box[:3, 3:]
    voxels = micrometres / np.reshape(voxel_size, (3, 1)) - np.reshape(offset, (3, 1))
    return ndimage.map_coordinates(image, voxels, order=1, mode="nearest").reshape(shape)


def distance_in_box(mask: Mask, cell: Cell, pose: Pose) -> Doubles:
    """Return the distance in µm of the box's voxels to the surface of a mask of the cell, negative inside."""
    return at_box_voxels(signed_distance(mask, cell.voxel_size), cell.voxel_size, cell.offset, pose)


# ------------------------------------------------------------------------------------------ simulated cells


def known_cell(
    index: int, *, structures: Sequence[str], box: Box, seed: int, draws: int
) -> tuple[str, str, Floats, Floats, Mask]:
    """Simulate cell number ``index`` in the box, with the expected localisation of one structure.

    Returns
    -------
    structure, stage : str
        Structures and stages take turns, and half of the cells are in interphase.
    image : array of float32, (3, Z, Y, X)
        Simulated microscope images of membrane, DNA and structure.
    expected : array of float32, (Z, Y, X)
        Noise-free expected localisation of the structure in this shape.
    inside : array of bool, (Z, Y, X)
        Mask of the cell.
    """
    structure = structures[index % len(structures)]
    turn = index // len(structures)
    stage = STAGE_NAMES[0] if turn % 2 == 0 else STAGE_NAMES[1 + (turn // 2 + index) % (len(STAGE_NAMES) - 1)]
    # Simulated data sets draw their seeds in the same way, from another first number.
    cell_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    simulated = simulate_cell(cell_seed, stage=stage, structure=structure, voxel_size=box.voxel_size / 2)
    cell = simulated.cell
    pose = pose_of(cell, box)
    image = posed_image(cell, structure, pose)
    expected = simulated.expected_localisation(structure, draws=draws, seed=seed)
    expected = to_box(expected, cell.voxel_size, pose, offset=cell.offset)
    return structure, stage, image, expected, distance_in_box(cell.cell_mask, cell, pose) <= 0


def score_simulated(
    model: IntegratedCell,
    *,
    n_cells: int = 220,
    seed: int = 990_001,
    draws: int = 128,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a model on new simulated cells: label accuracy, and correlation with the expected localisation.

    Returns
    -------
    dict
        ``n_cells``, ``label_accuracy``, ``localisation_pearson`` (mean over structures of the mean over cells,
        in the voxels inside the cell), and both by structure and by stage. Structures of the model that the
        simulator does not have are left out; if it has none of them, the dict is empty.
    """
    structures = tuple(name for name in model.config.structures if name in VARIABILITY)
    if not structures:
        return {}
    make = partial(known_cell, structures=structures, box=model_box(model.config), seed=seed, draws=draws)
    correct: dict[str, list[bool]] = {s: [] for s in structures}
    correlations: dict[str, list[float]] = {s: [] for s in structures}
    by_stage: dict[str, list[float]] = {}
    with worker_processes(workers) as pool:
        cells = pool.map(make, range(n_cells), chunksize=2)
        for i, (structure, stage, image, expected, inside) in enumerate(cells):
            label = model.config.structures[int(model.classify(image[None])[0].argmax())]
            predicted = model.integrate(image[None, :2], [structure])[structure][0]
            r = pearson(predicted[inside], expected[inside])
            correct[structure].append(label == structure)
            correlations[structure].append(r)
            by_stage.setdefault(stage, []).append(r)
            if progress is not None:
                progress(i + 1, n_cells, "scoring simulated cells")
    pearson_by_structure = {s: float(np.mean(v)) for s, v in correlations.items() if v}
    return {
        "n_cells": n_cells,
        "seed": seed,
        "label_accuracy": float(np.mean([c for v in correct.values() for c in v])),
        "label_recall": {s: float(np.mean(v)) for s, v in correct.items() if v},
        "localisation_pearson": float(np.mean(list(pearson_by_structure.values()))),
        "localisation_pearson_by_structure": pearson_by_structure,
        "localisation_pearson_by_stage": {s: float(np.mean(v)) for s, v in sorted(by_stage.items())},
    }


# ----------------------------------------------------------------------------------------------- real cells


def field_cells(folder: Path) -> tuple[list[Cell], Mask]:
    """Read the segmented cells of a real field (``cell_labels``, ``nucleus_labels``) and its TOMM20 mask."""
    labels, voxel_size = read_labels(folder / "cell_labels.ome.tif")
    nuclei, _ = read_labels(folder / "nucleus_labels.ome.tif")
    mitochondria, _ = read_labels(folder / "tomm20_mask.ome.tif")
    if voxel_size is None:
        raise ValueError(f"{folder / 'cell_labels.ome.tif'} does not state its voxel size.")
    cells = [
        cell_from_labels(
            labels, value, nuclei, {}, voxel_size, margin=3.0, name=f"cell {value}", source=str(folder)
        )
        for value in label_values(labels)
    ]
    return cells, mitochondria > 0


def score_real_cell(
    cell: Cell, mitochondria: Mask, model: IntegratedCell, *, ensemble: bool = False
) -> dict[str, Any]:
    """Measure how the predicted intensity of structures spreads over the compartments of one real cell.

    Parameters
    ----------
    cell : Cell
        A segmented cell. Its reference channels are rendered.
    mitochondria : array of bool, (Z, Y, X)
        TOMM20 segmentation of the whole field.
    ensemble : bool
        Whether to score the mean over the four flips.

    Returns
    -------
    dict
        ``inside_cell`` by structure (share within the cell dilated by 0.5 µm), ``fibrillarin_in_nucleus``,
        ``lamin_at_surface`` (within 1 µm of the nuclear surface), ``tom20_outside_nucleus``, ``tom20_pearson``,
        and ``cytoplasm_pearson``, the same for a uniform cytoplasm. What is about a structure that the model does not
        have is left out. Predictions are masked by the cell, as a user
        gets them. The keys ``..._unmasked`` are about the decoder's output before masking.
    """
    done = integrate_cell(cell, model, ensemble=ensemble)
    pose, volumes = done.pose, done.volumes
    unmasked = integrate_cell(cell, model, pose=pose, masked=False, ensemble=ensemble).volumes

    to_membrane = distance_in_box(cell.cell_mask, cell, pose)
    to_nucleus = distance_in_box(cell.nucleus_mask, cell, pose)

    def share(volume: Floats, where: Mask) -> float:
        total = float(volume.sum())
        return float(volume[where].sum()) / total if total > 0 else 0.0

    inside, near = to_membrane <= 0, to_membrane <= CELL_DILATION
    window = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
    observed = to_box(mitochondria[window].astype(np.float32), cell.voxel_size, pose, offset=cell.offset)
    cytoplasm = np.where(to_nucleus > 0, posed_mask(cell, pose), 0)  # its rim is masked like a prediction's
    scores: dict[str, Any] = {
        "inside_cell": {name: share(v, near) for name, v in volumes.items()},
        "inside_cell_unmasked": {name: share(v, near) for name, v in unmasked.items()},
    }
    for score, name, where in (
        ("fibrillarin_in_nucleus", "fibrillarin", to_nucleus <= 0),
        ("lamin_at_surface", "lamin-B1", np.abs(to_nucleus) <= LAMINA_WIDTH),
    ):
        if name in volumes:
            scores[score] = share(volumes[name], where)
            scores[f"{score}_unmasked"] = share(unmasked[name], where)
    if "TOM20" in volumes:
        scores["tom20_outside_nucleus"] = share(volumes["TOM20"], to_nucleus > 0)
        scores["tom20_pearson"] = pearson(volumes["TOM20"][inside], observed[inside])
        scores["cytoplasm_pearson"] = pearson(cytoplasm[inside], observed[inside])
    return {**scores, "outside_box": pose.outside}


def score_real_field(folder: Path, model: IntegratedCell, progress: Progress | None = None) -> dict[str, Any]:
    """Score every cell of a real field; return means and minima over cells."""
    cells, mitochondria = field_cells(folder)
    scores = []
    for i, cell in enumerate(cells):
        scores.append(score_real_cell(cell, mitochondria, model))
        if progress is not None:
            progress(i + 1, len(cells), "scoring real cells")
    names = model.config.structures
    inside = {name: [s["inside_cell"][name] for s in scores] for name in names}
    unmasked = {name: [s["inside_cell_unmasked"][name] for s in scores] for name in names}
    single = [key for key, value in scores[0].items() if isinstance(value, float) and key != "outside_box"]
    return {
        "n_cells": len(cells),
        "inside_cell_least_structure_mean": min(float(np.mean(v)) for v in inside.values()),
        "inside_cell_unmasked_least_structure_mean": min(float(np.mean(v)) for v in unmasked.values()),
        "inside_cell_mean": {name: float(np.mean(v)) for name, v in inside.items()},
        "inside_cell_unmasked_mean": {name: float(np.mean(v)) for name, v in unmasked.items()},
        "inside_cell_least": {name: float(np.min(v)) for name, v in inside.items()},
        **{key: float(np.mean([s[key] for s in scores])) for key in single},
        **{f"{key}_by_cell": [round(float(s[key]), 4) for s in scores] for key in single},
    }
