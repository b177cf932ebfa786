"""How the cost grows: with the box, the networks' width, the number of threads, and the number of cells.

The networks are untrained variations of the demo preset. Run it on an idle machine.
"""

from __future__ import annotations

import torch
from measuring import medians

from napari_ic_train.config import preset as training_preset
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.phase import initialised
from napari_integrated_cell.model.config import ModelConfig, preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.networks import conditional_networks

CELLS = 8


def varied(box_scale: float = 1, width_scale: float = 1) -> ModelConfig:
    """Return the demo preset with another box and other widths."""
    config = preset("demo")
    box = tuple(round(n * box_scale) for n in config.box)
    widths = {
        name: tuple(round(w * width_scale) for w in getattr(config, name))
        for name in ("enc_ref_widths", "enc_cond_widths", "dec_widths", "dec_d_widths")
    }
    return config.model_copy(update={"box": box, **widths})


def seconds(config: ModelConfig) -> tuple[float, float]:
    """Return the time to integrate one cell, and to fit one cell in phase 2 with DecD."""
    model = IntegratedCell.untrained(config)
    x = torch.rand(CELLS, config.n_references + 1, *config.box).contiguous(
        memory_format=torch.channels_last_3d
    )
    training = training_preset("demo").model_copy(update={"precision": "fp32", "model": config})
    generator = torch.Generator().manual_seed(0)
    phase = ConditionalPhase(training, initialised(conditional_networks(config), generator), generator)
    labels, z_ref = torch.arange(CELLS) % config.n_structures, torch.randn(CELLS, config.n_ref)
    calls = {"integrate": lambda: model.integrate(x[:1, :-1]), "fit": lambda: phase.step(x, labels, z_ref)}
    found = medians(calls, 3)
    return found["integrate"], found["fit"] / CELLS


def main() -> None:
    print("| demo preset with | integrate a cell | fit a cell (phase 2, DecD) |")
    print("| --- | --- | --- |")
    ways = {
        "nothing changed": varied(),
        "twice the channels": varied(width_scale=2),
        "four times the channels": varied(width_scale=4),
        "1.5 times the box's edges": varied(box_scale=1.5),
        "twice the box's edges": varied(box_scale=2),
    }
    for name, config in ways.items():
        integrate, fit = seconds(config)
        print(f"| {name} | {1e3 * integrate:.0f} ms | {1e3 * fit:.0f} ms |", flush=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    integrate, fit = seconds(varied())
    print(f"| one thread instead of {threads} | {1e3 * integrate:.0f} ms | {1e3 * fit:.0f} ms |")


if __name__ == "__main__":
    main()
