"""Does a model put structures where they belong? Measured on simulated cells, where the truth is known, and on
segmented real cells, where each structure's compartment is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import (
    Box,
    Pose,
    pose_of,
    posed_mask,
    posed_references,
    posed_structure,
    to_box,
)
from napari_integrated_cell.imaging.reading import read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values
from napari_integrated_cell.integration import integrate_cell, model_box
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import worker_processes
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.vocabulary import STAGE_NAMES

Progress = Callable[[int, int, str], None]
Volume = NDArray[np.float32]

# Thresholds of "inside" and "at the surface", in µm.
CELL_DILATION = 0.5
LAMINA_WIDTH = 1.0


def pearson(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson correlation of two sets of voxels; 0 where one of them is constant."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def signed_distance(mask: NDArray[np.bool_], voxel_size: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance in µm to the mask's surface, negative inside, (Z, Y, X)."""
    outside = ndimage.distance_transform_edt(~mask, sampling=voxel_size)
    inside = ndimage.distance_transform_edt(mask, sampling=voxel_size)
    return outside - inside


def at_box_voxels(
    image: NDArray[np.floating],
    voxel_size: tuple[float, float, float],
    offset: tuple[int, int, int],
    pose: Pose,
) -> NDArray[np.float64]:
    """A smooth map of a cell's crop read at the centres of the box's voxels, (Z, Y, X).

    Outside the crop the nearest value stands: right for a distance, which only has to stay large there.
    """
    shape = pose.box.shape
    grid = np.indices(shape, np.float64).reshape(3, -1) * pose.box.voxel_size
    micrometres = pose.from_box[:3, :3] @ grid + pose.from_box[:3, 3:]
    voxels = micrometres / np.reshape(voxel_size, (3, 1)) - np.reshape(offset, (3, 1))
    return ndimage.map_coordinates(image, voxels, order=1, mode="nearest").reshape(shape)


# ------------------------------------------------------------------------------------------ simulated cells


@dataclass(frozen=True, eq=False)
class KnownCell:
    """An unseen simulated cell in the model's box, with the truth of one structure.

    Attributes
    ----------
    image : array of float32, (3, Z, Y, X)
        Membrane, DNA and structure as a microscope would show them.
    structure, stage : str
        What the third channel shows, and the stage of the cell.
    expected : array of float32, (Z, Y, X)
        Noise-free expected localisation of that structure in a cell of this shape.
    inside : array of bool, (Z, Y, X)
        The cell.
    """

    image: Volume
    structure: str
    stage: str
    expected: Volume
    inside: NDArray[np.bool_]


