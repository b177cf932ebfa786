"""How often is a cell posed otherwise after a small change? Sets NEAR_ROUND and NEAR_SYMMETRIC of imaging/frame.py.

Each cell is turned by a random angle, moved by a part of a voxel and resampled to voxels of 0.2 to 0.4 µm (Z) and
0.15 to 0.3 µm (Y, X). Its surface moves by about a voxel (0.3, 0.1, 0.1 µm): up to one voxel in or out everywhere,
and a random, smooth 0.7 voxels from place to place. Another pose is one whose long axis is more than 10° off, or with
another flip.

    python benchmarks/pose_stability.py --simulated 300 --draws 12 --real ../shared/data --out draws.csv
    python benchmarks/pose_stability.py --tables draws.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import grid_sample, interpolate

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pieces import largest_pieces
from napari_integrated_cell.imaging.pose import NEAR_ROUND, NEAR_SYMMETRIC, Pose, pose_of
from napari_integrated_cell.imaging.reading import read_crop, read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values
from napari_integrated_cell.simulation import DEFAULT_STAGE_WEIGHTS, simulate_shape
from napari_integrated_cell.simulation.anatomy import Distances

VOXEL = np.array([0.3, 0.1, 0.1])  # µm; the surface moves by about one
BLUR = 1.5  # of the mask, in these voxels, so that a threshold moves its surface
ROUND_BINS = [1.0, 1.02, 1.04, 1.06, 1.08, 1.1, 1.15, 1.2, 1.25, 1.3, 5.0]
SYMMETRIC_BINS = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 5.0]
FIELDS = ("hipsc_tomm20_field", "hipsc_30_cells", "hipsc_lamp1_field")


def simulated(count: int, uncertain: bool) -> Iterator[tuple[str, Cell]]:
    """Yield simulated cells of all stages; of ``uncertain`` ones, only those that are nearly round or symmetric."""
    rng = np.random.default_rng(int(uncertain))
    stages = rng.choice(list(DEFAULT_STAGE_WEIGHTS), count, p=list(DEFAULT_STAGE_WEIGHTS.values()))
    for seed, stage in enumerate(stages):
        shape = simulate_shape(seed + 10_000 * uncertain, str(stage))
        grid = shape.grid((0.29, 0.2, 0.2), 1.0)
        cell = one_voxel_nucleus(Distances(shape, grid).cell < 0, grid.voxel_size, f"{seed} {stage}")
        pose = pose_of(cell)
        if not uncertain or pose.elongation < 1.15 or min(pose.flip_margins) < 0.03:
            yield "simulated", cell


def real(folder: Path) -> Iterator[tuple[str, Cell]]:
    """Yield the real cells of the test data."""
    for field in FIELDS:
        cells, voxel_size = read_labels(folder / field / "cell_labels.ome.tif")
        nuclei, _ = read_labels(folder / field / "nucleus_labels.ome.tif")
        for label in label_values(cells):
            try:
                cell = cell_from_labels(cells, label, nuclei, {}, voxel_size)
            except ValueError as error:
                print(f"{field}, cell {label}: {error}")
                continue
            yield field, one_voxel_nucleus(cell.cell_mask, cell.voxel_size, f"{field} {label}")
    crop = read_crop(folder / "wtc11_single_cell" / "crop_seg_CellId416089.ome.tiff")
    yield "wtc11_single_cell", one_voxel_nucleus(crop.cell_mask, crop.voxel_size, crop.name)
    for path in sorted((folder / "hela3d").glob("*_cell.ome.tif")):
        labels, voxel_size = read_labels(path)
        yield "hela3d", one_voxel_nucleus(largest_pieces(labels > 0)[0], voxel_size, path.name[:-13])


def one_voxel_nucleus(mask: NDArray[np.bool_], voxel_size: tuple[float, float, float], name: str) -> Cell:
    """Return a cell whose nucleus plays no part."""
    nucleus = np.zeros_like(mask)
    nucleus.flat[np.flatnonzero(mask)[0]] = True
    return Cell({}, mask, nucleus, voxel_size, name=name)


def pooled(cell: Cell) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the cell mask averaged over blocks of about 0.2 µm in the plane, with a margin, and its voxel size."""
    every = np.maximum(np.rint(0.2 / np.asarray(cell.voxel_size)), 1).astype(int)
    every[0] = 1
    step = every * np.asarray(cell.voxel_size)
    room = np.ceil(4 * VOXEL / step).astype(int) * every
    pads = [(r, r + -n % e) for r, n, e in zip(room, cell.shape, every, strict=True)]
    mask = np.pad(cell.cell_mask, pads)
    z, y, x = (n // e for n, e in zip(mask.shape, every, strict=True))
    blocks = mask.reshape(z, every[0], y, every[1], x, every[2])
    return blocks.mean((1, 3, 5), dtype=np.float32), step


def perturbed(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.float64], Cell]]:
    """Yield, without end, the rotation (2, 2) on (y, x) from a changed cell to the old one, and the changed cell."""
    inside, step = pooled(cell)
    blurred = torch.from_numpy(ndimage.gaussian_filter(inside, BLUR * VOXEL / step))
    size = np.array(blurred.shape) * step
    across = float(np.hypot(*size[1:]))
    while True:
        voxel = np.array([rng.uniform(0.2, 0.4), *[rng.uniform(0.15, 0.3)] * 2])
        shape = np.ceil(np.array([size[0], across, across]) / voxel).astype(int) + 1
        shift = rng.uniform(-0.5, 0.5, 3) * voxel
        turn = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(turn), np.sin(turn)
        z, y, x = (
            (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * v + d
            for n, v, d in zip(shape.tolist(), voxel, shift, strict=True)
        )
        # Where each new voxel was: turned back by the rotation.
        old_y, old_x = c * y[:, None] + s * x[None], -s * y[:, None] + c * x[None]
        planes = _at(blurred, z / step[0] + (blurred.shape[0] - 1) / 2)
        where = torch.stack([2 * old_x / size[2], 2 * old_y / size[1]], dim=-1)
        field = grid_sample(planes[None], where[None], align_corners=False)[0]
        coarse = rng.normal(0, 1, np.maximum(shape * voxel // 1.0, 2).astype(int)).astype(np.float32)
        coarse = ndimage.gaussian_filter(coarse, 0.7)
        noise = torch.from_numpy(0.7 * coarse / coarse.std() + rng.uniform(-1, 1)).float()
        smooth = interpolate(noise[None, None], tuple(shape.tolist()), mode="trilinear")[0, 0]
        mask, _ = largest_pieces((field > torch.special.ndtr(smooth.clamp(-2, 2) / BLUR)).numpy())
        yield np.array([[c, s], [-s, c]]), one_voxel_nucleus(mask, tuple(voxel.tolist()), cell.name)


def _at(volume: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Interpolate the planes of a volume at positions ``z``."""
    z = z.clamp(0, len(volume) - 1)
    low = z.floor().long().clamp(max=len(volume) - 2)
    share = (z - low)[:, None, None]
    return (1 - share) * volume[low] + share * volume[low + 1]


def difference(before: Pose, after: Pose, turn: NDArray[np.float64]) -> tuple[float, bool, bool]:
    """Return the degrees between the long axes, and whether the flips along Y and X differ."""
    # `turn` leads from the new image to the old one.
    between = after.to_box[1:3, 1:3] @ turn.T @ before.to_box[1:3, 1:3].T
    degrees = float(np.degrees(np.arccos(np.clip(abs(between[1, 1]), 0, 1))))
    return degrees, bool(between[0, 0] < 0), bool(between[1, 1] < 0)


def tables(draws: pd.DataFrame) -> str:
    """Return the curves, and the rates among cells with and without a warning, as Markdown."""
    kinds = {"hela3d": "HeLa", "simulated": "simulated"}
    draws = draws.assign(
        kind=draws["source"].map(lambda source: kinds.get(source, "hiPSC")), turned=draws["degrees"] > 10
    )
    along = [
        draws[~draws["turned"]]
        .rename(columns={f"skewness_{axis}": "measure", f"flip_{axis}": "other"})
        .assign(axis=axis)
        for axis in "yx"
    ]
    parts = [
        _curve(draws.rename(columns={"elongation": "measure", "turned": "other"}), ROUND_BINS, "axis ratio"),
        _curve(pd.concat(along), SYMMETRIC_BINS, "skewness (magnitude)"),
    ]
    least = draws[["skewness_y", "skewness_x"]].min(axis=1)
    other = draws["turned"] | draws["flip_y"] | draws["flip_x"]
    rows = [
        "| cells | margins | with a warning | of these posed otherwise | without | of these posed otherwise |"
    ]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    margins = ((1.25, 0.1), (NEAR_ROUND, NEAR_SYMMETRIC))
    for kind in ("hiPSC", "HeLa", "simulated"):
        for ratio, skewness in margins:
            warned, ours = (draws["elongation"] < ratio) | (least < skewness), draws["kind"] == kind
            told = [
                f"{draws[which]['cell'].nunique()} | {100 * other[which].mean():.1f} %"
                for which in (warned & ours, ~warned & ours)
            ]
            rows.append(f"| {kind} | {ratio}, {skewness} | {' | '.join(told)} |")
    return "\n\n".join([*parts, "\n".join(rows)])


def _curve(draws: pd.DataFrame, edges: list[float], measure: str) -> str:
    kinds = ("simulated", "hiPSC", "HeLa")
    rows = [f"| {measure} | {' | '.join(kinds)} | all |", "| --- | --- | --- | --- | --- |"]
    for low, high in pairwise(edges):
        inside = draws[(draws["measure"] >= low) & (draws["measure"] < high)]
        cells = [inside[inside["kind"] == kind] for kind in kinds]
        told = [f"{100 * c['other'].mean():.0f} % ({len(c)})" if len(c) else "-" for c in (*cells, inside)]
        rows.append(f"| {low:g} to {high:g} | {' | '.join(told)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulated", type=int, default=300)
    parser.add_argument(
        "--uncertain", action="store_true", help="only nearly round or symmetric simulated cells"
    )
    parser.add_argument("--real", type=Path, help="folder of the real test data")
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("pose_stability.csv"))
    parser.add_argument(
        "--tables", type=Path, nargs="*", help="print the tables of these files, and measure nothing"
    )
    options = parser.parse_args()
    if options.tables:
        print(tables(pd.concat([pd.read_csv(file) for file in options.tables])))
        return
    torch.set_num_threads(1)
    rows = []
    cells = chain(real(options.real) if options.real else (), simulated(options.simulated, options.uncertain))
    for number, (source, cell) in enumerate(cells):
        before = pose_of(cell)
        changes = perturbed(cell, np.random.default_rng(number))
        for _ in range(options.draws):
            turn, changed = next(changes)
            degrees, flip_y, flip_x = difference(before, pose_of(changed), turn)
            rows.append(
                {
                    "source": source,
                    "cell": cell.name,
                    "elongation": before.elongation,
                    "skewness_y": before.flip_margins[0],
                    "skewness_x": before.flip_margins[1],
                    "degrees": degrees,
                    "flip_y": flip_y,
                    "flip_x": flip_x,
                }
            )
        if number % 10 == 0:
            pd.DataFrame(rows).to_csv(options.out, index=False)
            print(f"{number + 1} cells", flush=True)
    pd.DataFrame(rows).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
