"""Write simulated cells in the layout of the public single-cell dataset: metadata.csv, crop_raw, crop_seg."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_integrated_cell import vocabulary
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.processes import CancelToken, Progress, worker_processes
from napari_integrated_cell.simulation.acquisition import IDEAL, checked_imaging
from napari_integrated_cell.simulation.cells import (
    DEFAULT_STAGE_WEIGHTS,
    draw_stage,
    drawn_acquisition,
    drawn_population,
    random_generator,
    simulate_cell,
    simulate_shape,
    voxels,
    wanted_structures,
)
from napari_integrated_cell.simulation.geometry import CellShape
from napari_integrated_cell.simulation.population import DEFAULT_POPULATION, checked_population
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

RAW_CHANNELS = ("dna", "membrane", "structure")
CELLS_PER_FIELD, FIELDS_PER_WELL, WELLS_PER_PLATE = 6, 4, 12
STRUCTURE_THRESHOLD = 0.3
"""Threshold of a structure's true segmentation, relative to the noise-free 99.5th percentile in the cell."""

_Rows: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""One cell's row in ``metadata.csv``, and its row in ``truth.csv``."""


@dataclass(frozen=True)
class _Plan:
    """Settings that determine every cell of a dataset; stored beside it as ``simulated.json``."""

    seed: int
    voxel_size: tuple[float, float, float]
    structures: tuple[str, ...]
    stage_weights: tuple[tuple[str, float], ...]
    margin: float
    population: str
    imaging: str

    def cell_seed(self, index: int) -> int:
        return int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])

    def stage(self, index: int) -> str:
        return draw_stage(random_generator(self.cell_seed(index), 7), dict(self.stage_weights))

    def structure(self, index: int) -> str:
        return self.structures[index % len(self.structures)]

    def paths(self, index: int) -> tuple[str, str]:
        return f"crop_raw/{index + 1}_raw.ome.tif", f"crop_seg/{index + 1}_segmentation.ome.tif"


