"""Measure what limits training on a GPU, and what each remedy brings.

For both phases of a preset the script times whole steps in several forms, in turn:

- float32, with and without TF32, and bf16;
- images and weights with their channels last in memory, and not;
- the three passes of DecD one after the other, as the trainer makes them, and as one pass with the statistics of each
  kind of image;
- one step as a CUDA graph, and parts compiled by ``torch.compile``.

It prints cells a second, the share of the card's speed in a matrix product, and the kernels that take the most time.
What cannot be measured on this machine is listed as such. ``--device cpu --preset tiny`` tries the script on a CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from measuring import flops_of, replaced
from torch import Tensor, nn

from napari_ic_train.config import TrainingConfig, preset
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.phase import Phase, initialised
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_integrated_cell.model.networks import conditional_networks, reference_networks

PHASES = ("reference", "conditional")


def phase_and_batch(
    config: TrainingConfig, name: str, cells: int, device: torch.device
) -> tuple[Phase, tuple[Tensor, ...]]:
    model, random = config.model, torch.Generator().manual_seed(0)
    x = torch.rand(cells, model.n_references + 1, *model.box, generator=random)
    x = x.to(device, memory_format=torch.channels_last_3d)
    on_device = torch.Generator(device).manual_seed(0)
    if name == "reference":
        reference = initialised(reference_networks(model), random)
        for network in reference:
            network.to(device)
        return ReferencePhase(config, reference, on_device), (x[:, :-1],)
    conditional = initialised(conditional_networks(model), random)
    for network in conditional:
        network.to(device)
    y = torch.randint(model.n_structures, (cells,), generator=random).to(device)
    z_ref = torch.randn(cells, model.n_ref, generator=random).to(device)
    return ConditionalPhase(config, conditional, on_device), (x, y, z_ref)


def seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the mean time of a call after two others, with the device waited for."""
    for _ in range(2):
        call()
    wait(device)
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    wait(device)
    return (time.perf_counter() - started) / repeats


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gemm_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device).to(dtype)
    return 2 * n**3 / seconds(lambda: a @ a, device, 10)


# ------------------------------------------------------------------------------------------------ forms of a step


