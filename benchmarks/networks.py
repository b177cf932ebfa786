"""Encode, decode and integrate on the CPU, with the demo model's networks and with those of the paper's size.

The large networks compute in float32, and where the CPU has bf16 in bf16 too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from measuring import Row, flops_of, flops_per_second, medians, replaced
from plain import algorithm_3, structure

from napari_integrated_cell.model import inference
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import has_bf16


def rows(presets: tuple[str, ...] = ("demo", "paper")) -> Iterator[Row]:
    for name in presets:
        yield from _rows_of(name, bf16=False)
    if "paper" in presets and has_bf16(torch.device("cpu")):
        yield from _rows_of("paper", bf16=True)


def _rows_of(name: str, bf16: bool) -> Iterator[Row]:
    config = preset(name)
    # Both models have the same weights. The package stores its model channels last, the plain one does not.
    ours, plain = IntegratedCell.untrained(config), IntegratedCell.untrained(config)
    for network in plain.networks.values():
        network.to(memory_format=torch.contiguous_format)
    x_ref = torch.rand(1, config.n_references, *config.box)
    z_ref = torch.randn(1, config.n_ref)
    repeats = 15 if name == "demo" else 3

    def encode_plainly() -> None:
        with torch.inference_mode(), inference.plain_layers():
            plain.enc_ref(x_ref)

    ways = {
        "encode": (lambda: ours.encode(x_ref), encode_plainly),
        "decode a structure": (
            lambda: ours.decode_structures(z_ref, [config.structures[0]]),
            lambda: structure(plain, 0, z_ref),
        ),
        "integrate 11 structures": (lambda: ours.integrate(x_ref), lambda: algorithm_3(plain, x_ref)),
    }
    with replaced(inference, "has_bf16", lambda device: bf16):
        for task, (now, literal) in ways.items():
            found = medians({"now": now, "plain": literal}, repeats)
            limit = flops_of(literal) / flops_per_second(bf16)
            of = f"arithmetic at the speed of a {'bf16' if bf16 else 'float32'} gemm"
            size = f"{name} size{' in bf16' if bf16 else ''}"
            yield Row(f"{task}, {size}", found["now"], found["plain"], limit, of)


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
