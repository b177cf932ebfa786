"""Encode, decode and integrate on the CPU, with the demo model's networks and with those of the paper's size."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from measuring import Row, flops_of, flops_per_second, medians
from plain import algorithm_3, structure

from napari_integrated_cell.model import inference
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell


def rows(presets: tuple[str, ...] = ("demo", "paper")) -> Iterator[Row]:
    for name in presets:
        config = preset(name)
        # Both models have the same weights. The package stores its model channels last, the plain one does not.
        ours, plain = IntegratedCell.untrained(config), IntegratedCell.untrained(config)
        for network in plain.networks.values():
            network.to(memory_format=torch.contiguous_format)
        x_ref = torch.rand(1, config.n_references, *config.box)
        z_ref = torch.randn(1, config.n_ref)
        repeats = 15 if name == "demo" else 3

        def encode(model: IntegratedCell, x: torch.Tensor = x_ref) -> None:
            with torch.inference_mode():
                model.enc_ref(x)

        def encode_plainly(x: torch.Tensor = x_ref, model: IntegratedCell = plain) -> None:
            applies, inference.applies = inference.applies, lambda network, x: False
            try:
                encode(model, x)
            finally:
                inference.applies = applies

        ways = {
            "encode": (lambda m=ours: encode(m), encode_plainly),
            "decode a structure": (
                lambda m=ours, z=z_ref: m.decode_structures(z, [m.config.structures[0]]),
                lambda m=plain, z=z_ref: structure(m, 0, z),
            ),
            "integrate 11 structures": (
                lambda m=ours, x=x_ref: m.integrate(x),
                lambda m=plain, x=x_ref: algorithm_3(m, x),
            ),
        }
        for task, (now, literal) in ways.items():
            found = medians({"now": now, "plain": literal}, repeats)
            limit = flops_of(literal) / flops_per_second()
            yield Row(
                f"{task}, {name} size",
                found["now"],
                found["plain"],
                limit,
                "arithmetic at the speed of a gemm",
            )


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
