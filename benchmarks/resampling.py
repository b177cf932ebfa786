"""Pose a cell's channels into the box, and place a prediction back in its image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import plain
from measuring import Row, bytes_per_second, medians

from napari_integrated_cell.imaging.footprint import rotation
from napari_integrated_cell.imaging.intensity import within
from napari_integrated_cell.imaging.resampling import grid_affine, resample

CROP, VOXEL = (65, 160, 180), (0.29, 0.108333, 0.108333)
BOX, EDGE = (64, 96, 128), 0.317


def rows() -> Iterator[Row]:
    random = np.random.default_rng(0)
    crop, box = grid_affine(VOXEL, (0, 0, 0)), grid_affine((EDGE,) * 3, (0, 0, 0))
    turn = np.eye(4)
    turn[1:3, 1:3] = rotation(0.7)
    middles = [grid @ [*(np.array(n) - 1) / 2, 1] for grid, n in ((crop, CROP), (box, BOX))]
    turn[:3, 3] = middles[1][:3] - turn[:3, :3] @ middles[0][:3]
    stains = random.random((2, *CROP), dtype=np.float32)
    predicted = random.random((13, *BOX), dtype=np.float32)
    ways = {
        "pose 2 stains into the box": (stains, crop, turn, box, BOX),
        "place 13 channels back": (predicted, box, np.linalg.inv(turn), crop, CROP),
    }
    for task, arguments in ways.items():
        found = medians(
            {"now": lambda a=arguments: resample(*a), "plain": lambda a=arguments: plain.resample(*a)}, 3
        )
        touched = arguments[0].nbytes + 4 * len(arguments[0]) * np.prod(arguments[4])
        yield Row(
            task, found["now"], found["plain"], touched / bytes_per_second(), "reading and writing once"
        )
    mask = np.zeros(CROP, bool)
    mask[10:-10, 30:-30, 30:-30] = True
    found = medians(
        {n: lambda f=f: f(mask, 0.5, VOXEL) for n, f in (("now", within), ("plain", plain.within))}, 3
    )
    yield Row(
        "dilate a mask by 0.5 µm",
        found["now"],
        found["plain"],
        2 * mask.nbytes / bytes_per_second(),
        "reading and writing once",
    )


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
