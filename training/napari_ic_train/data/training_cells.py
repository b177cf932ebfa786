"""Cells that a model is trained or measured on, by index, and how they are read from a store."""

from __future__ import annotations

import os
import warnings
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.data.store import TABLE, CellStore
from napari_integrated_cell.arrays import Indices

PART_OF_MEMORY = 0.5
"""Largest share of the free memory that a store may take; a larger store is read from disk, batch by batch."""


class Cells(Protocol):
    """Posed cells by index."""

    @property
    def labels(self) -> Indices:
        """Index of each cell's structure, (len(self),)."""

    def __len__(self) -> int: ...

    def references(self, indices: Indices, /) -> Tensor:
        """Return reference channels (n, R, Z, Y, X), float32 in [0, 1]."""

    def images(self, indices: Indices, /) -> Tensor:
        """Return references and, last, the structure, (n, R + 1, Z, Y, X), float32 in [0, 1]."""


class StoreCells:
    """Cells of one side of a store's split; an error says so if the store can no longer be read.

    A missing chunk reads as zeros, which no posed cell is. Without this check a model would train on them.
    """

    def __init__(self, store: CellStore, *, in_memory: bool) -> None:
        self._store = store.in_memory() if in_memory else store
        self.labels = self._store.labels

    def __len__(self) -> int:
        return len(self._store)

    def images(self, indices: Indices) -> Tensor:
        """Return references and structure, (n, R + 1, Z, Y, X)."""
        try:
            x = self._store.images(indices)
        except (OSError, KeyError) as error:
            raise OSError(self._unreadable(str(error))) from error
        empty = np.flatnonzero((x.flatten(1).amax(1) == 0).numpy())
        if len(empty):
            raise OSError(self._unreadable(f"cell {int(indices[empty[0]])} is empty"))
        return x

    def references(self, indices: Indices) -> Tensor:
        """Return reference channels, (n, R, Z, Y, X)."""
        return self.images(indices)[:, :-1]

    def _unreadable(self, why: str) -> str:
        path = self._store.path
        if not (path / TABLE).is_file():
            return (
                f"The training store {path} is missing: restore it, then resume; the checkpoints are intact."
            )
        return f"The training store {path} cannot be read ({why}): prepare it again, then resume."


class CellsAt:
    """Some of other cells, by their positions among them."""

    def __init__(self, cells: Cells, positions: Indices) -> None:
        self._cells, self._positions = cells, positions
        self.labels: Indices = np.asarray(cells.labels)[positions]

    def __len__(self) -> int:
        return len(self._positions)

    def images(self, indices: Indices) -> Tensor:
        """Return references and structure, (n, R + 1, Z, Y, X)."""
        return self._cells.images(self._positions[np.asarray(indices)])

    def references(self, indices: Indices) -> Tensor:
        """Return reference channels, (n, R, Z, Y, X)."""
        return self._cells.references(self._positions[np.asarray(indices)])


class JoinedCells:
    """The cells of two collections, one after the other."""

    def __init__(self, first: Cells, second: Cells) -> None:
        self._parts = (first, second)
        self.labels: Indices = np.concatenate([np.asarray(part.labels) for part in self._parts])

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, indices: Indices) -> Tensor:
        """Return references and structure, (n, R + 1, Z, Y, X)."""
        indices, n_first = np.asarray(indices), len(self._parts[0])
        of_first = indices < n_first
        places = np.argsort(np.concatenate([np.flatnonzero(of_first), np.flatnonzero(~of_first)]))
        wanted = (indices[of_first], indices[~of_first] - n_first)
        found = [part.images(own) for part, own in zip(self._parts, wanted, strict=True) if len(own)]
        return torch.cat(found)[torch.from_numpy(places)]

    def references(self, indices: Indices) -> Tensor:
        """Return reference channels, (n, R, Z, Y, X)."""
        return self.images(indices)[:, :-1]


def training_cells(train: CellStore) -> StoreCells:
    """Return the cells of a store, read into memory if they fit."""
    return StoreCells(train, in_memory=fits_in_memory(train))


def held_out_cells(train: CellStore) -> StoreCells | None:
    """Return the cells of the store's test split; None, with a warning, if there are none."""
    try:
        store = CellStore(train.path, "test")
    except ValueError:
        warnings.warn(
            f"The store {train.path} has no held-out cells: nothing is measured on unseen cells, "
            "and there is no best checkpoint.",
            stacklevel=2,
        )
        return None
    return training_cells(store)


def fits_in_memory(store: CellStore) -> bool:
    """Return whether a store's cells fit in the free memory of this machine, once per process."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    size = len(store) * len(store.channels) * int(np.prod(store.box))
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        free = 4 * 10**9
    return size * processes <= PART_OF_MEMORY * free


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to a device; images get their channels last in memory, which 3D convolutions read fastest."""
    if tensor.ndim == 5:
        return tensor.to(device, memory_format=torch.channels_last_3d)
    return tensor.to(device)