def write_dataset(
    out: str | os.PathLike[str],
    n_cells: int,
    *,
    seed: int = 0,
    voxel_size: float | Iterable[float] = 0.317,
    structures: str | Iterable[str] | None = None,
    stage_weights: Mapping[str, float] | None = None,
    margin: float = 2.0,
    population: str = DEFAULT_POPULATION,
    imaging: str = IDEAL,
    workers: int = 1,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Path:
    """Write ``n_cells`` simulated cells in the public dataset's layout, or continue an interrupted call.

    Cell ``i`` depends only on ``seed`` and ``i``, not on the number of workers or cells.

    Parameters
    ----------
    out : path
        Folder to write to: ``metadata.csv``, ``truth.csv``, ``crop_raw/``, ``crop_seg/``.
    n_cells : int
        Number of cells in the dataset.
    seed : int
        Random seed of the dataset.
    voxel_size : float or (Z, Y, X)
        Voxel size in µm; 0.108333 in the public dataset.
    structures : names or None
        Structures that cells show in turn, one each; None means all eleven.
    stage_weights : mapping of stage to weight, or None
        Probability of each stage; by default :data:`DEFAULT_STAGE_WEIGHTS`.
    margin : float
        Margin in µm around each cell.
    population : {"field", "hipsc", "spread", "mixed"}
        As for :func:`simulate_cell`.
    imaging : {"ideal", "varied"}
        As for :func:`simulate_cell`. ``truth.csv`` lists the faults of each cell's images.
    workers : int
        Number of processes.
    progress : callable (done, total, what), optional
        Called after every cell.
    cancel : CancelToken, optional
        Checked between cells. Complete cells stay, and the next call continues after them.

    Returns
    -------
    Path
        The manifest, ``out/metadata.csv``.

    Raises
    ------
    ValueError
        If a number is out of range, a name is unknown, or the folder has a dataset with other settings.
    Cancelled
        If ``cancel`` was set.
    """
    if n_cells < 1 or workers < 1:
        raise ValueError(
            f"{n_cells} cells by {workers} workers cannot be simulated: give whole numbers from 1 upwards."
        )
    names = wanted_structures(structures) or STRUCTURE_NAMES
    weights = DEFAULT_STAGE_WEIGHTS if stage_weights is None else stage_weights
    draw_stage(random_generator(seed), weights)  # checks weights and seed before anything is written
    plan = _Plan(
        seed,
        voxels(voxel_size),
        names,
        tuple((vocabulary.stage(s).name, float(w)) for s, w in weights.items()),
        float(margin),
        checked_population(population),
        checked_imaging(imaging),
    )
    folder = Path(out)
    _check_settings(folder, plan)
    missing = [i for i in range(n_cells) if not all((folder / p).is_file() for p in plan.paths(i))]
    done = n_cells - len(missing)
    if progress:
        progress(done, n_cells, "simulating cells")
    rows: dict[int, _Rows] = {}
    for index, row in _write_cells(folder, plan, missing, workers):
        rows[index] = row
        done += 1
        if progress:
            progress(done, n_cells, "simulating cells")
        if cancel is not None:
            cancel.raise_if_cancelled()
    listed, truths = zip(*(rows.get(i) or _rows(plan, i) for i in range(n_cells)), strict=True)
    _write_csv(folder / "truth.csv", list(truths))
    return _write_csv(folder / "metadata.csv", list(listed))


def _check_settings(folder: Path, plan: _Plan) -> None:
    """Create the folders and store the settings, or compare them with those of an earlier call."""
    settings = json.dumps({"simulated": True, **asdict(plan)}, indent=2)
    note = folder / "simulated.json"
    if note.is_file():
        if json.loads(note.read_text(encoding="utf-8")) != json.loads(settings):
            raise ValueError(
                f"The folder {folder} holds simulated cells of other settings (see {note.name} in it): "
                "choose another folder, or the same seed, voxel size, structures, stages, population and imaging."
            )
        return
    try:
        for name in ("crop_raw", "crop_seg"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        note.write_text(settings, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"The folder {folder} cannot be written to ({error.strerror}): choose another."
        ) from error


def _write_cells(folder: Path, plan: _Plan, indices: list[int], workers: int) -> Iterator[tuple[int, _Rows]]:
    """Write the cells of ``indices``, and yield the rows of each when it is complete."""
    if workers == 1 or len(indices) < 2:
        for index in indices:
            yield _write_cell(folder, plan, index)
        return
    with worker_processes(min(workers, len(indices))) as pool:
        tasks = [pool.submit(_write_cell, folder, plan, index) for index in indices]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()


def _write_cell(folder: Path, plan: _Plan, index: int) -> tuple[int, _Rows]:
    name = plan.structure(index)
    simulated = simulate_cell(
        plan.cell_seed(index),
        stage=plan.stage(index),
        structure=name,
        voxel_size=plan.voxel_size,
        margin=plan.margin,
        population=plan.population,
        imaging=plan.imaging,
    )
    cell = simulated.cell
    image = simulated.noise_free[name]
    marked = (image > STRUCTURE_THRESHOLD * np.percentile(image[cell.cell_mask], 99.5)) & cell.cell_mask
    raw = (cell.channels["dna"], cell.channels["membrane"], cell.channels[name])
    masks = (cell.nucleus_mask, cell.cell_mask, cell.cell_mask, marked, marked)
    seg = tuple(mask.astype(np.uint8) * np.uint8(255) for mask in masks)
    what = f"Simulated, not a real cell: cell {index + 1}, {name}, {plan.stage(index)}"
    for path, names, volumes in zip(
        plan.paths(index), (RAW_CHANNELS, CROP_SEG_CHANNELS), (raw, seg), strict=True
    ):
        write_ome_tiff(
            folder / path, dict(zip(names, volumes, strict=True)), cell.voxel_size, description=what
        )
    return index, _rows(plan, index, simulated.shape)


def _rows(plan: _Plan, index: int, shape: CellShape | None = None) -> _Rows:
    """Return the rows of one cell in the manifest and in the ground truth. Both follow from the settings."""
    name, stage, seed = plan.structure(index), plan.stage(index), plan.cell_seed(index)
    shape = shape or simulate_shape(seed, stage, plan.population)
    acquisition = drawn_acquisition(seed, plan.imaging)
    nz, ny, nx = acquisition.in_field(shape, shape.grid(plan.voxel_size, plan.margin)).shape
    raw, seg = plan.paths(index)
    field, within = divmod(index, CELLS_PER_FIELD)
    well = field // FIELDS_PER_WELL
    row = {
        "CellId": index + 1,
        "crop_raw": raw,
        "crop_seg": seg,
        "name_dict": str({"crop_raw": list(RAW_CHANNELS), "crop_seg": list(CROP_SEG_CHANNELS)}),
        "structure_name": vocabulary.structure(name).gene,
        "cell_stage": vocabulary.stage(stage).dataset_code,
        "scale_micron": str(list(acquisition.stated_voxel_size(plan.voxel_size))),
        "roi": f"[0,{nz},0,{ny},0,{nx}]",
        "fov_path": f"fov/simulated_{field + 1}.ome.tif",
        "FOVId": field + 1,
        "PlateId": well // WELLS_PER_PLATE + 1,
        "WellId": well + 1,
        "this_cell_index": within + 1,
        "edge_flag": 0,
        "outlier": "No",
        "simulated": True,
        "simulated_stage": stage,
    }
    truth = {
        "CellId": index + 1,
        "simulated": True,
        "seed": seed,
        "stage": stage,
        "structure": name,
        "population": drawn_population(seed, plan.population),
        **{key: round(value, 5) for key, value in {**shape.parameters(), **acquisition.parameters()}.items()},
    }
    return row, truth


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
