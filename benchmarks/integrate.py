"""Compare `IntegratedCell.integrate` with the literal loop of Algorithm 3 on this machine.

Both run in this process, in turn, on the same cell. The script prints the median times, their ratio and the largest
difference between the two results.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell


def literal(model: IntegratedCell, x_ref: torch.Tensor) -> dict[str, np.ndarray]:
    """Run Algorithm 3 as printed: encode once, then decode each structure in the default memory layout."""
    dec = model.dec_cond
    with torch.inference_mode():
        z_ref = model.enc_ref(x_ref)
        out = {}
        for index, name in enumerate(model.config.structures):
            y = torch.zeros(1, model.config.n_structures)
            y[0, index] = dec.label_scale
            latent = torch.cat((y, z_ref, torch.zeros(1, model.config.n_struct)), dim=1)
            smallest = dec.project(latent).unflatten(1, (-1, *dec.grid))
            image = dec.image(dec.blocks(dec.activation(dec.norm(smallest)))).sigmoid()
            out[name] = image[:, -1].numpy()
    return out


def median_seconds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median time of each call. The calls alternate, so that a busy moment affects all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(t) for name, t in times.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--preset", default="demo")
    arguments.add_argument("--repeats", type=int, default=15)
    given = arguments.parse_args()
    config = preset(given.preset)
    # Both models have the same weights. The package stores its model channels last, the literal loop does not.
    ours, plain = IntegratedCell.untrained(config), IntegratedCell.untrained(config)
    for network in plain.networks.values():
        network.to(memory_format=torch.contiguous_format)
    x_ref = torch.rand(1, config.n_references, *config.box)
    fast, slow = ours.integrate(x_ref), literal(plain, x_ref)
    difference = max(float(np.abs(fast[name] - slow[name]).max()) for name in slow)
    seconds = median_seconds(
        {"integrate": lambda: ours.integrate(x_ref), "literal": lambda: literal(plain, x_ref)}, given.repeats
    )
    print(f"preset {given.preset}, {len(slow)} structures, {torch.get_num_threads()} threads")
    print(f"literal Algorithm 3   {1e3 * seconds['literal']:8.1f} ms")
    print(f"integrate             {1e3 * seconds['integrate']:8.1f} ms")
    print(f"ratio                 {seconds['literal'] / seconds['integrate']:8.2f}")
    print(f"largest difference    {difference:8.1e}")


if __name__ == "__main__":
    main()
