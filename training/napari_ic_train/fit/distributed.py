"""Processes that train one model together, and what they exchange.

``torchrun`` (or SLURM through it) starts the processes and gives each its rank. Each computes its share of every batch;
between `Phase.gradients` and `Phase.update` the gradients of all processes are summed once, and batch normalisation
uses the whole batch (`batch_norm`): the result is that of a single process. Only the first process writes files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from napari_ic_train.fit.draws import Share
from napari_integrated_cell.model.runtime import choose_device

PATIENCE = timedelta(minutes=30)
"""Longest time that a process waits for another: the first one may write files or measure held-out cells."""

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes that train together, and the rank of this one.

    Attributes
    ----------
    device : torch.device
        This process's device.
    rank, size : int
        This process's rank, and the number of processes. A size of 1 is a run without torch.distributed.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, n_cells: int) -> Share | None:
        """Return this process's rows of a batch of ``n_cells``; None for a single process, which has all rows."""
        if self.size == 1:
            return None
        start, stop = (place * n_cells // self.size for place in (self.rank, self.rank + 1))
        return Share(start, stop, n_cells, self._whole)

    def sum_gradients(self, networks: Iterable[nn.Module]) -> None:
        """Replace every gradient by the sum over all processes, in one exchange."""
        if self.size == 1:
            return
        gradients = [p.grad for network in networks for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        pieces = flat.split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum of all processes' values, on each process."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether at least one process has set it."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised]

    def first(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the first process and return its result on all; if it fails, all raise its error."""
        if self.size == 1:
            return work()
        message: list[Any] = [None, None]
        if self.is_first:
            try:
                message[0] = work()
            except Exception as error:
                dist.broadcast_object_list(
                    [None, (type(error), str(error))], src=0, device=torch.device("cpu")
                )
                raise
        dist.broadcast_object_list(message, src=0, device=torch.device("cpu"))
        result, failure = message
        if failure is not None:
            kind, sentence = failure
            raise kind(sentence)
        return cast(T, result)

    def _whole(self, part: Tensor, share: Share) -> Tensor:
        whole = part.new_zeros((share.total, *part.shape[1:]))
        whole[share.start : share.stop] = part
        dist.all_reduce(whole)
        return whole


@contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """Join the processes that torchrun started with this one, inside the block; a single process is its own world.

    ``torchrun`` sets RANK, WORLD_SIZE and LOCAL_RANK. Each process gets the CUDA device of its LOCAL_RANK. CUDA devices
    communicate over nccl, CPUs over gloo.

    Raises
    ------
    ValueError
        If there is no such device, or this machine has fewer of them than processes.
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
        raise ValueError(f"Several processes cannot train on {chosen.type}: choose the device cuda or cpu.")
    # With CUDA, gradients go over nccl; all other messages go over gloo.
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    store, rank, size = next(iter(dist.rendezvous("env://", timeout=PATIENCE)))
    # After a restart, torchrun's store still has the addresses of the processes that ended.
    attempt = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group(backend, store=attempt, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(chosen, rank, size)
        dist.barrier()  # no process leaves while another still waits for a message
    finally:
        dist.destroy_process_group()


def leave() -> None:
    """End one of several processes immediately, with exit code 0; call it when all work is on disk.

    gloo's C++ code sometimes aborts a process while the interpreter shuts down ("terminate called without an active
    exception"), and torchrun would report that as a failure.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _own_card() -> torch.device:
    index = int(os.environ.get("LOCAL_RANK", "0"))
    cards = torch.cuda.device_count()
    if index >= cards:
        raise ValueError(
            f"This machine has {cards} CUDA devices and more processes than that: start at most {cards} processes per "
            "machine."
        )
    return torch.device("cuda", index)


def check_batches(world: World, sizes: Sequence[int]) -> None:
    """Raise a ValueError if a batch has too few cells for every process to get one."""
    if min(sizes) < max(world.size, 2):
        raise ValueError(
            f"'batch_size' and 'accumulate' leave {min(sizes)} cells for a pass of {world.size} processes: "
            "each process needs one, and batch normalisation needs two."
        )
