"""The training of one phase on one process: its networks, its batches and its watchers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ic_train.config import PhaseConfig, TrainingConfig
from napari_ic_train.fit.batches import Batch, Load
from napari_ic_train.fit.distributed import World
from napari_ic_train.fit.draws import Share
from napari_ic_train.fit.measures import Measure
from napari_ic_train.fit.phase import Phase
from napari_ic_train.run.watching import Watcher
from napari_integrated_cell.model.runtime import CancelToken


@dataclass(frozen=True, eq=False)
class Job:
    """The training of one phase on one process.

    Attributes
    ----------
    phase : Phase
        The networks in training.
    plan : callable
        ``plan(epoch)`` returns the epoch's batches, the same on every process.
    load : callable
        Reads the cells of a batch, or of a part of one.
    folder : path
        The phase's folder in the run.
    world : World
        The processes that share each batch.
    measure : callable
        Measures the phase after each epoch, on the first process.
    watchers : sequence of Watcher
        Receive the reports of every batch and epoch, on the first process.
    cancel : CancelToken, optional
        Stops the training before the next batch.
    """

    phase: Phase
    plan: Callable[[int], list[Batch]]
    load: Load
    folder: Path
    world: World
    measure: Measure
    watchers: Sequence[Watcher] = ()
    cancel: CancelToken | None = None

    @property
    def config(self) -> TrainingConfig:
        """The run's configuration."""
        return self.phase.config

    @property
    def length(self) -> PhaseConfig:
        """The length of the phase."""
        return self.config.reference if self.phase.name == "reference" else self.config.conditional


@dataclass(frozen=True)
class Part:
    """The cells of a batch that one process learns from in one pass.

    Attributes
    ----------
    cells : tuple of array
        Indices and flips.
    share : Share or None
        Their rows of the pass; None for all rows.
    weight : float
        Their number divided by the number of cells in the batch. Gradients of means, with these weights, sum to the
        batch's gradient.
    """

    cells: Batch
    share: Share | None
    weight: float


def parts(batch: Batch, passes: int, world: World) -> list[Part]:
    """Split a batch into passes and return this process's part of each."""
    indices, flips = batch
    result = []
    for chosen, flip in zip(np.array_split(indices, passes), np.array_split(flips, passes), strict=True):
        share = world.share(len(chosen))
        rows = slice(None) if share is None else slice(share.start, share.stop)
        mine = (chosen[rows], flip[rows])
        result.append(Part(mine, share, len(mine[0]) / len(indices)))
    return result
