"""Batches of cells: the order of an epoch, flips, reading ahead, and phase 2's targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.training_cells import Cells, to_device
from napari_ic_train.fit.distributed import World
from napari_integrated_cell.arrays import Indices
from napari_integrated_cell.imaging.mirroring import MIRRORS
from napari_integrated_cell.model.networks import ReferenceEncoder
from napari_integrated_cell.model.runtime import CancelToken

Batch = tuple[Indices, Indices]
"""Indices of the cells of a batch, and their flips, as indices into `FLIPS`."""

Load = Callable[[Indices, Indices], tuple[Tensor, ...]]
"""``load(indices, flips)`` reads one batch."""

FLIPS = MIRRORS
"""Axes along which a cell is flipped (`TrainingConfig.augment_flips`); the first entry means no flip."""

ENCODE_BATCH = 32


def check_cells(cells: Cells, config: TrainingConfig, *, labelled: bool = True) -> None:
    """Raise a ValueError if the cells cannot train the configured model.

    Phase 1 does not use labels: there cells may have no structure, and need not be ``labelled``.
    """
    model = config.model
    if len(cells) < 2:
        raise ValueError(f"There are {len(cells)} training cells: batch normalisation needs at least 2.")
    labels = np.asarray(cells.labels)
    if (labelled and labels.min() < 0) or labels.max() >= model.n_structures:
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
    n_cells: int, batch_size: int, *, flips: bool, seed: int, epoch: int, balanced_by: Indices | None = None
) -> list[Batch]:
    """Return the batches of an epoch: every cell once, in an order that depends on seed and epoch only.

    With ``balanced_by``, the class of each cell, as many cells are drawn with repetition instead, and each class
    equally often, give or take one.

    There are as few batches as ``batch_size`` allows, of equal size, give or take one cell. No batch has a single
    cell, because batch normalisation needs two: an odd number of cells in batches of two makes one batch of three.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(n_cells) if balanced_by is None else _balanced(balanced_by, random)
    flip = random.integers(len(FLIPS), size=n_cells) if flips else np.zeros(n_cells, np.int64)
    n_batches = min(math.ceil(n_cells / batch_size), n_cells // 2)
    return [(part, flip[part]) for part in np.array_split(order, n_batches)]


def _balanced(classes: Indices, random: np.random.Generator) -> Indices:
    """Draw as many cells as there are, each class equally often; all cells of a class come before any repeats."""
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
    load: Load, plan: Sequence[Batch], first: int, device: torch.device
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """Yield the batches from the ``first`` on, with their index; each is read while the one before is used."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(load, *plan[first])
        for index in range(first, len(plan)):
            batch = coming.result()
            if index + 1 < len(plan):
                coming = reader.submit(load, *plan[index + 1])
            yield index, tuple(to_device(tensor, device) for tensor in batch)


def flipped(x: Tensor, flips: Indices) -> Tensor:
    """Return the cells (n, C, Z, Y, X), each with its own flip."""
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
    """Return phase 2's targets z^r: of every cell with every flip in use, (n_cells, n_flips, n_ref), on the CPU.

    The processes of a ``world`` share the work.
    """
    rank, size = (0, 1) if world is None else (world.rank, world.size)
    device = next(encoder.parameters()).device
    flips = FLIPS if config.in_phase("conditional", "augment_flips") else FLIPS[:1]
    encoder.eval()
    targets = torch.zeros(len(cells), len(flips), config.model.n_ref)
    for start in range(0, len(cells), ENCODE_BATCH)[rank::size]:
        if cancel is not None and size == 1:  # one process alone must not stop: the others would wait for it
            cancel.raise_if_cancelled()
        indices = np.arange(start, min(start + ENCODE_BATCH, len(cells)))
        x = to_device(cells.references(indices), device)
        for column, axes in enumerate(flips):
            targets[start : start + len(indices), column] = encoder(torch.flip(x, axes)).cpu()
    return targets if world is None else world.summed(targets)
