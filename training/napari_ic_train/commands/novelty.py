"""``napari-ic-train novelty``: measure in a bundle which channels show none of its structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, BundleArgument, DeviceOption, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def novelty(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Option(help="The store that it was fitted on.")],
    rejected: Annotated[
        float, typer.Option(help="Share of the held-out cells that the limits may reject.")
    ] = 0.05,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure when a channel shows none of the model's structures, and put it into a bundle.

    `export` does it too if the store has enough held-out cells.
    """
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.novelty import measure_novelty
        from napari_ic_train.data.store import CellStore

        found = measure_novelty(bundle, CellStore(data), rejected=rejected, device=device, progress=move)
    report(
        {
            "bundle": bundle,
            "training_cells": found.n_training,
            "held_out_cells": found.n_held_out,
            "held_out_rejected": found.held_out_rejected,
            "largest_energy": found.largest_energy,
            "largest_distance": found.largest_distance,
        },
        as_json,
        f"Measured with {found.n_training} training cells. Of {found.n_held_out} held-out cells, "
        f"{found.held_out_rejected:.1%} look like none of the structures. Written to {bundle}.",
    )
