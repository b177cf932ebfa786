"""Made-up reference scores of Algorithm 4."""

from __future__ import annotations

import numpy as np

from napari_integrated_cell.model.variation_reference import VariationReference
from napari_integrated_cell.variation.structure_variation import RIDGE


def made_up(structures, n_cells=4, n=20):
    rng = np.random.default_rng(0)
    cells = {g: tuple(f"{g}-{i}" for i in range(n_cells)) for g in ("interphase", "mitosis")}
    scores = {name: {g: rng.uniform(0.2, 3, n_cells) for g in cells} for name in structures}
    return VariationReference(n, 0, RIDGE, "cell", cells, scores)
