"""``napari-ic-train landmarks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def landmarks(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="Distance between cells: cityblock, euclidean, cosine or chebyshev. Left out, that of the "
            "landmarks already kept, or cityblock, by which the paper's were chosen.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The store it was fitted on, where that has moved.")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Choose one cell for each stage of the cell cycle, and measure the latent spaces; `export` takes both along."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.fitted import FOLDER, fitted_model, measure
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.run.record import store_of
        from napari_integrated_cell.vocabulary import STAGE_NAMES

        store = CellStore(store_of(run, data))
        model = fitted_model(run).to(device)
        measure(model, store, run, metric=metric, progress=move)
    found = {mark.stage: mark for mark in model.landmarks}
    lines = [f"{'stage':24}{'cell':24}{'held out':>9}{'all':>7}"]
    for name in STAGE_NAMES:
        if name in found:
            mark = found[name]
            line = f"{name:24}{mark.cell_id:24}{mark.n_held_out:9}{mark.n_cells:7}  {mark.note}"
        else:
            line = f"{name:24}{'no cell of this stage':24}{0:9}{0:7}"
        lines.append(line.rstrip())
    lines.append(f"Kept in {run / FOLDER}; export the model with: napari-ic-train export {run} --out BUNDLE")
    report(
        {
            "folder": str(run / FOLDER),
            "landmarks": [
                {
                    "stage": mark.stage,
                    "cell_id": mark.cell_id,
                    "metric": mark.metric,
                    "among": mark.among,
                    "n_held_out": mark.n_held_out,
                    "n_cells": mark.n_cells,
                    "note": mark.note,
                }
                for mark in model.landmarks
            ],
            "missing": [name for name in STAGE_NAMES if name not in found],
        },
        as_json,
        "\n".join(lines),
    )
