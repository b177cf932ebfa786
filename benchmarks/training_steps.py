"""One step of Algorithm 1 and Algorithm 2 with the demo preset, in seconds a cell.

The plain implementation is the one of the tests: it computes each of the four updates by a forward and a backward pass
of its own.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from measuring import Row, flops_of, flops_per_second, medians

from napari_ic_train.config import preset
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.phase import Phase, initialised
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_integrated_cell.model.networks import conditional_networks, reference_networks
from napari_integrated_cell.model.runtime import has_bf16

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "examples"))
from literal import Four, IterationDraws, algorithm_1, quiet

CELLS = 16


def rows() -> Iterator[Row]:
    yield from _rows_of("fp32")
    if has_bf16(torch.device("cpu")):
        yield from _rows_of("bf16")


def _rows_of(precision: Literal["fp32", "bf16"]) -> Iterator[Row]:
    config = preset("demo").model_copy(update={"precision": precision})
    model, bf16 = config.model, precision == "bf16"

    def random(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    x = torch.rand(CELLS, 3, *model.box, generator=random(0)).contiguous(memory_format=torch.channels_last_3d)
    labels = torch.randint(model.n_structures, (CELLS,), generator=random(0))
    z_ref = torch.randn(CELLS, model.n_ref, generator=random(0))
    first = initialised(reference_networks(model), random(0))
    literal = Four(*copy.deepcopy(first))
    quiet(literal.dec_d)
    phases: dict[str, tuple[Phase, tuple[Any, ...]]] = {
        "phase 1": (ReferencePhase(config, first, random(1)), (x[:, :2],)),
        "phase 2": (
            ConditionalPhase(config, initialised(conditional_networks(model), random(0)), random(1)),
            (x, labels, z_ref),
        ),
    }
    draws = IterationDraws(
        torch.arange(CELLS), torch.randn(CELLS, model.n_ref), None, [torch.randn(CELLS, 2, *model.box)] * 3
    )
    for name, (phase, batch) in phases.items():
        for judge in (False, True):

            def step(phase: Phase = phase, batch: tuple[Any, ...] = batch, judge: bool = judge) -> None:
                phase.gradients(*batch, judge=judge)
                phase.update()

            def forward(phase: Phase = phase, batch: tuple[Any, ...] = batch, judge: bool = judge) -> None:
                phase.forward(*batch, judge=judge)

            calls: dict[str, Any] = {"now": step}
            if name == "phase 1" and judge:
                calls["plain"] = lambda: algorithm_1(literal, x[:, :2], draws, (1e-3, 1e-5), "paper")
            found = medians(calls, 5)
            yield Row(
                f"fit one cell, {name} {'with' if judge else 'without'} DecD{' in bf16' if bf16 else ''}",
                found["now"] / CELLS,
                found["plain"] / CELLS if "plain" in found else None,
                3 * flops_of(forward) / CELLS / flops_per_second(bf16),
                f"three forward passes at the speed of a {'bf16' if bf16 else 'float32'} gemm",
            )


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
