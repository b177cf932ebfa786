"""Small cells, of which a whole store is prepared in a second, in the public dataset's layout."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.imaging.pose import Box
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.vocabulary import STRUCTURES

BOX = Box((8, 12, 16), 2.0)
VOXEL_SIZE = (1.0, 1.0, 1.0)
RAW = ("dna", "membrane", "structure")


def volumes(index: int) -> dict[str, np.ndarray]:
    """One cell's masks and stains, (Z, Y, X), oblong and lopsided, each cell its own."""
    random = np.random.default_rng(index)
    z, y, x = np.meshgrid(np.arange(12) - 5.5, np.arange(24) - 12, np.arange(30) - 14, indexing="ij")
    long, broad = random.uniform(9, 12), random.uniform(5, 8)
    depth = ((x + 0.1 * y) / long) ** 2 + ((y - 0.02 * x**2) / broad) ** 2 + (z / 4) ** 2
    nucleus = (x / 4) ** 2 + (y / 3) ** 2 + (z / 2) ** 2 < 1
    noise = random.integers(0, 20, (3, *depth.shape))
    stains = (500 * nucleus, 500 * (abs(depth - 0.9) < 0.3), 300 * (abs(x - random.integers(-4, 5)) < 2))
    named = {
        name: (stain + n + 100).astype(np.uint16) for name, stain, n in zip(RAW, stains, noise, strict=True)
    }
    return {**named, "cell_mask": depth < 1, "nucleus_mask": nucleus & (depth < 1)}


def write_files(folder: Path, index: int) -> tuple[str, str]:
    """One cell's ``crop_raw`` and ``crop_seg``; their paths in the folder."""
    seen = volumes(index)
    masks = {
        "dna_segmentation": seen["nucleus_mask"],
        "membrane_segmentation": seen["cell_mask"],
        "membrane_segmentation_roof": seen["cell_mask"],
        "struct_segmentation": seen["structure"] > 250,
        "struct_segmentation_roof": seen["structure"] > 250,
    }
    raw, seg = f"crop_raw/{index}_raw.ome.tif", f"crop_seg/{index}_segmentation.ome.tif"
    for path, written in (
        (raw, {name: seen[name] for name in RAW}),
        (seg, {name: masks[name].astype(np.uint8) * np.uint8(255) for name in CROP_SEG_CHANNELS}),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_ome_tiff(folder / path, written, VOXEL_SIZE)
    return raw, seg


def public_row(index: int, raw: str, seg: str) -> dict[str, Any]:
    return {
        "CellId": 1000 + index,
        "crop_raw": raw,
        "crop_seg": seg,
        "name_dict": str({"crop_raw": list(RAW), "crop_seg": list(CROP_SEG_CHANNELS)}),
        "structure_name": STRUCTURES[index % 3].gene,
        "cell_stage": ("M0", "M1M2", "M3", "M4M5", "M6M7_complete")[index % 5],
        "scale_micron": str(list(VOXEL_SIZE)),
        "roi": "[0,12,0,24,0,30]",
        "FOVId": index // 2,
        "PlateId": index // 8,
        "edge_flag": 0,
        "outlier": "No",
    }


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_tiny(folder: Path, n_cells: int, change: Mapping[int, Mapping[str, Any]] | None = None) -> Path:
    """A public manifest of so many cells, some of its rows changed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{**public_row(i, *write_files(folder, i)), **(change or {}).get(i, {})} for i in range(n_cells)]
    return write_table(folder / "metadata.csv", rows)


def prepared(manifest: Path, out: Path, **settings: Any) -> CellStore:
    """A store of tiny cells, prepared by one process by default."""
    return prepare(manifest, out, BOX, **({"workers": 1, "batch": 3} | settings))


def assert_equal(one: CellStore, other: CellStore) -> None:
    """Check that two stores have the same rows and images."""
    pd.testing.assert_frame_equal(one.table, other.table)
    everyone = np.arange(len(one))
    np.testing.assert_array_equal(one.images(everyone).numpy(), other.images(everyone).numpy())
    assert (one.structures, one.channels, one.left_out) == (other.structures, other.channels, other.left_out)


if __name__ == "__main__":  # a run that a test may kill
    prepare(sys.argv[1], sys.argv[2], BOX, workers=int(sys.argv[3]), batch=2)
