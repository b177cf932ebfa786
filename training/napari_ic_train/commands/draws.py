"""``napari-ic-train draws``: measure in a bundle how structures are drawn in given shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, BundleArgument, DeviceOption, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def draws(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Option(help="The store that it was fitted on.")],
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Fit p(z^s | z^r, y) on the training cells, measure what decoding leaves out, and put both into a bundle.

    With it, structures are drawn as they fit the cell's shape. Scores of variation in the bundle are then those of
    other draws: measure them again with `variation`. `export` does it too.
    """
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.conditional_prior import measure_conditional_prior
        from napari_ic_train.data.store import CellStore

        fits = measure_conditional_prior(bundle, CellStore(data), device=device, progress=move)
    lines = [f"{'':18}{'training cells':>16}{'R² left out':>14}{'penalty':>10}{'held out':>10}{'gain':>8}"]
    lines += [
        f"{name:18}{fit.n_cells:16}{fit.explained:14.2f}{fit.penalty:10.3g}{fit.n_held_out:10}{fit.gain:8.2f}"
        for name, fit in fits.items()
    ]
    lines.append(
        "R² is the share of z^s that z^r explains in cells that are left out one at a time. The gain is log p(z^s | "
        f"z^r, y) - log N(z^s; 0, I) of held-out cells, in nats per cell. Written to {bundle}."
    )
    report(
        {
            "bundle": bundle,
            "structures": {
                name: {
                    "training_cells": fit.n_cells,
                    "penalty": fit.penalty,
                    "explained": fit.explained,
                    "held_out_cells": fit.n_held_out,
                    "gain": None if fit.gain != fit.gain else fit.gain,
                }
                for name, fit in fits.items()
            },
        },
        as_json,
        "\n".join(lines),
    )
