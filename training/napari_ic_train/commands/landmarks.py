"""``napari-ic-train landmarks``: choose a landmark for each stage of the cell cycle."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, JsonOption, RunArgument, StoreOption, name_option
from napari_integrated_cell.console import one_line_errors, progress_bar, report

REPORTED = ("stage", "cell_id", "metric", "among", "n_held_out", "n_cells", "note")
"""Attributes of a landmark in the summary."""


def landmarks(
    run: RunArgument,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Distance between cells: cityblock, euclidean, cosine or chebyshev. If left out, that of the run's "
            "existing landmarks, or cityblock as in the paper.",
        ),
    ] = None,
    data: StoreOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Choose one cell for each stage of the cell cycle and measure the latent spaces, for `export`."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.fitted import FOLDER, fitted_model, measure
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.run.record import StoreNotFound, store_of
        from napari_integrated_cell.vocabulary import STAGE_NAMES

        with name_option(StoreNotFound, "--data"):
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
    lines.append(
        f"Written to {run / FOLDER}. Export the model with: napari-ic-train export {run} --out BUNDLE"
    )
    report(
        {
            "folder": str(run / FOLDER),
            "landmarks": [{name: getattr(mark, name) for name in REPORTED} for mark in model.landmarks],
            "missing": [name for name in STAGE_NAMES if name not in found],
        },
        as_json,
        "\n".join(lines),
    )
