"""The training store: posed cells as ``uint8`` in zarr, one cell per chunk, and a table of the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from napari_ic_train.data.store_table import REPORT, REPORT_COLUMNS, merge_parts, write_part
from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.data.store import IMAGES, ROW, TABLE, PosedStore
from napari_integrated_cell.imaging.series import ZARR_2

if TYPE_CHECKING:
    import torch

__all__ = ["TABLE", "CellStore", "StoreWriter"]


NO_STRUCTURE = -1
"""Label of a cell without a structure."""


class CellStore(PosedStore):
    """Posed cells for training: a :class:`~napari_integrated_cell.data.store.PosedStore` that is read as tensors."""

    @property
    def labels(self) -> Indices:
        """Index of each cell's structure into ``structures``, (N,); `NO_STRUCTURE` if it has none."""
        index = {name: i for i, name in enumerate(self.structures)}
        return np.array([index.get(name, NO_STRUCTURE) for name in self.table["structure"]], np.int64)

    def in_classes_of(self, structures: Sequence[str]) -> CellStore:
        """Return this store with the classes of a model, so that ``labels`` are the model's.

        Raises
        ------
        ValueError
            If the store has a structure that the model does not have.
        """
        foreign = [name for name in self.structures if name not in structures]
        if foreign:
            raise ValueError(
                f"{self.path} holds {', '.join(foreign)}, which the model does not have: give the store that it was "
                "fitted on."
            )
        store = copy(self)
        store.structures = tuple(structures)
        return store

    @property
    def report(self) -> pd.DataFrame:
        """The cells that could not be prepared: CellId, path, reason."""
        file = self.path / REPORT
        return pd.read_csv(file, dtype=str) if file.is_file() else pd.DataFrame(columns=REPORT_COLUMNS)

    def images(self, indices: Sequence[int] | NDArray[Any] | torch.Tensor) -> torch.Tensor:
        """Return cells by position, (n, C, Z, Y, X) float32 in [0, 1]."""
        import torch  # the workers that fill a store do not need it

        return torch.from_numpy(self.stored(indices)).float().div_(255)

    def references(self, indices: Sequence[int] | NDArray[Any] | torch.Tensor) -> torch.Tensor:
        """Return the reference channels of cells by position, (n, R, Z, Y, X) float32 in [0, 1]."""
        return self.images(indices)[:, :-1]

    def in_memory(self) -> CellStore:
        """Read all images into memory, so that an epoch needs no decompression, and return this store."""
        rows = self.table.index.to_numpy()
        loaded = np.empty((len(rows), *self._images.shape[1:]), np.uint8)
        for i, row in enumerate(rows):
            loaded[i] = self._images[int(row)]
        self._images = loaded
        self.table = self.table.reset_index(drop=True)
        return self


class StoreWriter:
    """Writes a store cell by cell, from any number of processes. The table is written last.

    Each cell's image is one chunk, and the rows of the table are written in parts. Flushed cells survive the process,
    and no process needs the data of another one. A cell may be written twice.

    Parameters
    ----------
    path : path-like
        A folder without a finished store. An unfinished one is overwritten; to continue it, use :meth:`opened`.
    n_cells : int
        Number of rows. Rows that are never written are left out of the table.
    channels : sequence of str
        Reference names, then ``"structure"``.
    box : tuple of int
        Grid (Z, Y, X).
    voxel_size : float
        Isotropic voxel size in µm.
    structures : sequence of str
        The classes, in label order.
    simulated : bool
        Whether the cells are simulated.
    source : str
        Where the cells come from, for the model card.
    left_out : mapping of str to int, optional
        How many cells of the source were left out on purpose, by reason.
    """

    def __init__(
        self,
        path: str | Path,
        n_cells: int,
        *,
        channels: Sequence[str],
        box: tuple[int, int, int],
        voxel_size: float,
        structures: Sequence[str],
        simulated: bool,
        source: str,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        shape = (n_cells, len(channels), *box)
        self._images = zarr.open_array(
            str(self.path / IMAGES), mode="w", shape=shape, chunks=(1, *shape[1:]), dtype="u1", **ZARR_2
        )
        facts: dict[str, Any] = {
            "channels": list(channels),
            "voxel_size": voxel_size,
            "structures": list(structures),
        }
        facts |= {"simulated": simulated, "source": source, "left_out": dict(left_out or {})}
        self._images.attrs.update(facts)
        self._rows: list[dict[str, Any]] = []

    @classmethod
    def opened(cls, path: str | Path) -> StoreWriter:
        """Return a writer that continues the store at ``path``. Raise a ValueError if there is none."""
        writer = cls.__new__(cls)
        writer.path = Path(path)
        if not (writer.path / IMAGES).is_dir():
            raise ValueError(
                f"There is no store at {path}: all workers must see this folder, on a shared disk."
            )
        writer._images = zarr.open_array(str(writer.path / IMAGES), mode="r+")
        writer._rows = []
        return writer

    def __len__(self) -> int:
        return int(self._images.shape[0])

    def write(self, index: int, image: Floats, row: Mapping[str, Any]) -> None:
        """Write one cell, (C, Z, Y, X) float32 in [0, 1], and its table row at ``index``."""
        self._images[index] = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
        self._rows.append({ROW: index, **row})

    def refuse(self, index: int, cell_id: str, path: str, reason: str) -> None:
        """Record why there is no cell at ``index``. The reason goes to the report."""
        self._rows.append({ROW: index, "CellId": cell_id, "path": path, "reason": " ".join(reason.split())})

    def flush(self) -> None:
        """Write the rows so far to a new part."""
        if self._rows:
            write_part(self.path, self._rows)
            self._rows = []

    def finish(self) -> CellStore:
        """Write the table and the report, and open the store."""
        self.flush()
        merge_parts(self.path, len(self))
        return CellStore(self.path)
