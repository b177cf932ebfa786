"""A population of cells with random latent codes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_integrated_cell.latent.population import Population


def made_up(n: int = 7, n_ref: int = 3, n_struct: int = 2, **facts: str) -> Population:
    """Cells of two structures; every third has none."""
    draw = np.random.default_rng(n)
    z_struct = draw.normal(size=(n, n_struct)).astype(np.float32)
    z_struct[::3] = np.nan
    table = pd.DataFrame(
        {
            "cell_id": [f"c{i}" for i in range(n)],
            "structure": [None if i % 3 == 0 else ("TOM20", "ZO1")[i % 2] for i in range(n)],
            "stage": [("interphase", "metaphase", None)[i % 3] for i in range(n)],
            "cell_volume": draw.uniform(1000, 2000, n),
            "edge": [i % 2 == 0 for i in range(n)],
            "row": np.arange(n),
        }
    )
    return Population(draw.normal(size=(n, n_ref)).astype(np.float32), z_struct, table, **facts)
