"""The objects that a user meets in a Python prompt describe themselves in one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import Box, pose_of
from napari_integrated_cell.latent.population import Population
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell

MASK = np.zeros((6, 8, 20), bool)
MASK[1:5, 1:7, 2:18] = True
NUCLEUS = np.zeros_like(MASK)
NUCLEUS[2:4, 3:5, 8:12] = True
CELL = Cell({"dna": NUCLEUS * 1.0}, MASK, NUCLEUS, (0.29, 0.108333, 0.108333), name="field 3, cell 7")
POPULATION = Population(
    np.zeros((2, 3), np.float32),
    np.array([[0, 1], [np.nan, np.nan]], np.float32),
    pd.DataFrame({"cell_id": ["a", "b"], "stage": ["anaphase", None]}),
)
MODEL = IntegratedCell.untrained(preset("tiny"))


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (CELL, "<Cell 'field 3, cell 7': dna; 6 × 0.29 µm; 8 × 0.1083 µm; 20 × 0.1083 µm (Z; Y; X); 1 µm³>"),
        (
            pose_of(CELL, Box((16, 24, 32), 0.5)),
            "<Pose: turned by 0.0°, nothing mirrored, 0 % outside, warnings: 1, "
            "Box(shape=(16, 24, 32), voxel_size=0.5)>",
        ),
        (
            replace(pose_of(CELL), flips=(True, True), outside=0.0213),
            "<Pose: turned by 0.0°, Y and X mirrored, 2.1 % outside, warnings: 1, "
            "Box(shape=(64, 96, 128), voxel_size=0.317)>",
        ),
        (
            POPULATION,
            "<Population: 2 cells, 1 of them with z_struct; z_ref of 3 dimensions; table of cell_id, stage>",
        ),
        (
            replace(POPULATION, name="mine", model="demo", z_struct=None),
            "<Population 'mine': 2 cells embedded by the model 'demo', 0 of them with z_struct; z_ref of 3 dimensions; "
            "table of cell_id, stage>",
        ),
        (
            MODEL,
            "<IntegratedCell 'tiny', trained on real cells: 11 structures, box 16 × 24 × 32 of 1.268 µm, z_ref 8, "
            "z_struct 4, on cpu>",
        ),
    ],
)
def test_a_repr_is_one_informative_line(shown: object, line: str) -> None:
    assert repr(shown) == line
