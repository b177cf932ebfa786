"""The context and the base class of the report's experiments.

The experiments themselves are in :mod:`napari_ic_train.evaluation.experiments`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.caps import Caps
from napari_ic_train.evaluation.findings import Findings, Interval, Table, Value
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_integrated_cell.arrays import Floats, Indices, Mask
from napari_integrated_cell.processes import CancelToken, Progress, slices
from napari_integrated_cell.vocabulary import label_of

if TYPE_CHECKING:
    from napari_ic_train.data.store import CellStore
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

Split = Literal["train", "test"]
DecodedAt = Literal["predicted", "target"]
"""At which label and z^r an encoded cell is decoded: ŷ and ẑ^r of Enc^{r,s} (Algorithm 2), or its known label and
z^r = Enc^r(x^r)."""

SPLITS: tuple[Split, ...] = ("train", "test")
SPLIT_LABELS: Mapping[Split, str] = {"train": "training", "test": "held-out"}


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
    pooled : bool
        Whether all cells of the store count as held out.
    decoded_at : {"predicted", "target"}
        Where encoded cells are decoded: as the model was trained.
    caps : Caps
        Maximum numbers of cells in single experiments.
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
    pooled: bool = False
    decoded_at: DecodedAt = "predicted"
    caps: Caps = field(default_factory=Caps)
    progress: Progress = lambda *_: None
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

    def by_structure(self, labels: Indices) -> Iterator[tuple[str, Mask]]:
        """Yield the printed name of each structure that occurs in ``labels`` (n,), and the mask of its cells, (n,)."""
        for label in np.unique(labels):
            yield label_of(self.structures[label]), labels == label

    def confusion_table(self, title: str, corner: str, matrix: Indices) -> Table:
        """Return a table of counts (K, K), with the structures as rows and columns; ``corner`` says which is which."""
        names = [label_of(name) for name in self.structures]
        rows: list[list[Value]] = [[name, *row] for name, row in zip(names, matrix.tolist(), strict=True)]
        return Table(title, (corner, *names), rows)

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

    def interval(
        self, values: NDArray[Any], statistic: Callable[[NDArray[Any]], float] = np.mean
    ) -> Interval:
        """Return a statistic of cells, by default the mean, with its confidence interval (see `bootstrap`)."""
        return bootstrap(values, statistic, seed=self.seed)

    def parts(self, n: int, what: str) -> Iterator[slice]:
        """Yield slices of ``batch_size`` out of ``n``; report progress, and raise Cancelled if asked to stop."""
        return slices(n, self.batch_size, what, self.progress, self.cancel)

    def batches(self, split: Split, what: str) -> Iterator[tuple[slice, Floats]]:
        """Yield the selected cells in batches: their places, and images (n, R + 1, Z, Y, X) in [0, 1]."""
        chosen = self.cells[split]
        for part in self.parts(len(chosen), what):
            yield part, self.images(chosen[part])

    def images(self, positions: Indices) -> Floats:
        """Return cells by their position in the store, (n, R + 1, Z, Y, X) float32 in [0, 1]."""
        return self.store.stored(positions).astype(np.float32) / np.float32(255)


class Experiment(ABC):
    """One section of the report.

    Attributes
    ----------
    name : str
        Name of its folder and of its anchor in the page: lower case letters and hyphens.
    title : str
        Heading of the section.
    section : str
        Section of the paper, such as ``"3.4.1, Table S11"``; empty if the experiment is not in the paper.
    least_train, least_test, least_either : int
        Number of cells that it needs; see `Context.shortage`.
    settings : tuple of str
        Its own settings, ``"decoded_at"`` or fields of `Caps`: if one of them changes, it runs again.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    section: ClassVar[str] = ""
    least_train: ClassVar[int] = 0
    least_test: ClassVar[int] = 0
    least_either: ClassVar[int] = 0
    settings: ClassVar[tuple[str, ...]] = ()

    def needs(self, context: Context) -> str | None:
        """Return why the experiment cannot run, as one sentence; None if it can."""
        return context.shortage(train=self.least_train, test=self.least_test, either=self.least_either)

    @abstractmethod
    def run(self, context: Context) -> Findings:
        """Run the experiment. Raises Cancelled when ``context.cancel`` is set."""
