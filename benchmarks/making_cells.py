"""Simulate cells, and pose and normalise them for training."""

from __future__ import annotations

from collections.abc import Iterator

import plain
from measuring import Row, medians

from napari_integrated_cell.imaging.pose import PAPER_BOX, pose_of, posed_references, posed_structure
from napari_integrated_cell.simulation import simulate_cell


def rows() -> Iterator[Row]:
    seeds = iter(range(10_000))
    simulated = medians({"now": lambda: simulate_cell(next(seeds), structure="TOM20")}, 5)["now"]
    yield Row("simulate a cell with one structure", simulated)
    cell = simulate_cell(1, structure="TOM20", voxel_size=(0.29, 0.108333, 0.108333)).cell

    def pose() -> None:
        posed = pose_of(cell, PAPER_BOX)
        posed_references(cell, posed)
        posed_structure(cell, "TOM20", posed)

    def pose_plainly() -> None:
        with plain.plain_package():
            pose()

    found = medians({"now": pose, "plain": pose_plainly}, 3)
    yield Row("pose 3 channels of a cell", found["now"], found["plain"])


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
