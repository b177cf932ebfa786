"""``napari-ic-train export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption
from napari_integrated_cell.console import one_line_errors, progress_bar


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle: a folder, or a .zip.")],
    name: Annotated[str, typer.Option("--name", help="What the model is called in napari.")] = "my model",
    licence: Annotated[
        str, typer.Option("--licence", help="Under which the weights may be used.")
    ] = "unspecified",
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            help="How weights are stored: float32, bf16 or float16. The difference is measured for the card.",
        ),
    ] = "float32",
    data: Annotated[
        Path | None, typer.Option("--data", help="The store it was fitted on, where that has moved.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Make a bundle that opens in napari out of a finished run, with its landmarks and latent statistics."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.export import export_bundle
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.run.record import store_of
        from napari_integrated_cell.model.catalogue import models_folder

        path = export_bundle(
            run,
            CellStore(store_of(run, data)),
            out,
            name=name,
            licence=licence,
            weights=weights,
            device=device,
            progress=move,
        )
    typer.echo(f"Wrote {path}; see what it is worth with: napari-ic-train score {path}")
    if path.resolve().parent != models_folder().resolve():
        typer.echo(
            f"napari lists it by name once it lies in {models_folder()}; anywhere else, open it by its path."
        )
