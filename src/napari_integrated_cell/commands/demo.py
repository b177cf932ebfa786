"""``napari-ic demo``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_integrated_cell.commands.integrated_files import write_integrations
from napari_integrated_cell.commands.options import PROGRAM, DeviceOption, JsonOption, ModelOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the picture and the OME-TIFF.")] = Path(
        "demo"
    ),
    headless: Annotated[
        bool, typer.Option("--headless", help="Do not open a window, even if there is a display.")
    ] = False,
    model: ModelOption = "demo",
    device: DeviceOption = "auto",
    stage: Annotated[str, typer.Option(help="Mitotic stage of the simulated cell.")] = "interphase",
    seed: Annotated[int, typer.Option(help="Random seed of the cell.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Simulate a cell and integrate it: in napari if there is a display, else as a picture and a file."""
    with one_line_errors(PROGRAM):
        from napari_integrated_cell.vocabulary import stage as stage_called

        stage = stage_called(stage).name
        if not headless and _display():
            from napari_integrated_cell.plugin.commands import open_demo

            open_demo(model=model, device=device, stage=stage, seed=seed)
            return
        from napari_integrated_cell.integration import integrate_cell
        from napari_integrated_cell.model.bundle import load_model
        from napari_integrated_cell.picture import sheet, write_png
        from napari_integrated_cell.simulation import simulate_cell

        out.mkdir(parents=True, exist_ok=True)
        with progress_bar() as move:
            cell = simulate_cell(seed, stage=stage).cell
            loaded = load_model(model, device=device)
            integration = integrate_cell(cell, loaded, progress=move)
        tiff, png = out / "integrated_cell.ome.tiff", out / "integrated_cell.png"
        said = write_integrations(tiff, iter([integration]), "image", cell.shape)
        title = f"{cell.name}: most probable structures by the model {loaded.name!r}"
        write_png(png, sheet(integration.references, integration.volumes, title))
        summary = {"picture": str(png), "out": str(tiff), "model": loaded.name, "cells": said}
        report(summary, as_json, f"Integrated a {cell.name}.\nPicture: {png}\nOME-TIFF: {tiff}")


def _display() -> bool:
    """Return whether a window can be opened."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
