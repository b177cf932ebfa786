"""The interface of the report's experiments: their context, their findings, and the protocol that they follow.

The experiments themselves are in :mod:`napari_ic_train.evaluation.experiments`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.model.runtime import CancelToken, Progress

if TYPE_CHECKING:
    from napari_ic_train.data.store import CellStore
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

Split = Literal["train", "test"]
Value = str | int | float | None

SPLITS: tuple[Split, ...] = ("train", "test")
SPLIT_LABELS: Mapping[Split, str] = {"train": "training", "test": "held-out"}


def _no_progress(done: int, total: int, what: str) -> None:
    """Ignore a progress message."""


@dataclass(frozen=True, eq=False)
class Context:
    """The model, the cells and the settings of an experiment.

    Attributes
    ----------
    model : IntegratedCell
        On the device to use.
    store : CellStore
        Has training cells and held-out cells.
    cells : mapping of str to array of int
        Positions in the store of the selected training cells, ``"train"``, and held-out cells, ``"test"``. Both
        respect ``limit``, and either may be empty.
    folder : path
        Cache for this bundle, store and selection of cells.
    shared : path, optional
        Cache for this store and selection of cells, shared by all bundles; ``folder`` if left out.
    run : path, optional
        Run folder of the bundle, if it is known.
    seed : int
        Random seed.
    draws : int
        Number of draws of each structure in each cell.
    batch_size : int
        Number of cells in a batch.
    limit : int, optional
        Maximum number of training cells, and of held-out cells; no maximum if None.
    progress : callable
        Called with (done, total, what).
    cancel : CancelToken
        Checked between batches.
    """

    model: IntegratedCell
    store: CellStore
    cells: Mapping[Split, Indices]
    folder: Path
    shared: Path | None = None
    run: Path | None = None
    seed: int = 0
    draws: int = 100
    batch_size: int = 16
    limit: int | None = None
    progress: Progress = _no_progress
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def structures(self) -> tuple[str, ...]:
        """The model's structures, in label order."""
        return self.model.config.structures

    @property
    def device(self) -> str:
        """The device of the model."""
        return str(self.model.device)

    def labels(self, split: Split) -> Indices:
        """Return the label of each selected cell, its index in ``structures``, (n,)."""
        index = {name: i for i, name in enumerate(self.structures)}
        names = self.store.table["structure"].to_numpy()[self.cells[split]]
        return np.array([index[name] for name in names], np.int64)

    def shortage(self, *, train: int = 0, test: int = 0, either: int = 0) -> str | None:
        """Return a sentence if the store has fewer selected cells than this; None if it has enough.

        Parameters
        ----------
        train, test, either : int
            Number of cells needed among the training cells, among the held-out cells, and in the larger of both.
        """
        n = {split: len(self.cells[split]) for split in SPLITS}
        for found, needed, kind in (
            (n["test"], test, "held-out cells"),
            (n["train"], train, "training cells"),
            (max(n.values()), either, "cells on either side of the split"),
        ):
            if found < needed:
                return f"The store has {found or 'no'} {kind}, and this experiment needs {needed} or more."
        return None

    def parts(self, n: int, what: str) -> Iterator[slice]:
        """Yield slices of ``batch_size`` out of ``n``; report progress, and raise Cancelled if asked to stop."""
        for start in range(0, n, self.batch_size):
            self.cancel.raise_if_cancelled()
            part = slice(start, min(start + self.batch_size, n))
            yield part
            self.progress(part.stop, n, what)

    def batches(self, split: Split, what: str) -> Iterator[tuple[slice, Floats]]:
        """Yield the selected cells in batches: their places, and images (n, R + 1, Z, Y, X) in [0, 1]."""
        chosen = self.cells[split]
        for part in self.parts(len(chosen), what):
            yield part, self.images(chosen[part])

    def images(self, positions: Indices) -> Floats:
        """Return cells by their position in the store, (n, R + 1, Z, Y, X) float32 in [0, 1]."""
        return self.store.stored(positions).astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval, by the bootstrap over cells."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """A table: sortable in the report, and a CSV file in its folder.

    Attributes
    ----------
    title : str
        Unique within its experiment. The file is named after it.
    columns : tuple of str
    rows : list of list
        Each is as long as ``columns``; None where there is no value.
    note : str
        Explains how to read the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[list[Value]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture: inline in the report, and a file in its folder.

    Attributes
    ----------
    title : str
        Unique within its experiment. The file is named after it.
    content : bytes
        SVG or PNG.
    note : str
        Explains how to read the picture.
    """

    title: str
    content: bytes = field(repr=False)
    note: str = ""

    @property
    def kind(self) -> Literal["png", "svg"]:
        """The file format, by the first bytes."""
        return "png" if self.content.startswith(b"\x89PNG") else "svg"


@dataclass(frozen=True)
class Findings:
    """The results of an experiment.

    Attributes
    ----------
    headline : mapping of str to float or Interval
        The most important values by name. The report starts with them.
    tables : tuple of Table
    figures : tuple of Figure
    notes : str
        What was done, with how many cells, and how to read the results. An empty line separates paragraphs.
    """

    headline: Mapping[str, float | Interval] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: str = ""


@runtime_checkable
class Experiment(Protocol):
    """One section of the report."""

    @property
    def name(self) -> str:
        """Name of its folder and of its anchor in the page: lower case letters and hyphens."""

    @property
    def title(self) -> str:
        """Heading of the section."""

    @property
    def section(self) -> str:
        """Section of the paper, such as ``"3.4.1, Table S11"``; empty if the experiment is not in the paper."""

    def needs(self, context: Context) -> str | None:
        """Return why the experiment cannot run, as one sentence; None if it can."""

    def run(self, context: Context) -> Findings:
        """Run the experiment. Raises Cancelled when ``context.cancel`` is set."""
