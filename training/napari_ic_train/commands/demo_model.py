"""``napari-ic-train demo-model``: make the bundled model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, WorkersOption
from napari_integrated_cell.console import one_line_errors, progress_bar


def demo_model(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the cells, the store, the run and the bundle.")
    ],
    cells: Annotated[
        int | None, typer.Option(help="Number of simulated cells; the bundled model's number if left out.")
    ] = None,
    real: Annotated[
        Path | None, typer.Option(help="Folder of a real field of cells, for further scores.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Time limit in minutes; a slow machine fits fewer epochs. An hour if left out. 0 fits all epochs, "
            "without a limit.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
) -> None:
    """Make the bundled demo model: simulate, prepare, fit, export and score. A stopped run is continued."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.demo import CELLS, MINUTES, build_demo
        from napari_integrated_cell.model.runtime import Cancelled

        try:
            bundle = build_demo(
                out,
                n_cells=cells or CELLS,
                real=real,
                minutes=MINUTES if minutes is None else minutes or None,
                device=device,
                workers=workers or os.cpu_count() or 1,
                progress=move,
            )
        except Cancelled as stopped:
            typer.echo(f"{stopped}\nThe same command continues.", err=True)
            return
    typer.echo(
        f"The demo model is in {bundle}. To ship it, copy it to src/napari_integrated_cell/models/demo."
    )