class GroupedBatchNorm(nn.BatchNorm3d):
    """Batch normalisation of several batches at once, each by its own statistics."""

    groups = 1

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (groups * N, C, Z, Y, X)."""
        if not self.training or self.groups == 1:
            return super().forward(input)
        n, c = len(input) // self.groups, input.shape[1]
        # (groups, n, C, ...) to (n, groups * C, ...): the channels of each batch are normalised apart.
        apart = input.unflatten(0, (self.groups, n)).transpose(0, 1).flatten(1, 2)
        weight, bias = self.weight.repeat(self.groups), self.bias.repeat(self.groups)
        means = apart.new_zeros(self.groups * c, dtype=torch.float32)
        variances = torch.ones_like(means)
        out = F.batch_norm(apart, means, variances, weight, bias, True, 1.0, self.eps)
        for mean, variance in zip(means.view(-1, c), variances.view(-1, c), strict=True):
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(variance, self.momentum)  # type: ignore[union-attr, arg-type]
        return out.unflatten(1, (self.groups, c)).transpose(0, 1).flatten(0, 1)


@contextmanager
def as_one_pass(phase: Phase, x: Tensor) -> Iterator[Callable[[], object]]:
    """Yield a call of DecD on three batches at once, forwards and backwards."""
    dec_d = phase.networks.dec_d
    norms = [m for m in dec_d.modules() if isinstance(m, nn.BatchNorm3d)]
    for norm in norms:
        norm.__class__ = GroupedBatchNorm
        norm.groups = 3
    three = x.repeat(3, 1, 1, 1, 1).contiguous(memory_format=torch.channels_last_3d)
    try:
        yield lambda: dec_d(three).sum().backward()
    finally:
        for norm in norms:
            norm.__class__ = nn.BatchNorm3d


def one_after_the_other(phase: Phase, x: Tensor) -> Callable[[], object]:
    return lambda: sum(phase.networks.dec_d(x).sum() for _ in range(3)).backward()


def cuda_graph(phase: Phase, batch: tuple[Tensor, ...]) -> Callable[[], object]:
    """Return a step that is recorded once and replayed."""
    for optimiser in phase.optimisers.values():
        for group in optimiser.param_groups:
            group["capturable"] = True
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    graph.register_generator_state(phase.generator)
    with torch.cuda.stream(side):
        for _ in range(3):
            phase.step(*batch)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        phase.step(*batch)
    return graph.replay


def compiled(phase: Phase) -> None:
    for network in phase.networks:
        network.compile(dynamic=False)


# ------------------------------------------------------------------------------------------------ report


def line(what: str, rate: float, share: float | None = None) -> None:
    print(f"{what:58} {rate:9.1f}" + ("" if share is None else f" {100 * share:8.1f} %"), flush=True)


def attempt(what: str, measure: Callable[[], None]) -> None:
    """Measure, or say why it was not measured."""
    try:
        measure()
    except Exception as error:
        print(f"{what:58} not measured: {' '.join(str(error).split())[:120]}", flush=True)


def measure_phase(name: str, given: argparse.Namespace, device: torch.device) -> None:
    cells, repeats = given.cells, given.repeats
    print(f"\nphase {name}, preset {given.preset}, batches of {cells}: cells a second, share of the gemm")
    flops = 0.0
    for form, precision, tf32, last in (
        ("float32", "fp32", False, True),
        ("float32 with TF32", "fp32", True, True),
        ("bf16", "bf16", False, True),
        ("bf16, channels not last", "bf16", False, False),
    ):
        config = preset(given.preset).model_copy(update={"precision": precision})
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32

        def measure(
            config: TrainingConfig = config,
            form: str = form,
            tf32: bool = tf32,
            last: bool = last,
            dtype: torch.dtype = dtype,
        ) -> None:
            nonlocal flops
            with (
                replaced(torch.backends.cuda.matmul, "allow_tf32", tf32),
                replaced(torch.backends.cudnn, "allow_tf32", tf32),
            ):
                phase, batch = phase_and_batch(config, name, cells, device)
                if not last:
                    for network in phase.networks:
                        network.to(memory_format=torch.contiguous_format)
                    batch = (batch[0].contiguous(), *batch[1:])
                # A backward pass takes twice the arithmetic of a forward pass.
                flops = flops or 3 * flops_of(lambda: phase.forward(*batch, judge=True)) / cells
                rate = cells / seconds(lambda: phase.step(*batch), device, repeats)
                line(form, rate, rate * flops / gemm_speed(device, dtype))

        attempt(form, measure)

    config = preset(given.preset).model_copy(update={"precision": given.precision})

    def without_dec_d() -> None:
        phase, batch = phase_and_batch(config, name, cells, device)

        def step() -> None:
            phase.gradients(*batch, judge=False)
            phase.update()

        line(f"{given.precision}, without DecD", cells / seconds(step, device, repeats))

    def dec_d() -> None:
        phase, batch = phase_and_batch(config, name, cells, device)
        x = batch[0]
        with torch.autocast(device.type, torch.bfloat16, enabled=given.precision == "bf16"):
            apart = seconds(one_after_the_other(phase, x), device, repeats)
            line("DecD alone, three passes (triples a second)", cells / apart)
            with as_one_pass(phase, x) as call:
                line("DecD alone, one pass of three batches", cells / seconds(call, device, repeats))

    def graph() -> None:
        if device.type != "cuda":
            raise RuntimeError("CUDA graphs need a CUDA device")
        phase, batch = phase_and_batch(config, name, cells, device)
        line("the step as a CUDA graph", cells / seconds(cuda_graph(phase, batch), device, repeats))

    def compile_all() -> None:
        phase, batch = phase_and_batch(config, name, cells, device)
        compiled(phase)
        line("networks compiled", cells / seconds(lambda: phase.step(*batch), device, repeats))

    attempt("without DecD", without_dec_d)
    attempt("DecD in one pass", dec_d)
    attempt("the step as a CUDA graph", graph)
    if given.compile:
        attempt("networks compiled", compile_all)
    attempt("kernels", lambda: show_kernels(config, name, cells, device))


def show_kernels(config: TrainingConfig, name: str, cells: int, device: torch.device) -> None:
    from torch.profiler import ProfilerActivity, profile

    phase, batch = phase_and_batch(config, name, cells, device)
    phase.step(*batch)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as found:
        for _ in range(3):
            phase.step(*batch)
        wait(device)
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(found.key_averages().table(sort_by=key, row_limit=20, max_name_column_width=60))


def measure_transfer(given: argparse.Namespace, device: torch.device) -> None:
    """Time a batch's way to the device: float32 as the trainer sends it, and bytes that become float32 there."""
    model = preset(given.preset).model
    images = torch.randint(256, (given.cells, model.n_references + 1, *model.box), dtype=torch.uint8)
    floats = images.float() / 255
    pinned = images.pin_memory() if device.type == "cuda" else images
    ways: dict[str, Callable[[], Any]] = {
        "batches sent as float32": lambda: floats.to(device, memory_format=torch.channels_last_3d),
        "batches sent as bytes from pinned memory": lambda: (
            pinned.to(device, non_blocking=True).float() / 255
        ),
    }
    print("\ncells a second from memory to the device")
    for what, way in ways.items():
        line(what, given.cells / seconds(way, device, given.repeats))


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--preset", default="paper")
    arguments.add_argument("--cells", type=int, default=30, help="cells in a batch")
    arguments.add_argument("--precision", default="bf16", choices=("fp32", "bf16"), help="of the later rows")
    arguments.add_argument("--repeats", type=int, default=10)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--compile", action="store_true", help="also compile, which takes minutes")
    given = arguments.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("This machine has no CUDA device: nothing was measured. --device cpu tries the script.")
        return 0
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}")
    for dtype in (torch.float32, torch.bfloat16):
        print(f"gemm in {str(dtype)[6:]}: {gemm_speed(device, dtype) / 1e12:.2f} TFLOP/s")
    for phase in PHASES:
        measure_phase(phase, given, device)
    attempt("transfer", lambda: measure_transfer(given, device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
