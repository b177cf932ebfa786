"""Print where the light of mitochondria and nucleoli lies in simulated cells, beside real ones.

Each number is the mean light in a part of the cells, relative to the mean light of the cell.

Usage: python benchmarks/light_profiles.py --real ../shared/data [--cells 24]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.arrays import Floats, Mask
from napari_integrated_cell.simulation import simulate_cell

HEIGHTS = (0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bins of the height between the cell's bottom and top in the same column."""
FROM_NUCLEUS = (-9, -1.5, -0.75, 0, 0.75, 1.5, 3, 6, 12, 40)
"""Bins of the distance from the nucleus's surface in µm, negative inside."""
DEPTHS = (0, 0.5, 1, 1.5, 2.5, 9)
"""Bins of the depth below the cell's surface in µm."""
FROM_RIM = (0, 1, 2, 4, 6, 20)
"""Bins of the distance from the rim of the cell's outline in the plane, in µm."""
Row = tuple[str, NDArray[np.float64]]


def profile(
    light: Floats, cell: Mask, nucleus: Mask, voxel_size: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return the relative mean light in every bin of every measure, one after the other."""
    pad = [(1, 1)] * 3
    cell, nucleus, light = (
        np.pad(cell, pad),
        np.pad(nucleus & cell, pad),
        np.pad(light.astype(np.float64), pad),
    )
    depth = ndimage.distance_transform_edt(cell, sampling=voxel_size)
    outside = ndimage.distance_transform_edt(~nucleus, sampling=voxel_size)
    away = np.where(nucleus, -ndimage.distance_transform_edt(nucleus, sampling=voxel_size), outside)
    below = np.cumsum(cell, 0) - 0.5
    height = below / np.maximum(cell.sum(0), 1)
    rim = np.broadcast_to(ndimage.distance_transform_edt(cell.any(0), sampling=voxel_size[1:]), cell.shape)
    mean = light[cell].mean()
    found = []
    for values, bins in ((height, HEIGHTS), (away, FROM_NUCLEUS), (depth, DEPTHS), (rim, FROM_RIM)):
        inside, weights = values[cell], light[cell] / mean
        total = np.histogram(inside, bins, weights=weights)[0]
        count = np.histogram(inside, bins)[0]
        found.append(np.where(count > 30, total / np.maximum(count, 1), np.nan))
    return np.concatenate(found)


def real_light(folder: Path) -> Iterator[tuple[Any, ...]]:
    """Yield the set, the light (Z, Y, X), the masks and the voxel size of each real cell."""
    field = folder / "hipsc_tomm20_field"
    if field.is_dir():
        cells, nuclei, light = (
            tifffile.imread(field / f"{n}.ome.tif") for n in ("cell_labels", "nucleus_labels", "tomm20_mask")
        )
        for label, where in enumerate(ndimage.find_objects(cells), 1):
            if label not in (5, 11):
                yield (
                    "TOM20: real hiPSC masks",
                    light[where] / 255,
                    cells[where] == label,
                    nuclei[where] == label,
                    (0.29, 0.108333, 0.108333),
                )
    for kind, name in (("Mit", "TOM20: real HeLa"), ("Nuc", "fibrillarin: real HeLa (nucleolin)")):
        for path in sorted((folder / "hela3d").glob(f"{kind}*_cell.ome.tif")):
            mask, dna, light = (
                tifffile.imread(str(path).replace("_cell", w)) for w in ("_cell", "_nucleus", "_protein")
            )
            where = ndimage.find_objects((mask > 0).astype(np.uint8))[0]
            yield name, light[where], mask[where] > 0, dna[where] > 0, (0.2033, 0.098, 0.098)


def _real(row: tuple[Any, ...]) -> Row:
    return row[0], profile(*row[1:])


def _simulated(task: tuple[str, str, int]) -> Row:
    structure, population, seed = task
    cell = simulate_cell(seed, structure=structure, population=population, voxel_size=0.2, noise=False).cell
    light = cell.channels[structure]
    if structure == "TOM20" and population == "hipsc":  # as the real masks: what is bright
        light = (light > 0.3 * np.percentile(light[cell.cell_mask], 99.5)).astype(np.float32)
    return f"{structure}: simulated {population}", profile(
        light, cell.cell_mask, cell.nucleus_mask, (0.2, 0.2, 0.2)
    )


def main() -> None:
    """Measure all cells and print the profiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--real", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--cells", type=int, default=24, help="simulated cells of each kind")
    options = parser.parse_args()
    tasks = [
        (structure, population, seed)
        for structure in ("TOM20", "fibrillarin")
        for population in ("hipsc", "spread")
        for seed in range(options.cells)
    ]
    with Pool() as pool:
        rows = pool.map(_real, real_light(options.real), chunksize=2) + pool.map(
            _simulated, tasks, chunksize=4
        )
    names = sorted({name for name, _ in rows})
    bins = {"height": HEIGHTS, "from nucleus µm": FROM_NUCLEUS, "depth µm": DEPTHS, "from rim µm": FROM_RIM}
    start = 0
    for measure, edges in bins.items():
        print(f"\n{measure:<36}" + "".join(f"{f'{a:g} to {b:g}':>14}" for a, b in pairwise(edges)))
        for name in names:
            values = np.array([v[start : start + len(edges) - 1] for n, v in rows if n == name])
            print(f"  {name:<34}" + "".join(f"{v:>14.2f}" for v in np.nanmean(values, 0)))
        start += len(edges) - 1


if __name__ == "__main__":
    main()
