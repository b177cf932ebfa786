"""Peak memory and time of ``napari-ic integrate --folder`` on one large field of simulated cells.

The field has 65 x 2,000 x 3,000 voxels and 200 cells, tiled from a few simulated ones. Run it with
``python benchmarks/large_field.py``; ``--write field`` also joins the cells in one file of the field's size.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.imaging.writing import channel_metadata, write_planes
from napari_integrated_cell.simulation import simulate_cell

VOXEL = (0.29, 0.2, 0.2)
TILE = (142, 200)
STAINS = ("membrane", "dna", "TOM20")


def tiles(shape: tuple[int, int, int], count: int) -> list[dict[str, NDArray[np.uint16]]]:
    """Return the channels and masks of some simulated cells, each on one tile of the field."""
    found = []
    for seed in range(count):
        cell = simulate_cell(seed, structure="TOM20", voxel_size=VOXEL, margin=0.6).cell
        volumes = {**cell.channels, "cells": cell.cell_mask, "nuclei": cell.nucleus_mask}
        tile = {name: np.full((shape[0], *TILE), 100, np.uint16) for name in STAINS}
        tile |= {name: np.zeros((shape[0], *TILE), np.uint16) for name in ("cells", "nuclei")}
        z, y, x = (min(a, b) for a, b in zip((shape[0], *TILE), cell.shape, strict=True))
        for name in tile:
            tile[name][:z, :y, :x] = np.asarray(volumes[name])[:z, :y, :x]
        found.append(tile)
    return found


def write_field(folder: Path, shape: tuple[int, int, int], n_cells: int, n_different: int) -> None:
    """Write the image and the two label images of the field, plane by plane."""
    some = tiles(shape, n_different)
    corners = [
        (y, x) for y in range(0, shape[1] - TILE[0] + 1, TILE[0]) for x in range(0, shape[2], TILE[1])
    ][:n_cells]

    def planes(names: tuple[str, ...]) -> Iterator[NDArray[np.uint16]]:
        for name in names:
            for z in range(shape[0]):
                plane = np.full(shape[1:], 100 if name in STAINS else 0, np.uint16)
                for i, (y, x) in enumerate(corners):
                    tile = some[i % len(some)][name][z]
                    plane[y : y + TILE[0], x : x + TILE[1]] = tile * (1 if name in STAINS else i + 1)
                yield plane

    folder.mkdir()
    for file, names in (
        ("field.ome.tif", STAINS),
        ("field_cells.ome.tif", ("cells",)),
        ("field_nuclei.ome.tif", ("nuclei",)),
    ):
        write_planes(
            folder / file,
            planes(names),
            (len(names), *shape),
            np.dtype(np.uint16),
            VOXEL,
            channel_metadata(names),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(65, 2000, 3000))
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--different", type=int, default=8, help="how many cells are simulated")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--structures", default="TOM20")
    parser.add_argument("--write", default="cell")
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-field-") as place:
        folder = Path(place) / "field"
        write_field(folder, tuple(chosen.shape), chosen.cells, chosen.different)
        start = time.perf_counter()
        command = [
            *(sys.executable, "-m", "napari_integrated_cell.cli", "integrate", "--folder", str(folder)),
            *("--out", str(Path(place) / "out"), "--model", chosen.model, "--structures", chosen.structures),
            *("--write", chosen.write, "--workers", str(chosen.workers)),
        ]
        subprocess.run(command, check=True)
        taken = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (
            1 if sys.platform == "darwin" else 1024
        )
        written = sum(file.stat().st_size for file in (Path(place) / "out").rglob("*.tiff")) / 1e6
        what = f"{chosen.cells} cells, {tuple(chosen.shape)}"
        print(f"{what}: {taken:.0f} s, at most {peak:,.0f} MiB, {written:,.0f} MB written")


if __name__ == "__main__":
    main()
