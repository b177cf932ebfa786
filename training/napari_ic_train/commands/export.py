"""``napari-ic-train export``: make a bundle of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, RunArgument, StoreOption, name_option
from napari_integrated_cell.console import one_line_errors, progress_bar


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle: a folder, or a .zip.")],
    name: Annotated[str, typer.Option(help="The model's name in napari.")] = "my model",
    licence: Annotated[str, typer.Option(help="The licence of the weights.")] = "unspecified",
    weights: Annotated[
        str,
        typer.Option(
            help="How weights are stored: float32, bf16 or float16. The model card gives the effect of rounding."
        ),
    ] = "float32",
    data: StoreOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Make a bundle of a finished run. A bundle opens in napari and holds landmarks and latent statistics."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.export import export_bundle
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.run.record import StoreNotFound, store_of
        from napari_integrated_cell.model.catalogue import models_folder

        with name_option(StoreNotFound, "--data"):
            store = CellStore(store_of(run, data))
        path = export_bundle(
            run, store, out, name=name, licence=licence, weights=weights, device=device, progress=move
        )
    typer.echo(f"Wrote {path}. Score it with: napari-ic-train score {path}")
    if path.resolve().parent != models_folder().resolve():
        typer.echo(f"napari lists it by name if it is in {models_folder()}; otherwise open it by its path.")