def known_cell(index: int, *, structures: Sequence[str], box: Box, seed: int, draws: int) -> KnownCell:
    """The ``index``-th cell of an unseen set: structures and stages taken in turn, half of them in interphase."""
    structure = structures[index % len(structures)]
    turn = index // len(structures)
    stage = STAGE_NAMES[0] if turn % 2 == 0 else STAGE_NAMES[1 + (turn // 2 + index) % (len(STAGE_NAMES) - 1)]
    # The public layout's seeds are drawn from (set, index); so are these, from another set.
    cell_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    simulated = simulate_cell(cell_seed, stage=stage, structure=structure, voxel_size=box.voxel_size / 2)
    cell = simulated.cell
    pose = pose_of(cell, box)
    image = np.concatenate([posed_references(cell, pose), posed_structure(cell, structure, pose)[None]])
    expected = simulated.expected_localisation(structure, draws=draws, seed=seed)
    inside = (
        at_box_voxels(signed_distance(cell.cell_mask, cell.voxel_size), cell.voxel_size, cell.offset, pose)
        <= 0
    )
    return KnownCell(
        image, structure, stage, to_box(expected, cell.voxel_size, pose, offset=cell.offset), inside
    )


def score_simulated(
    model: IntegratedCell,
    *,
    n_cells: int = 220,
    seed: int = 990_001,
    draws: int = 128,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Label accuracy, and correlation of predicted with expected localisation, on unseen simulated cells.

    Returns
    -------
    dict
        ``n_cells``, ``label_accuracy``, ``localisation_pearson`` (mean over structures of the mean over cells,
        voxels inside the cell only), and both by structure and by stage class.
    """
    structures = model.config.structures
    make = partial(known_cell, structures=structures, box=model_box(model.config), seed=seed, draws=draws)
    correct: dict[str, list[bool]] = {s: [] for s in structures}
    correlations: dict[str, list[float]] = {s: [] for s in structures}
    by_stage: dict[str, list[float]] = {}
    with worker_processes(workers) as pool:
        for i, known in enumerate(pool.map(make, range(n_cells), chunksize=2)):
            label = structures[int(model.classify(known.image[None])[0].argmax())]
            predicted = model.integrate(known.image[None, :2], [known.structure])[known.structure][0]
            r = pearson(predicted[known.inside], known.expected[known.inside])
            correct[known.structure].append(label == known.structure)
            correlations[known.structure].append(r)
            by_stage.setdefault(known.stage, []).append(r)
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


def field_cells(folder: Path) -> tuple[list[Cell], NDArray[np.bool_]]:
    """The segmented cells of a real field (``cell_labels``, ``nucleus_labels``) and its TOMM20 mask."""
    labels, voxel_size = read_labels(folder / "cell_labels.ome.tif")
    nuclei, _ = read_labels(folder / "nucleus_labels.ome.tif")
    mitochondria, _ = read_labels(folder / "tomm20_mask.ome.tif")
    if voxel_size is None:
        raise ValueError(f"{folder / 'cell_labels.ome.tif'} does not say its voxel size.")
    cells = [
        cell_from_labels(
            labels, value, nuclei, {}, voxel_size, margin=3.0, name=f"cell {value}", source=str(folder)
        )
        for value in label_values(labels)
    ]
    return cells, mitochondria > 0


def score_real_cell(cell: Cell, mitochondria: NDArray[np.bool_], model: IntegratedCell) -> dict[str, Any]:
    """Shares of each structure's predicted intensity by compartment, in one real cell.

    Parameters
    ----------
    cell : Cell
        Segmented; its references are rendered.
    mitochondria : array of bool, (Z, Y, X)
        The whole field's TOMM20 segmentation.
    model : IntegratedCell

    Returns
    -------
    dict
        ``inside_cell`` by structure (share within the cell dilated by 0.5 µm), ``fibrillarin_in_nucleus``,
        ``lamin_at_surface`` (within 1 µm of the nuclear surface), ``tom20_outside_nucleus``, and
        ``tom20_pearson`` beside ``cytoplasm_pearson``, the same for a uniform cytoplasm. These are of
        predictions as a user gets them, masked by the cell; ``..._unmasked`` are of what the decoder gives.
    """
    done = integrate_cell(cell, model)
    unmasked = integrate_cell(cell, model, pose=done.pose, masked=False).volumes
    pose, volumes = done.pose, done.volumes

    def distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        return at_box_voxels(signed_distance(mask, cell.voxel_size), cell.voxel_size, cell.offset, pose)

    to_membrane, to_nucleus = distance(cell.cell_mask), distance(cell.nucleus_mask)

    def share(volume: Volume, where: NDArray[np.bool_]) -> float:
        total = float(volume.sum())
        return float(volume[where].sum()) / total if total > 0 else 0.0

    inside = to_membrane <= 0
    window = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
    observed = to_box(mitochondria[window].astype(np.float32), cell.voxel_size, pose, offset=cell.offset)
    cytoplasm = np.where(to_nucleus > 0, posed_mask(cell, pose), 0)  # masked at its rim as predictions are
    return {
        "inside_cell": {name: share(v, to_membrane <= CELL_DILATION) for name, v in volumes.items()},
        "inside_cell_unmasked": {
            name: share(v, to_membrane <= CELL_DILATION) for name, v in unmasked.items()
        },
        "fibrillarin_in_nucleus": share(volumes["fibrillarin"], to_nucleus <= 0),
        "fibrillarin_in_nucleus_unmasked": share(unmasked["fibrillarin"], to_nucleus <= 0),
        "lamin_at_surface": share(volumes["lamin-B1"], np.abs(to_nucleus) <= LAMINA_WIDTH),
        "lamin_at_surface_unmasked": share(unmasked["lamin-B1"], np.abs(to_nucleus) <= LAMINA_WIDTH),
        "tom20_outside_nucleus": share(volumes["TOM20"], to_nucleus > 0),
        "tom20_pearson": pearson(volumes["TOM20"][inside], observed[inside]),
        "cytoplasm_pearson": pearson(cytoplasm[inside], observed[inside]),
        "outside_box": pose.outside,
    }


def score_real_field(folder: Path, model: IntegratedCell, progress: Progress | None = None) -> dict[str, Any]:
    """The scores of every cell of a real field, as means over cells and as the least over cells."""
    cells, mitochondria = field_cells(folder)
    scores = []
    for i, cell in enumerate(cells):
        scores.append(score_real_cell(cell, mitochondria, model))
        if progress is not None:
            progress(i + 1, len(cells), "scoring real cells")
    names = model.config.structures
    inside = {name: [s["inside_cell"][name] for s in scores] for name in names}
    unmasked = {name: [s["inside_cell_unmasked"][name] for s in scores] for name in names}
    single = (
        "fibrillarin_in_nucleus",
        "fibrillarin_in_nucleus_unmasked",
        "lamin_at_surface",
        "lamin_at_surface_unmasked",
        "tom20_outside_nucleus",
        "tom20_pearson",
        "cytoplasm_pearson",
    )
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
