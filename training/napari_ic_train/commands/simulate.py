"""``napari-ic-train simulate``: simulate cells, in the public dataset's layout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, JsonOption, WorkersOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report
from napari_integrated_cell.simulation.population import DEFAULT_POPULATION


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metadata.csv, crop_raw and crop_seg.")],
    cells: Annotated[int, typer.Option(min=1, help="Number of simulated cells.")] = 500,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed makes the same cells.")] = 1,
    voxel_size: Annotated[
        float,
        typer.Option(
            min=0.05, max=2.0, help="Edge of the cubic voxels in µm; the public dataset has 0.108333."
        ),
    ] = 0.317,
    structures: Annotated[
        str | None, typer.Option(help="Structures, separated by commas; all eleven in turn if left out.")
    ] = None,
    population: Annotated[
        str,
        typer.Option(
            help="field: stem cells as in one real field, those that the demo model was fitted on. hipsc: cells that "
            "cover real stem cell colonies, 7 to 15 µm high. spread: flat cells that spread alone, such as HeLa cells, "
            "3 to 6 µm high. mixed: seven in ten are hipsc, three are spread."
        ),
    ] = DEFAULT_POPULATION,
    imaging: Annotated[
        str,
        typer.Option(
            help="ideal: sharp images, true voxel sizes and masks. varied: as real images are; some cells are cut by "
            "the edge of the field, and voxel sizes, blur, light and masks are off. truth.csv lists the faults."
        ),
    ] = "ideal",
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate cells with known structures, in the public dataset's layout. A stopped run is continued."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_integrated_cell.simulation import write_dataset
        from napari_integrated_cell.vocabulary import structure

        names = None if structures is None else [structure(s.strip()).name for s in structures.split(",")]
        manifest = write_dataset(
            out,
            cells,
            seed=seed,
            voxel_size=voxel_size,
            structures=names,
            population=population,
            imaging=imaging,
            workers=workers or os.cpu_count() or 1,
            progress=move,
        )
    report(
        {
            "manifest": str(manifest),
            "cells": cells,
            "simulated": True,
            "population": population,
            "imaging": imaging,
        },
        as_json,
        f"Simulated {cells} cells: {manifest}",
    )
