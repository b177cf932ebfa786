"""What an experiment of the evaluation report is: what it is given, what it hands back, and how it is asked.

The experiments themselves are in :mod:`napari_ic_train.evaluation.experiments`, one file each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.model.runtime import CancelToken, Progress

if TYPE_CHECKING:
    from napari_ic_train.data.store import CellStore
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

Indices = NDArray[np.int64]
Split = Literal["train", "test"]
Value = str | int | float | None

SPLITS: tuple[Split, ...] = ("train", "test")


def _silent(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, eq=False)
class Context:
    """What an experiment is given.

    Attributes
    ----------
    model : IntegratedCell
        On the device to use.
    store : CellStore
        Both sides of the split.
    cells : mapping of str to array of int
        Positions in the store of the cells to use, by side of the split, ``"train"`` and ``"test"`` (held out);
        already within ``limit`` and spread over the structures. A side may be empty.
    folder : path
        For what an experiment wants to keep between sittings; its content belongs to this bundle, store and
        choice of cells alone.
    shared : path, optional
        The same, for what belongs to the store and the choice of cells, whatever the bundle; ``folder`` if left out.
    run : path, optional
        The run's folder that the bundle came from, where it is known.
    seed : int
        Of whatever is drawn.
    draws : int
        Draws of each structure in each cell, where an experiment draws.
    batch_size : int
        Cells computed at once.
    limit : int, optional
        Cells of each side at most; None is all there are.
    progress : callable
        Called with (done, total, what).
    cancel : CancelToken
        Looked at between batches.
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
    progress: Progress = _silent
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def structures(self) -> tuple[str, ...]:
        """The classes, in label order."""
        return self.model.config.structures

    @property
    def device(self) -> str:
        """Where the model computes."""
        return str(self.model.device)

    def labels(self, split: Split) -> Indices:
        """Index into ``structures`` of each chosen cell of a side, (n,)."""
        index = {name: i for i, name in enumerate(self.structures)}
        names = self.store.table["structure"].to_numpy()[self.cells[split]]
        return np.array([index[name] for name in names], np.int64)

    def batches(self, split: Split, what: str) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The chosen cells of a side as they are stored, a batch at a time: (n, R + 1, Z, Y, X) in [0, 1]."""
        chosen = self.cells[split]
        for start in range(0, len(chosen), self.batch_size):
            self.cancel.raise_if_cancelled()
            part = slice(start, min(start + self.batch_size, len(chosen)))
            yield part, self.images(chosen[part])
            self.progress(part.stop, len(chosen), what)

    def images(self, positions: Indices) -> NDArray[np.float32]:
        """Cells by position in the store, (n, R + 1, Z, Y, X) float32 in [0, 1]."""
        return self.store.stored(positions).astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class Interval:
    """A figure and between which two it lies with 95 % confidence, by the bootstrap over cells."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers: sortable in the report, a CSV on disk.

    Attributes
    ----------
    title : str
        Unique within its experiment: the file is named after it.
    columns : tuple of str
    rows : list of list
        As long as ``columns`` each; None where there is no figure.
    note : str
        What to know when reading it.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[list[Value]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture, inline in the report and a file on disk.

    Attributes
    ----------
    title : str
        Unique within its experiment: the file is named after it.
    content : bytes
        SVG or PNG.
    note : str
        What to know when looking at it.
    """

    title: str
    content: bytes = field(repr=False)
    note: str = ""

    @property
    def kind(self) -> Literal["png", "svg"]:
        """Which of the two it is, by its first bytes."""
        return "png" if self.content.startswith(b"\x89PNG") else "svg"


@dataclass(frozen=True)
class Findings:
    """What an experiment found.

    Attributes
    ----------
    headline : mapping of str to float or Interval
        Its few most telling figures by name, shown on top of the report.
    tables, figures : tuple
        Everything else, in order.
    notes : str
        Plain sentences: what was done with how many cells, and what is to be read from it. Paragraphs are
        separated by empty lines.
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
        """Its folder's name, and what ``--only`` calls it: lower case, hyphens."""

    @property
    def title(self) -> str:
        """The section's heading."""

    @property
    def section(self) -> str:
        """Where the paper has it, such as ``"3.4.1, Table S11"``; empty where it goes past the paper."""

    def needs(self, context: Context) -> str | None:
        """Why it cannot be done here, as one sentence; None where it can."""

    def run(self, context: Context) -> Findings:
        """Do it. Raises Cancelled when ``context.cancel`` is set."""
