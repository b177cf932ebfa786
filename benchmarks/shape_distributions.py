"""Print the shapes of simulated cells beside those of real cells: quantiles of each measure, population by population.

Usage: python benchmarks/shape_distributions.py --real ../shared/data [--cells 200]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from napari_integrated_cell.arrays import Mask
from napari_integrated_cell.simulation import simulate_cell

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FIELDS = {
    "hiPSC, TOMM20 field": ("hipsc_tomm20_field", (0.29, 0.108333, 0.108333)),
    "hiPSC, LAMP1 field": ("hipsc_lamp1_field", (0.29, 0.108333, 0.108333)),
    "hiPSC, 30 cells, sizes inferred": ("hipsc_30_cells", (0.29, 0.065, 0.065)),
}
_HELA = (0.2033, 0.098, 0.098)
VOXEL = (0.3, 0.2, 0.2)
"""Voxel size in µm to which all masks are brought, so that roughness means the same in all."""


def measures(cell: Mask, nucleus: Mask, voxel_size: tuple[float, float, float]) -> dict[str, float]:
    """Return measures of a cell's masks (Z, Y, X). Lengths are in µm."""
    cell, nucleus = (_resampled(mask, voxel_size) for mask in (cell, nucleus))
    v = np.array(VOXEL)
    points, dna = np.argwhere(cell) * v, np.argwhere(nucleus) * v
    centre, axes = points.mean(0), np.linalg.eigh(np.cov(points[:, 1:].T))[1]
    short, long = np.ptp(points[:, 1:] @ axes, axis=0)
    outline = cell.any(0)
    area = outline.sum() * v[1] * v[2]
    where = np.argwhere(outline) * v[1:]
    areas = cell.sum((1, 2)) * v[1] * v[2]
    filled = np.flatnonzero(areas > 0)
    low, height = filled[0], len(filled)
    at = {share: areas[low + int(share * (height - 1))] for share in (0.05, 0.25, 0.5, 0.75, 0.95)}
    widest = areas.max()
    smooth = ndimage.gaussian_filter(cell.astype(np.float32), 1.2 / v) > 0.5
    heights = cell.sum(0)[outline] * v[0]
    dna_outline = nucleus.any(0)
    dna_axes = np.linalg.eigvalsh(np.cov(dna[:, 1:].T))
    flat = np.ptp(dna[:, 0]) / (2 * np.sqrt(dna_outline.sum() * v[1] * v[2] / np.pi))
    surface = _surface(cell, v)
    return {
        "volume µm³": cell.sum() * v.prod(),
        "height µm": height * v[0],
        "mean height µm": heights.mean(),
        "evenness of height": heights.std() / heights.mean(),
        "long axis µm": long,
        "short axis µm": short,
        "long / short": long / short,
        "footprint µm²": area,
        "solidity of outline": area / ConvexHull(where).volume,
        "area at 5 % height": at[0.05] / widest,
        "area at 25 % height": at[0.25] / widest,
        "area at 50 % height": at[0.5] / widest,
        "area at 75 % height": at[0.75] / widest,
        "area at 95 % height": at[0.95] / widest,
        "surface / ball's": surface / (36 * np.pi * (cell.sum() * v.prod()) ** 2) ** (1 / 3),
        "roughness %": 100 * (cell ^ smooth).sum() / cell.sum(),
        "nucleus / cell": nucleus.sum() / cell.sum(),
        "nucleus volume µm³": nucleus.sum() * v.prod(),
        "nucleus height / cell": np.ptp(dna[:, 0]) / (height * v[0]),
        "nucleus height / width": flat,
        "nucleus long / short": float(np.sqrt(dna_axes[1] / dna_axes[0])),
        "nucleus Z in cell": (dna[:, 0].mean() - points[:, 0].min()) / (height * v[0]),
        "nucleus off centre": np.hypot(*(dna.mean(0) - centre)[1:]) / np.sqrt(area / np.pi),
        "nucleus roughness %": 100
        * (nucleus ^ (ndimage.gaussian_filter(nucleus.astype(np.float32), 1.2 / v) > 0.5)).sum()
        / nucleus.sum(),
    }


def _resampled(mask: Mask, voxel_size: tuple[float, float, float]) -> Mask:
    zoom = np.array(voxel_size) / VOXEL
    padded = np.pad(mask, 6)
    return np.asarray(ndimage.zoom(padded.astype(np.float32), zoom, order=1) > 0.5)


def _surface(mask: Mask, v: NDArray[np.float64]) -> float:
    from skimage.measure import marching_cubes, mesh_surface_area

    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 0.4 / v)
    vertices, faces, *_ = marching_cubes(smooth, 0.5, spacing=tuple(v))
    return float(mesh_surface_area(vertices, faces))


def real_masks(folder: Path) -> Iterator[tuple[str, Mask, Mask, tuple[float, float, float]]]:
    """Yield the name of the set, the masks (Z, Y, X) and the voxel size of each real cell that no edge cuts."""
    for name, (field, voxel_size) in _FIELDS.items():
        if not (folder / field).is_dir():
            continue
        cells, nuclei = (tifffile.imread(folder / field / f"{n}_labels.ome.tif") for n in ("cell", "nucleus"))
        for label, where in enumerate(ndimage.find_objects(cells), 1):
            if where is None or not (nuclei[where] == label).any():
                continue
            inside = all(s.start > 0 and s.stop < n for s, n in zip(where[1:], cells.shape[1:], strict=True))
            if inside:
                yield name, cells[where] == label, nuclei[where] == label, voxel_size
    for path in sorted((folder / "hela3d").glob("*_cell.ome.tif")):
        mask, dna = (
            tifffile.imread(str(path).replace("_cell", which)) > 0 for which in ("_cell", "_nucleus")
        )
        where = ndimage.find_objects(mask.astype(np.uint8))[0]
        yield "HeLa", mask[where], dna[where] & mask[where], _HELA


def _of_real(row: tuple[str, Mask, Mask, tuple[float, float, float]]) -> tuple[str, dict[str, float]]:
    return row[0], measures(*row[1:])


def _of_simulated(seed: int, population: str) -> tuple[str, dict[str, float]]:
    cell = simulate_cell(seed, voxel_size=VOXEL, noise=False, population=population).cell
    return f"simulated, {population}", measures(cell.cell_mask, cell.nucleus_mask, VOXEL)


def main() -> None:
    """Measure all cells and print the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--real", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--cells", type=int, default=200, help="simulated cells of each population")
    parser.add_argument("--out", type=Path, help="write all measures to this CSV file")
    options = parser.parse_args()
    with Pool() as pool:
        rows = pool.map(_of_real, real_masks(options.real), chunksize=4)
        for population in ("hipsc", "spread"):
            rows += pool.map(partial(_of_simulated, population=population), range(options.cells), chunksize=8)
    table = pd.DataFrame([{"cells": name, **found} for name, found in rows])
    if options.out:
        table.to_csv(options.out, index=False)
    for measure in table.columns[1:]:
        print(f"\n{measure:<32}{''.join(f'{q:>9.0%}' for q in QUANTILES)}")
        for name, values in table.groupby("cells", sort=False)[measure]:
            quantiles = values.quantile(QUANTILES)
            print(f"  {f'{name} ({len(values)})':<40}" + "".join(f"{q:>9.3g}" for q in quantiles))


if __name__ == "__main__":
    main()
