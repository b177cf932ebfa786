"""Cells on their way into a batch: what a data set offers, the order of an epoch, flips, reading ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ic_train.config import TrainingConfig
from napari_ic_train.fit.distributed import World
from napari_integrated_cell.model.networks import ReferenceEncoder
from napari_integrated_cell.model.runtime import CancelToken

Indices = NDArray[np.int64]
Load = Callable[[Indices, Indices], tuple[Tensor, ...]]
"""``load(indices, flips)`` reads one batch; ``flips`` are indices into `FLIPS`."""

FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))
"""The axes along which a cell may be flipped (`TrainingConfig.augment_flips`); the first is: none."""

ENCODE_BATCH = 32


class Cells(Protocol):
    """What is trained on: posed cells by index."""

    @property
    def labels(self) -> Indices:
        """Index of each cell's structure, (len(self),)."""

    def __len__(self) -> int: ...

    def references(self, indices: Indices, /) -> Tensor:
        """Reference channels (n, R, Z, Y, X), float32 in [0, 1]."""

    def images(self, indices: Indices, /) -> Tensor:
        """References and, last, the structure, (n, R + 1, Z, Y, X), float32 in [0, 1]."""


def check_cells(cells: Cells, config: TrainingConfig) -> None:
    """Raise a ValueError where the cells cannot train the configured model."""
    model = config.model
    if len(cells) < 2:
        raise ValueError(f"There are {len(cells)} training cells: batch normalisation needs at least 2.")
    labels = np.asarray(cells.labels)
    if labels.min() < 0 or labels.max() >= model.n_structures:
        raise ValueError(
            f"The cells' labels run from {labels.min()} to {labels.max()}, but the model has "
            f"{model.n_structures} structures: train with a model of the data's structures."
        )
    expected = (model.n_references + 1, *model.box)
    found = tuple(cells.images(np.arange(1)).shape[1:])
    if found != expected:
        raise ValueError(
            f"The cells are (C, Z, Y, X) = {found}, but the model {model.name!r} takes {expected}: "
            "prepare the data for this model."
        )


def epoch_batches(
    n_cells: int,
    batch_size: int,
    *,
    flips: bool,
    seed: int,
    epoch: int,
    balanced_by: Indices | None = None,
) -> list[tuple[Indices, Indices]]:
    """One epoch's batches: (indices, flips), every cell once, in an order that seed and epoch alone decide.

    Given ``balanced_by``, a class for each cell, as many cells are drawn with repetition instead, each class
    as often as any other, give or take one.

    The batches are as few as ``batch_size`` allows and of equal size, give or take one cell. None holds a
    single cell, for which batch normalisation has no use: an odd number of cells in batches of two makes one
    batch of three. ``flips`` are indices into `FLIPS`.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(n_cells) if balanced_by is None else _balanced(balanced_by, random)
    flip = random.integers(len(FLIPS), size=n_cells) if flips else np.zeros(n_cells, np.int64)
    n_batches = min(math.ceil(n_cells / batch_size), n_cells // 2)
    return [(part, flip[part]) for part in np.array_split(order, n_batches)]


def _balanced(classes: Indices, random: np.random.Generator) -> Indices:
    """As many cells as there are, all classes equally often; a class's cells are used up before any comes again."""
    n_cells, (_, members) = len(classes), np.unique(classes, return_inverse=True)
    n_classes = members.max() + 1
    due = np.bincount(np.arange(n_cells) % n_classes)
    drawn = []
    for index, wanted in enumerate(due):
        cells = np.flatnonzero(members == index)
        rounds = [random.permutation(cells) for _ in range(math.ceil(wanted / len(cells)))]
        drawn.append(np.concatenate([cells[:0], *rounds])[:wanted])
    return random.permutation(np.concatenate(drawn))


def read_ahead(
    load: Load, plan: Sequence[tuple[Indices, Indices]], first: int, device: torch.device
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """The batches from the ``first`` on, with their index, each read while the one before is being learnt."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(load, *plan[first])
        for index in range(first, len(plan)):
            batch = coming.result()
            if index + 1 < len(plan):
                coming = reader.submit(load, *plan[index + 1])
            yield index, tuple(to_device(tensor, device) for tensor in batch)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; images with their channels last, as 3D convolutions like them."""
    if tensor.ndim == 5:
        return tensor.to(device, memory_format=torch.channels_last_3d)
    return tensor.to(device)


def flipped(x: Tensor, flips: Indices) -> Tensor:
    """Each cell of (n, C, Z, Y, X) flipped its own way."""
    if not flips.any():
        return x
    return torch.stack([torch.flip(cell, FLIPS[flip]) for cell, flip in zip(x, flips, strict=True)])


@torch.no_grad()
def reference_targets(
    cells: Cells,
    encoder: ReferenceEncoder,
    config: TrainingConfig,
    cancel: CancelToken | None = None,
    world: World | None = None,
) -> Tensor:
    """Phase 2's targets z^r: every cell under every flip in use, (n_cells, n_flips, n_ref), on the CPU.

    The processes of a ``world`` share the work.
    """
    rank, size = (0, 1) if world is None else (world.rank, world.size)
    device = next(encoder.parameters()).device
    flips = FLIPS if config.in_phase("conditional", "augment_flips") else FLIPS[:1]
    encoder.eval()
    targets = torch.zeros(len(cells), len(flips), config.model.n_ref)
    for start in range(0, len(cells), ENCODE_BATCH)[rank::size]:
        if cancel is not None and size == 1:  # one process of many may not leave the others waiting
            cancel.raise_if_cancelled()
        indices = np.arange(start, min(start + ENCODE_BATCH, len(cells)))
        x = to_device(cells.references(indices), device)
        for column, axes in enumerate(flips):
            targets[start : start + len(indices), column] = encoder(torch.flip(x, axes)).cpu()
    return targets if world is None else world.summed(targets)
