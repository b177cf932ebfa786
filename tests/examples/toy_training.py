"""Small cells and small networks on which a whole training run takes a second."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_ic_train.config import PhaseConfig, TrainingConfig
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_ic_train.run.checkpoint import checkpoints
from napari_ic_train.run.watching import EpochReport
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.runtime import CancelToken

MODEL = ModelConfig(
    name="toy",
    box=(8, 8, 12),
    structures=("tubes", "sheets", "dots"),
    n_ref=4,
    n_struct=3,
    enc_ref_widths=(4, 8),
    enc_cond_widths=(4, 8),
    dec_widths=(8, 4),
    enc_d_widths=(8, 8, 6),
    dec_d_widths=(4, 8),
    dec_d_head="linear",
)


def toy_config(**fields: object) -> TrainingConfig:
    length = PhaseConfig(epochs=4)
    defaults = {"model": MODEL, "reference": length, "conditional": length, "seed": 3, "batch_size": 4}
    return TrainingConfig.model_validate(defaults | fields)


class ToyCells:
    """Ellipsoids with a nucleus; each structure is a shell of its own radius."""

    def __init__(self, n_cells: int = 10, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.labels = np.arange(n_cells) % len(MODEL.structures)
        axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in MODEL.box), indexing="ij")
        cells = []
        for label in self.labels:
            half = random.uniform(0.5, 0.9, 3)
            radius = sum((axis / a) ** 2 for axis, a in zip(axes, half, strict=True))
            shells = [np.exp(-((4 * (radius - r)) ** 2)) for r in (1.0, 0.2 + 0.4 * label)]
            cells.append(np.stack([shells[0], (radius < 0.3) * 1.0, shells[1]]))
        self.x = torch.from_numpy(np.stack(cells)).float()

    def __len__(self) -> int:
        return len(self.x)

    def images(self, indices: np.ndarray) -> Tensor:
        return self.x[torch.from_numpy(np.asarray(indices))]

    def references(self, indices: np.ndarray) -> Tensor:
        return self.images(indices)[:, :-1]


class Cut(ToyCells):
    """Cells that set a token, or fail, when they are read for the n-th time."""

    def __init__(self, at: int, token: CancelToken | None = None) -> None:
        super().__init__()
        self.left, self.token = at, token

    def images(self, indices: np.ndarray) -> Tensor:
        self.left -= 1
        if self.left == 0:
            if self.token is None:
                raise OSError("the store is gone")
            self.token.cancel()
        return super().images(indices)


class EachEpoch:
    """A watcher that calls a function with the report of each epoch."""

    def __init__(self, call: Callable[[EpochReport], None]) -> None:
        self.call = call

    def step(self, report: object) -> None:
        pass

    def epoch(self, report: EpochReport, networks: object) -> None:
        self.call(report)

    def close(self) -> None:
        pass


def rows(run: Path, phase: str) -> list[dict[str, str]]:
    with (run / phase / "losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(run: Path, phase: str) -> list[dict[str, str]]:
    timed = ("seconds", "cells_per_second", "memory_gb")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows(run, phase)]


def last_tensors(run: Path, phase: str) -> dict[str, Tensor]:
    return load_file(checkpoints(run / phase)[-1])


def assert_same_run(a: Path, b: Path, phase: str) -> None:
    ours, theirs = last_tensors(a, phase), last_tensors(b, phase)
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different
    assert untimed(a, phase) == untimed(b, phase)


if __name__ == "__main__":  # a run that a test may kill
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    config = toy_config(
        reference=PhaseConfig(epochs=int(sys.argv[2])), conditional=PhaseConfig(epochs=int(sys.argv[3]))
    )
    fit_reference(ToyCells(), config, out, device="cpu", resume=True)
    fit_conditional(ToyCells(), config, out, device="cpu", resume=True)
