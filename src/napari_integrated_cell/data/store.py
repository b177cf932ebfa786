"""Read a training store: posed cells as ``uint8`` in zarr, and a table of the cells.

The trainer writes it (:mod:`napari_ic_train.data.store`); the Cell map reads it. torch is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import ArrayLike, NDArray

IMAGES = "images.zarr"
TABLE = "cells.parquet"
ROW = "row"
"""Column with a cell's index in the images."""


class PosedStore:
    """Posed cells in a folder, for reading.

    The images are (N, C, Z, Y, X) ``uint8`` with the reference channels first and the structure channel last;
    255 means an intensity of 1. ``table`` has one row per cell in the same order.

    Parameters
    ----------
    path : path-like
        The store's folder, as ``napari-ic-train prepare`` writes it.
    split : {"train", "test"}, optional
        Keep the cells of one side of the split only.

    Raises
    ------
    ValueError
        If the folder holds no finished store. The message says which command makes one.
    """

    def __init__(self, path: str | Path, split: str | None = None) -> None:
        self.path = Path(path)
        if not ((self.path / TABLE).is_file() and (self.path / IMAGES).exists()):
            raise ValueError(
                f"{self.path} is not a finished training store: make one with `napari-ic-train prepare`."
            )
        self._images: Any = zarr.open_array(str(self.path / IMAGES), mode="r")
        table = pd.read_parquet(self.path / TABLE)
        if ROW in table:
            table = table.set_index(ROW)
        table = table.sort_index()
        if split is not None:
            table = table[table["split"] == split]
            if table.empty:
                raise ValueError(f"The store {self.path} has no cells in its {split!r} split.")
        self.table = table
        attributes: dict[str, Any] = dict(self._images.attrs)
        self.channels: tuple[str, ...] = tuple(attributes["channels"])
        self.structures: tuple[str, ...] = tuple(attributes["structures"])
        self.voxel_size = float(attributes["voxel_size"])
        self.simulated = bool(attributes["simulated"])
        self.source = str(attributes["source"])
        self.left_out: dict[str, int] = dict(attributes.get("left_out", {}))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def box(self) -> tuple[int, int, int]:
        """Grid (Z, Y, X) of every cell."""
        z, y, x = self._images.shape[2:]
        return z, y, x

    def stored(self, indices: Sequence[int] | ArrayLike) -> NDArray[np.uint8]:
        """Return cells by position as they are stored, (n, C, Z, Y, X) with 255 for an intensity of 1."""
        rows = self.table.index.to_numpy()[np.asarray(indices)]
        return np.stack([self._images[int(row)] for row in rows])
