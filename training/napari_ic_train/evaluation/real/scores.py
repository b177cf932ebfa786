"""Measure a model on one set of real cells."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.depth import DepthProfile
from napari_ic_train.evaluation.localisation import LAMINA_WIDTH, at_box_voxels, signed_distance
from napari_ic_train.evaluation.real.datasets import RealCell, real_cells
from napari_integrated_cell.arrays import Doubles, Floats
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.data.entry import STRUCTURE
from napari_integrated_cell.imaging.pose import Pose, posed_structure
from napari_integrated_cell.integration import integrate_cell
from napari_integrated_cell.latent.recognition import recognise_cell
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import Progress, worker_processes

BEYOND = 95.0
"""Percentile of the typicality's distance."""
MARGIN = 4
"""Voxels around the cell in which distances are computed."""


@dataclass(frozen=True, eq=False)
class Observed:
    """A structure that is observed in a cell, in the model's box.

    Attributes
    ----------
    light, predicted, to_cell, to_nucleus : array, (Z, Y, X)
        Observed light (or segmentation), the model's prediction, and the distances in µm to both surfaces.
    """

    light: Floats
    predicted: Floats
    to_cell: Doubles
    to_nucleus: Doubles


@dataclass(frozen=True, eq=False)
class MeasuredCell:
    """What a model does on one cell; the attributes are those of `SetScores` for one cell."""

    name: str
    structure: str
    segmented: bool
    percentile: float | None
    shares: Mapping[str, float]
    label: tuple[str, bool | None] | None = None
    observed: Observed | None = None


@dataclass(eq=False)
class SetScores:
    """What a model does on one set of cells.

    Attributes
    ----------
    cells : int
        Number of cells that could be used.
    left_out : list of str
        Why other cells could not be used.
    percentiles : list of float
        Percentile of each cell's distance to known cells; empty if the model does not hold them.
    shares : mapping of str to list of float
        Share of each cell's predicted light in a compartment.
    observed : mapping of str to list of Observed
        By structure, only those that the model has.
    labels : mapping of str to list of (str, bool or None)
        By observed structure: the most probable label of each cell, and whether it is called none of these.
    segmented : set of str
        Observed structures that are segmentations instead of light.
    """

    cells: int = 0
    left_out: list[str] = field(default_factory=list)
    percentiles: list[float] = field(default_factory=list)
    shares: defaultdict[str, list[float]] = field(default_factory=partial(defaultdict, list))
    observed: defaultdict[str, list[Observed]] = field(default_factory=partial(defaultdict, list))
    labels: defaultdict[str, list[tuple[str, bool | None]]] = field(
        default_factory=partial(defaultdict, list)
    )
    segmented: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Localisation:
    """Mean correlations with an observed structure inside the cell, over cells.

    Attributes
    ----------
    cells : int
    model, depth, mean_image : float
        Of the model's prediction, of the mean light of the other cells by depth, and of their mean image.
    """

    cells: int
    model: float
    depth: float
    mean_image: float


def score_set(
    folder: Path, bundle: str, *, workers: int | None = None, progress: Progress | None = None
) -> SetScores:
    """Measure a model on all cells of one set (see `real_cells`).

    Parameters
    ----------
    bundle : str
        Path or name of the model.
    workers : int, optional
        Number of processes; one per core if left out.
    """
    scores = SetScores()
    seen: set[str] = set()
    parts = 2 * (workers or os.cpu_count() or 1)
    with worker_processes(workers) as pool:
        # Each process reads its own cells: whole cells would take longer to send than to read.
        for done, found in enumerate(pool.map(partial(measured_part, folder, bundle, parts), range(parts))):
            for one in found:
                if isinstance(one, str):
                    scores.left_out.append(one)
                else:
                    _add(scores, one, new=one.name not in seen)
                    seen.add(one.name)
            if progress is not None:
                progress(done + 1, parts, f"measuring {folder.name}")
    return scores


def measured_part(folder: Path, bundle: str, parts: int, part: int) -> list[MeasuredCell | str]:
    """Measure a model on every ``parts``-th cell of a set, from number ``part`` on."""
    cells = real_cells(folder, slice(part, None, parts))
    return [one if isinstance(one, str) else measured(bundle, one) for one in cells]


