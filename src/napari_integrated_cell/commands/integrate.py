"""``napari-ic integrate``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from napari_integrated_cell.commands import options
from napari_integrated_cell.commands.integrated_files import write_integrations
from napari_integrated_cell.console import one_line_errors, report

if TYPE_CHECKING:
    from napari_integrated_cell.integration import Integration


def integrate(
    image: options.ImageArgument = None,
    membrane: options.MembraneOption = None,
    dna: options.DnaOption = None,
    cells: options.CellsOption = None,
    nuclei: options.NucleiOption = None,
    label: options.LabelOption = None,
    structures: options.StructuresOption = None,
    model: options.ModelOption = "demo",
    device: options.DeviceOption = "auto",
    frame: Annotated[
        str,
        typer.Option("--frame", help="Write on the grid of the image (image) or in the model's box (model)."),
    ] = "image",
    voxel_size: options.VoxelOption = None,
    axes: options.AxesOption = None,
    scene: options.SceneOption = None,
    time: options.TimeOption = None,
    reader: options.ReaderOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="OME-TIFF to write.")] = Path(
        "integrated.ome.tiff"
    ),
    as_json: options.JsonOption = False,
) -> None:
    """Predict where the structures lie in one cell, or in every cell of a field.

    The file has the channels membrane and dna, and one for each structure with its name.

    \b
    napari-ic integrate stack.ome.tif --label 3 --cells cells.tif --nuclei nuclei.tif --out cell3.ome.tiff
    napari-ic integrate --cells cells.tif --nuclei nuclei.tif --label all --out field.ome.tiff
    """
    with one_line_errors(options.PROGRAM):
        if frame not in ("image", "model"):
            raise ValueError(f"--frame is {frame!r}: choose image or model.")
        choices = options.choices_of(axes, scene, time, reader)
        found, shape = options.chosen_cells(
            image, membrane, dna, cells, nuclei, label, voxel_size, choices=choices
        )
        if frame == "model" and len(found) > 1:
            raise ValueError("--frame model holds one cell: choose it with --label.")
        from napari_integrated_cell.integration import integrate_cell
        from napari_integrated_cell.model.bundle import load_model

        loaded = load_model(model, device=device)
        wanted = options.structures_of(structures)

        def integrated() -> Iterator[Integration]:
            for cell in tqdm(found, "integrating cells", file=sys.stderr, disable=not sys.stderr.isatty()):
                yield integrate_cell(cell, loaded, wanted)

        said = write_integrations(out, integrated(), frame, shape)
        count = f"{len(said)} cell{'s' if len(said) != 1 else ''}"
        summary = {
            "out": str(out),
            "model": loaded.name,
            "device": str(loaded.device),
            "frame": frame,
            "cells": said,
        }
        report(summary, as_json, f"Wrote {count} with {loaded.name!r} to {out}.")
