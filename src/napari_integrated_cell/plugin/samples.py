"""Sample data: simulated cells. Public 3D images of cells cannot be part of the package."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_integrated_cell.plugin.layers.cell_layers import LayerData, cell_layers

_VOXEL_SIZE = 0.2  # µm
_N_CELLS = 9


def interphase_cell() -> list[LayerData]:
    """Return a simulated cell in interphase: membrane, DNA and segmentations."""
    return simulated_cell("interphase", seed=12)


def mitotic_cell() -> list[LayerData]:
    """Return a simulated cell in metaphase."""
    return simulated_cell("metaphase", seed=5)


def field_of_cells() -> list[LayerData]:
    """Return a simulated field of cells, as from a spinning-disc microscope."""
    from napari_integrated_cell.simulation import simulate_field

    field = simulate_field(7, n_cells=_N_CELLS)
    labels = {"cells": field.cell_labels, "nuclei": field.nucleus_labels}
    return _layers("simulated field", field.channels, labels, field.voxel_size)


def simulated_cell(stage: str, seed: int) -> list[LayerData]:
    """Return a simulated cell at a stage of the vocabulary: membrane, DNA and segmentations."""
    from napari_integrated_cell.simulation import simulate_cell

    cell = simulate_cell(seed, stage=stage, voxel_size=_VOXEL_SIZE).cell
    labels = {"cells": cell.cell_mask.astype(np.uint8), "nuclei": cell.nucleus_mask.astype(np.uint8)}
    return _layers(f"simulated {stage} cell", cell.channels, labels, cell.voxel_size)


def _layers(*cells: Any) -> list[LayerData]:
    return cell_layers(*cells, mark={"simulated": True}, opacity=0.6)  # predicted structures are shown on top
