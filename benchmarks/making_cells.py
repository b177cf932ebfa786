"""Simulate cells, pose and normalise them, and prepare them for training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import plain
from measuring import Row, medians

from napari_ic_train.config import preset
from napari_ic_train.data.prepare import prepare
from napari_ic_train.demo import SEED, TEST_FRACTION, VOXEL_SIZE
from napari_integrated_cell.imaging.pose import PAPER_BOX, pose_of, posed_channels
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.simulation import simulate_cell, write_dataset

PREPARED = 33
"""Cells that are prepared: each structure three times."""


def rows() -> Iterator[Row]:
    yield simulate_row()
    yield pose_row()
    yield prepare_row()


def simulate_row() -> Row:
    seeds, same_seeds = count(), count()

    def simulate_plainly() -> None:
        with plain.plain_simulation():
            simulate_cell(next(same_seeds), structure="TOM20")

    found = medians(
        {"now": lambda: simulate_cell(next(seeds), structure="TOM20"), "plain": simulate_plainly}, 9
    )
    return Row("simulate a cell with one structure", found["now"], found["plain"])


def pose_row() -> Row:
    cell = simulate_cell(1, structure="TOM20", voxel_size=(0.29, 0.108333, 0.108333)).cell

    def pose() -> None:
        posed_channels(cell, ("membrane", "dna", "TOM20"), pose_of(cell, PAPER_BOX))

    def pose_plainly() -> None:
        with plain.plain_package():
            pose()

    found = medians({"now": pose, "plain": pose_plainly}, 3)
    return Row("pose 3 channels of a cell", found["now"], found["plain"])


def prepare_row() -> Row:
    """Prepare simulated cells as the demo model's recipe does, in one process."""
    box = model_box(preset("demo").model)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_dataset(Path(folder) / "simulated", PREPARED, seed=SEED, voxel_size=VOXEL_SIZE)
        stores = count()

        def fill() -> None:
            prepare(
                manifest,
                Path(folder) / f"store-{next(stores)}",
                box,
                references="mixed",
                test_fraction=TEST_FRACTION,
                seed=SEED,
                workers=1,
            )

        def fill_plainly() -> None:
            with plain.plain_package():
                fill()

        found = medians({"now": fill, "plain": fill_plainly}, 1)
    return Row("prepare a cell of the demo model", found["now"] / PREPARED, found["plain"] / PREPARED)


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
