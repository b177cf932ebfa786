"""Ground truth for the cells of a simulated store: their parameters, and the expected localisation of structures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from napari_ic_train.data.store import CellStore
from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.pose import Box, pose_of, to_box
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.simulation.acquisition import IDEAL, Acquisition
from napari_integrated_cell.simulation.population import DEFAULT_POPULATION

TRUTH, SETTINGS = "truth.csv", "simulated.json"
NOT_PARAMETERS = (
    "CellId",
    "simulated",
    "seed",
    "stage",
    "structure",
    "population",
    *Acquisition().parameters(),
)


class SimulatedTruth:
    """The simulated data set of a store, which has the ground truth of each cell.

    Parameters
    ----------
    store : CellStore
        The ``path`` of its cells leads to the data set.

    Raises
    ------
    ValueError
        If the cells are not simulated, or if the data set is not found.
    """

    def __init__(self, store: CellStore) -> None:
        self.store = store
        if not store.simulated:
            raise ValueError("The cells of this store are not simulated, so there is no ground truth.")
        folder = Path(str(store.table["path"].iloc[0])).parent.parent if "path" in store.table else Path()
        if not ((folder / TRUTH).is_file() and (folder / SETTINGS).is_file()):
            raise ValueError(
                f"The store was prepared from a simulated data set, but {folder} does not hold its {TRUTH} now."
            )
        truth = pd.read_csv(folder / TRUTH, dtype={"CellId": str}).set_index("CellId")
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        self.voxel_size = tuple(settings["voxel_size"])
        self.margin = float(settings["margin"])
        self.population = str(settings.get("population", DEFAULT_POPULATION))
        self.imaging = str(settings.get("imaging", IDEAL))
        ids = store.table["CellId"].astype(str)
        lost = ids[~ids.isin(truth.index)]
        if len(lost):
            raise ValueError(f"Cell {lost.iloc[0]} of the store is not in {folder / TRUTH}.")
        self.table = truth.loc[ids.tolist()]

    @property
    def parameters(self) -> pd.DataFrame:
        """The simulator's parameters of each cell's shape, by position in the store."""
        return self.table.drop(columns=[c for c in NOT_PARAMETERS if c in self.table]).astype(np.float64)

    def expected(self, position: int, draws: int, seed: int = 0) -> Floats:
        """Return the noise-free expected localisation of a cell's structure in the store's box, (Z, Y, X).

        Raises
        ------
        ValueError
            If the simulated cell has another pose than the cell in the store.
        """
        row = self.table.iloc[position]
        simulated = simulate_cell(
            int(row["seed"]),
            stage=str(row["stage"]),
            voxel_size=self.voxel_size,
            margin=self.margin,
            noise=False,
            population=self.population,
            imaging=self.imaging,
        )
        cell = simulated.cell
        pose = pose_of(cell, Box(self.store.box, self.store.voxel_size))
        stored = np.reshape(self.store.table["to_box"].iloc[position], (4, 4))
        if not np.allclose(stored, pose.to_box, atol=0.01):
            raise ValueError(
                f"Cell {self.table.index[position]} has another pose in the store than in the simulation: "
                "prepare the store again."
            )
        expected = simulated.expected_localisation(str(row["structure"]), draws=draws, seed=seed)
        return to_box(expected, cell.voxel_size, pose, offset=cell.offset)
