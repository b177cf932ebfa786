"""Folders of small fields, and a small model, for tests of whole batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_cells
from tiny_bundle import CONFIG, MARKDOWN

from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.model.bundle import save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark

VOXEL = (1.0, 1.0, 1.0)


def side_by_side(what: str, first: int = 0, count: int = 2) -> np.ndarray:
    """One channel or mask of some cells beside one another; masks become labels from 2."""
    cells = [tiny_cells.volumes(first + i)[what] for i in range(count)]
    if what.endswith("mask"):
        cells = [((i + 2) * cell).astype(np.uint8) for i, cell in enumerate(cells)]
    return np.concatenate(cells, axis=2)


def write_labels(folder: Path, cells: str, nuclei: str, first: int = 0, count: int = 2) -> None:
    """Write the two label images of a field."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, what in ((cells, "cell_mask"), (nuclei, "nucleus_mask")):
        write_ome_tiff(folder / name, {"labels": side_by_side(what, first, count)}, VOXEL)


def write_image(path: Path, names: tuple[str, ...] = ("CellMask", "Hoechst", "EGFP"), first: int = 0) -> None:
    """Write membrane, DNA and structure of a field, as channels with these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = ("membrane", "dna", "structure")[: len(names)]
    write_ome_tiff(path, {n: side_by_side(c, first) for n, c in zip(names, channels, strict=True)}, VOXEL)


def write_model(path: Path) -> Path:
    """Write an untrained model with two landmarks."""
    model = IntegratedCell.untrained(CONFIG)
    model.landmarks = tuple(
        Landmark(stage, "1", np.full(CONFIG.n_ref, value, np.float32), "cityblock", "all", 0, 5)
        for stage, value in (("interphase", 0.0), ("metaphase", 50.0))
    )
    save_bundle(
        model, path, card={"simulated": True, "licence": "BSD-3-Clause"}, model_card_markdown=MARKDOWN
    )
    return path
