"""Both phases of the toy run on as many processes as there are, in float64: ``torchrun distributed_run.py OUT [JSON]``.

With ``"fail_at": N`` the last process dies at the N-th reading of cells, once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from toy_training import ToyCells, toy_config

from napari_ic_train.fit.distributed import joined, leave
from napari_ic_train.fit.trainer import fit_conditional, fit_reference


class DoubleCells(ToyCells):
    """The toy cells in float64, so that rounding cannot hide or make a difference."""

    def __init__(self, fail_at: int = 0) -> None:
        super().__init__()
        self.x = self.x.double()
        self.left = fail_at

    def images(self, indices: np.ndarray) -> Tensor:
        self.left -= 1
        if self.left == 0:
            os._exit(17)
        return super().images(indices)


def run(out: Path, fail_at: int = 0, **fields: object) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with joined("cpu") as world:
            dies = world.size > 1 and world.rank == world.size - 1
            first_try = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
            cells = DoubleCells(fail_at if dies and first_try else 0)
            config = toy_config(**fields)
            unseen = DoubleCells()
            fit_reference(cells, config, out, resume=True, world=world, held_out=unseen)
            fit_conditional(cells, config, out, resume=True, world=world, held_out=unseen)
    finally:
        torch.set_default_dtype(before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), **json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}"))
    leave()
