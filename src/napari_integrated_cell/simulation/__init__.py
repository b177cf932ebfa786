"""Simulated hiPSC-like cells with known ground truth: shapes, stages, structures, optics, datasets.

Nothing here is real data. Every name, file and metadata entry says *simulated*.
"""

from napari_integrated_cell.simulation.cells import (
    DEFAULT_STAGE_WEIGHTS,
    SimulatedCell,
    Truth,
    expected_localisation,
    simulate_cell,
    simulate_shape,
    structure_draws,
)
from napari_integrated_cell.simulation.dataset import write_dataset
from napari_integrated_cell.simulation.field import SimulatedField, simulate_field
from napari_integrated_cell.simulation.geometry import CellShape
from napari_integrated_cell.simulation.grid import Grid
from napari_integrated_cell.simulation.variability import MITOTIC_SHIFT, VARIABILITY, residual_variability

__all__ = [
    "DEFAULT_STAGE_WEIGHTS",
    "MITOTIC_SHIFT",
    "VARIABILITY",
    "CellShape",
    "Grid",
    "SimulatedCell",
    "SimulatedField",
    "Truth",
    "expected_localisation",
    "residual_variability",
    "simulate_cell",
    "simulate_field",
    "simulate_shape",
    "structure_draws",
    "write_dataset",
]