def localisation(observed: Sequence[Observed], width: float) -> Localisation | None:
    """Compare the model with baselines from the other cells of the set; None with fewer than two cells.

    Parameters
    ----------
    observed : sequence of Observed
    width : float
        Width of a bin of the depth baseline in µm.
    """
    lit = [one for one in observed if float(one.light[one.to_cell <= 0].sum()) > 0]
    if len(lit) < 2:
        return None
    scaled = [one.light / one.light[one.to_cell <= 0].mean() for one in lit]
    total = np.sum(scaled, 0)
    found = []
    for i, one in enumerate(lit):
        inside = one.to_cell <= 0
        profile = DepthProfile(width)
        for j, other in enumerate(lit):
            if j != i:
                profile.add(other.light, other.to_cell, other.to_nucleus)
        others = (one.predicted, profile.predict(one.to_cell, one.to_nucleus), total - scaled[i])
        found.append([pearson(image[inside], one.light[inside]) for image in others])
    model, depth, mean_image = np.mean(found, 0)
    return Localisation(len(lit), float(model), float(depth), float(mean_image))


def beyond(percentiles: Sequence[float]) -> float | None:
    """Return the share of cells beyond the :data:`BEYOND` percentile; None if it is not known."""
    return float(np.mean(np.asarray(percentiles) > BEYOND)) if len(percentiles) else None


def most_frequent(labels: Sequence[tuple[str, bool | None]]) -> Mapping[str, int]:
    """Return how many cells get each label, the most frequent first."""
    names, counts = np.unique([name for name, _ in labels], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[i]): int(counts[i]) for i in order}


def measured(bundle: str, real: RealCell) -> MeasuredCell:
    """Measure a model on one cell."""
    model, cell = _model(bundle), real.cell
    done = integrate_cell(cell, model)
    to_cell, to_nucleus = _distances(cell, done.pose)
    shares = {}
    for name, where in (
        ("fibrillarin", to_nucleus <= 0),
        ("lamin-B1", np.abs(to_nucleus) <= LAMINA_WIDTH),
        ("TOM20", to_nucleus > 0),
    ):
        if name in done.volumes and (total := float(done.volumes[name].sum())) > 0:
            shares[name] = float(done.volumes[name][where].sum()) / total
    percentile = None if done.typicality is None else done.typicality.percentile
    found = MeasuredCell(cell.name, real.structure, real.segmented, percentile, shares)
    if not real.structure:
        return found
    recognised = recognise_cell(cell, STRUCTURE, model, pose=done.pose)
    label = (next(iter(recognised.probabilities)), recognised.none_of_these)
    observed = None
    if real.structure in done.volumes:
        light = posed_structure(cell, STRUCTURE, done.pose)
        observed = Observed(light, done.volumes[real.structure], to_cell, to_nucleus)
    return replace(found, label=label, observed=observed)


def _add(scores: SetScores, one: MeasuredCell, *, new: bool) -> None:
    """Add a cell's measures to those of its set; a cell with several observed structures is counted once."""
    if new:
        scores.cells += 1
        if one.percentile is not None:
            scores.percentiles.append(one.percentile)
        for name, share in one.shares.items():
            scores.shares[name].append(share)
    if one.label is None:
        return
    if one.segmented:
        scores.segmented.add(one.structure)
    scores.labels[one.structure].append(one.label)
    if one.observed is not None:
        scores.observed[one.structure].append(one.observed)


@cache
def _model(bundle: str) -> IntegratedCell:
    return load_model(bundle, device="cpu")


def _distances(cell: Cell, pose: Pose) -> tuple[Doubles, Doubles]:
    """Return the distances in µm of the box's voxels to the surfaces of a cell and its nucleus, negative inside.

    They are computed close around the cell only: farther out they just have to be positive.
    """
    window = []
    for axis in range(3):
        planes = np.flatnonzero(cell.cell_mask.any(tuple(other for other in range(3) if other != axis)))
        window.append(slice(max(int(planes[0]) - MARGIN, 0), int(planes[-1]) + 1 + MARGIN))
    z, y, x = (o + part.start for o, part in zip(cell.offset, window, strict=True))
    to_cell, to_nucleus = (
        at_box_voxels(signed_distance(mask[tuple(window)], cell.voxel_size), cell.voxel_size, (z, y, x), pose)
        for mask in (cell.cell_mask, cell.nucleus_mask)
    )
    return to_cell, to_nucleus
