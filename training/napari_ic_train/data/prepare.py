"""A manifest of segmented cells becomes a training store: every cell read, posed, normalised, masked."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_ic_train.data.store import CellStore, StoreWriter
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import Box, pose_of, posed_references, posed_structure
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, read_crop
from napari_integrated_cell.vocabulary import REFERENCE_NAMES, STRUCTURE_NAMES, structure

Progress = Callable[[int, int, str], None]
ReferenceSource = Literal["stain", "segmentation", "mixed"]
REFERENCE_SOURCES: tuple[str, ...] = get_args(ReferenceSource)


def _literal(value: Any, default: Any) -> Any:
    """The Python literal written in a manifest's cell; the default where the cell is empty."""
    return ast.literal_eval(value) if isinstance(value, str) and value else default


def fraction_of(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on ``key`` and ``seed`` alone: the same on every machine, in any order."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def cell_of_row(
    row: Mapping[str, Any], folder: Path, *, references: Literal["stain", "segmentation"]
) -> Cell:
    """The cell that one row of a manifest in the public layout describes.

    Parameters
    ----------
    row : mapping
        With at least CellId, crop_seg, structure_name; crop_raw, name_dict, scale_micron, cell_stage if there.
    folder : path
        Where the row's relative paths start.
    references : {"stain", "segmentation"}
        Leave the stains out to have the references rendered from the segmentations.
    """
    names = _literal(row.get("name_dict"), {})
    protein = structure(str(row["structure_name"])).name
    raw = tuple(names.get("crop_raw", ("dna", "membrane", "structure")))
    crop_raw = row.get("crop_raw")
    cell = read_crop(
        folder / str(row["crop_seg"]),
        folder / str(crop_raw) if isinstance(crop_raw, str) and crop_raw else None,
        raw_channels=raw,
        seg_channels=tuple(names.get("crop_seg", CROP_SEG_CHANNELS)),
        voxel_size=tuple(_literal(row.get("scale_micron"), (0.108333,) * 3)),
        structure=protein,
        name=f"cell {row['CellId']}",
    )
    if references == "stain":
        return cell
    kept = {name: image for name, image in cell.channels.items() if name not in REFERENCE_NAMES}
    return Cell(kept, cell.cell_mask, cell.nucleus_mask, cell.voxel_size, cell.name, cell.source, cell.offset)


def posed_row(
    row: Mapping[str, Any], folder: Path, box: Box, references: ReferenceSource, seed: int
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """One manifest row as a posed image (3, Z, Y, X) in [0, 1] and the row that the store's table keeps of it."""
    key = str(row["CellId"])
    stained = references == "stain" or (references == "mixed" and fraction_of(key, seed + 1) < 0.5)
    cell = cell_of_row(row, folder, references="stain" if stained else "segmentation")
    protein = structure(str(row["structure_name"])).name
    pose = pose_of(cell, box)
    image = np.concatenate([posed_references(cell, pose), posed_structure(cell, protein, pose)[None]])
    return image, {
        "CellId": key,
        "structure": protein,
        "stage": row.get("simulated_stage") or row.get("cell_stage"),
        "field": str(row.get("FOVId", key)),
        "plate": str(row.get("PlateId", "")),
        "references": "stain" if stained else "segmentation",
        "cell_volume": cell.volume,
        "nucleus_volume": cell.nucleus_volume,
        "angle": pose.angle,
        "flip_y": pose.flips[0],
        "flip_x": pose.flips[1],
        "flip_margin_y": pose.flip_margins[0],
        "flip_margin_x": pose.flip_margins[1],
        "elongation": pose.elongation,
        "outside": pose.outside,
    }


def prepare(
    manifest: str | Path,
    out: str | Path,
    box: Box,
    *,
    references: ReferenceSource = "stain",
    test_fraction: float = 0.05,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CellStore:
    """Pose every cell of a manifest in the public dataset's layout into a training store (section 3.1).

    Cells of one field stay on one side of the split, so that no test cell has a neighbour in training.

    Parameters
    ----------
    manifest : path-like
        ``metadata.csv`` with the columns CellId, crop_raw, crop_seg, structure_name, ...; paths in it are
        relative to its folder.
    out : path-like
        The store's folder.
    box : Box
        The model's box.
    references : {"stain", "segmentation", "mixed"}
        Reference images from the stains, rendered from the segmentations, or one or the other by cell, which
        teaches a model to take both.
    test_fraction : float
        Share of fields held out.
    seed : int
        Of the split.
    workers : int, optional
        Processes; all cores when left out.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    CellStore

    Raises
    ------
    ValueError
        If there is no such manifest, or no such source of references.
    """
    if references not in REFERENCE_SOURCES:
        raise ValueError(
            f"References cannot come from {references!r}: choose {', '.join(REFERENCE_SOURCES)}."
        )
    manifest = Path(manifest)
    if not manifest.is_file():
        raise ValueError(f"There is no manifest {manifest}: give the metadata.csv of a dataset.")
    table = pd.read_csv(manifest, low_memory=False)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    present = {structure(str(row["structure_name"])).name for row in rows}
    writer = StoreWriter(
        out,
        len(rows),
        channels=(*REFERENCE_NAMES, "structure"),
        box=box.shape,
        voxel_size=box.voxel_size,
        structures=[name for name in STRUCTURE_NAMES if name in present],
        simulated=all(bool(row.get("simulated")) for row in rows),
        source=manifest.parent.name,
    )
    pose_one = partial(posed_row, folder=manifest.parent, box=box, references=references, seed=seed)
    for i, (image, kept) in enumerate(_in_processes(pose_one, rows, workers)):
        kept["split"] = "test" if fraction_of(kept["field"], seed) < test_fraction else "train"
        writer.write(i, image, kept)
        if progress is not None:
            progress(i + 1, len(rows), "posing cells")
    return writer.finish()


def _in_processes(work: Callable[[Any], Any], items: Sequence[Any], workers: int | None) -> Iterator[Any]:
    """``work`` over ``items`` in order, in as many processes as there are workers."""
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, items, chunksize=8)
