"""Many processes that fit one model: who they are, and the few things they say to each other.

``torchrun`` (or SLURM through it) starts the processes and tells each its place. Each takes its share of
every batch; between `Phase.gradients` and `Phase.update` the gradients of all are added up once, and batch
normalisation sees the whole batch (`batch_norm`): the run is the single process's. The first process alone
writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from napari_ic_train.fit.draws import Share
from napari_ic_train.fit.phase import Networks
from napari_integrated_cell.model.runtime import choose_device

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another: the first one may be writing, or measuring the held-out cells."""

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes that train together, seen from one of them.

    Attributes
    ----------
    device : torch.device
        This process's own.
    rank, size : int
        Which of how many it is. A size of 1 is a run without torch.distributed.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def share(self, n_cells: int) -> Share | None:
        """Which rows of a batch of ``n_cells`` are this process's; None for one alone, which has them all."""
        if self.size == 1:
            return None
        start, stop = (place * n_cells // self.size for place in (self.rank, self.rank + 1))
        return Share(start, stop, n_cells, self._whole)

    def add_up_gradients(self, networks: Networks) -> None:
        """Every gradient becomes the sum over all processes, in one exchange."""
        if self.size == 1:
            return
        gradients = [p.grad for network in networks for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        pieces = flat.split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))

    def summed(self, values: Tensor) -> Tensor:
        """The sum of all processes' values, for each of them."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def any(self, *flags: bool) -> list[bool]:
        """Which of these flags at least one process has set."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised]

    def first(self, work: Callable[[], T]) -> T:
        """What the first process's ``work`` returns, to all; if it fails, all fail as it did."""
        if self.size == 1:
            return work()
        said: list[Any] = [None, None]
        if self.is_first:
            try:
                said[0] = work()
            except Exception as error:
                dist.broadcast_object_list(
                    [None, (type(error), str(error))], src=0, device=torch.device("cpu")
                )
                raise
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        result, failure = said
        if failure is not None:
            kind, words = failure
            raise kind(words)
        return cast(T, result)

    def _whole(self, part: Tensor, share: Share) -> Tensor:
        whole = part.new_zeros((share.total, *part.shape[1:]))
        whole[share.start : share.stop] = part
        dist.all_reduce(whole)
        return whole


@contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """The world this process was started in, joined for a while; a process that is alone is its own.

    ``torchrun`` tells each process its place by RANK, WORLD_SIZE and LOCAL_RANK. CUDA devices are shared out
    by LOCAL_RANK and talk over nccl, CPUs over gloo.

    Raises
    ------
    ValueError
        If there is no such device, or fewer of them than processes on this machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if size == 1:
        yield World(chosen)
        return
    if chosen.type == "cuda":
        chosen = _own_card()
        torch.cuda.set_device(chosen)
    elif chosen.type != "cpu":
        raise ValueError(f"Several processes cannot train on {chosen.type}: choose --device cuda or cpu.")
    # Gradients go over nccl where there is CUDA; a word between processes always goes over gloo.
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    store, rank, size = next(iter(dist.rendezvous("env://", timeout=PATIENCE)))
    # After a restart torchrun's store still holds the addresses of the processes that died.
    attempt = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group(backend, store=attempt, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(chosen, rank, size)
        dist.barrier()  # nobody leaves while another still listens
    finally:
        dist.destroy_process_group()


def leave() -> None:
    """End a process of many whose work is done and on disk, with exit code 0.

    A process that has talked over gloo is now and then aborted by its C++ parts while the interpreter winds
    up ("terminate called without an active exception"), which torchrun takes for a failure.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _own_card() -> torch.device:
    index = int(os.environ.get("LOCAL_RANK", "0"))
    cards = torch.cuda.device_count()
    if index >= cards:
        raise ValueError(
            f"This machine has {cards} CUDA devices and more processes than that: "
            f"start torchrun with --nproc-per-node {cards}."
        )
    return torch.device("cuda", index)


def check_batches(world: World, sizes: Sequence[int]) -> None:
    """Raise a ValueError where a batch has too few cells for each process to get one."""
    if min(sizes) < max(world.size, 2):
        raise ValueError(
            f"'batch_size' and 'accumulate' leave {min(sizes)} cells to a pass of {world.size} processes: "
            "each needs one, and batch normalisation two in all."
        )
