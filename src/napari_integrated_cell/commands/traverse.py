"""``napari-ic traverse``: walk from a stage or a cell to a stage, and write the walk to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_integrated_cell.commands import options
from napari_integrated_cell.console import one_line_errors, progress_bar, report
from napari_integrated_cell.vocabulary import STAGE_NAMES, stage

# A sheet with ten rows per segment would be metres long.
SHEET_STEPS = 2


def traverse(
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="A stage, or a file with a cell, as for `integrate`. If there are no stains, give the file of "
            "--cells here too.",
        ),
    ],
    end: Annotated[str, typer.Option("--to", help=f"A stage: {', '.join(STAGE_NAMES)}.")],
    through: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated stages to pass, in this order; none: straight to the end. By default "
            "all that lie between two stages; from a cell, none.",
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(help="Number of frames. By default ten from each stop to the next, two in a sheet."),
    ] = None,
    path: Annotated[str, typer.Option(help="radial (as in the paper), great-circle or straight.")] = "radial",
    easing: Annotated[str, typer.Option(help="linear, or smooth: slower at every stop.")] = "linear",
    structures: Annotated[
        str | None, typer.Option(help="Comma-separated. By default all; none: only membrane and DNA.")
    ] = None,
    membrane: options.MembraneOption = None,
    dna: options.DnaOption = None,
    cells: options.CellsOption = None,
    nuclei: options.NucleiOption = None,
    label: options.LabelOption = None,
    voxel_size: options.VoxelOption = None,
    fps: Annotated[float, typer.Option(help="Frames per second of a film.")] = 10,
    model: options.ModelOption = "demo",
    device: options.DeviceOption = "auto",
    exact: options.ExactOption = False,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Film (.mp4, .gif), volumes over time (.ome.tiff, .ome.zarr) or contact sheet (.png, .svg).",
        ),
    ] = Path("walk.mp4"),
    as_json: options.JsonOption = False,
) -> None:
    """Walk through the stages of mitosis in the space of cell shapes, and decode every structure on the way.

    \b
    napari-ic traverse --from interphase --to metaphase --out walk.mp4
    napari-ic traverse --from stack.ome.tif --cells cells.tif --nuclei nuclei.tif --label 3 --to anaphase
    """
    with one_line_errors(options.PROGRAM):
        from napari_integrated_cell.model.bundle import load_model
        from napari_integrated_cell.walk.files import SHEETS, ending_of, write_walk
        from napari_integrated_cell.walk.traversal import (
            Traversal,
            stages_between,
            stop_at_cell,
            stop_at_stage,
            walk,
        )

        ending = ending_of(out)
        cell = None
        if not _is_stage(start):
            # The label image itself has no stains: the reference channels are rendered from the masks.
            stains = None if cells is not None and Path(start) == cells else Path(start)
            found, _ = options.chosen_cells(stains, membrane, dna, cells, nuclei, label, voxel_size)
            if len(found) != 1:
                raise ValueError("A walk starts from one cell: choose it with --label.")
            cell = found[0]
        elif cells or nuclei or label or membrane or dna or voxel_size:
            raise ValueError(f"--from is the stage {start}: options that choose a cell need a file there.")
        loaded = load_model(model, device=device, exact=exact)
        first = stop_at_stage(loaded, start) if cell is None else stop_at_cell(loaded, cell)
        last = stop_at_stage(loaded, end)
        if through is not None:
            names = [] if through == "none" else options.structures_of(through) or []
        else:
            names = stages_between(loaded, start, end) if cell is None else []
        stops = [first, *(stop_at_stage(loaded, name) for name in names), last]
        if frames is None and ending in SHEETS:
            frames = SHEET_STEPS * (len(stops) - 1) + 1
        chosen = [] if structures == "none" else options.structures_of(structures)
        traversal = Traversal(loaded, walk(stops, frames, path=path, easing=easing), chosen)
        for warning in dict.fromkeys(w for stop in stops for w in stop.warnings):
            typer.echo(f"{options.PROGRAM}: {warning}", err=True)
        with progress_bar() as move:
            write_walk(traversal, out, fps=fps, progress=move)
        through_names = [stop.name for stop in stops]
        summary = {
            "out": str(out),
            "model": loaded.name,
            "device": str(loaded.device),
            "trained_on": traversal.trained_on,
            "stops": [
                {"name": name, "frame": t} for name, t in zip(through_names, traversal.walk.at, strict=True)
            ],
            "frames": len(traversal),
            "path": path,
            "easing": easing,
            "channels": list(traversal.channels),
        }
        report(
            summary,
            as_json,
            f"Wrote {len(traversal)} frames from {' to '.join(through_names)} with {loaded.name!r}, trained on "
            f"{traversal.trained_on}, to {out}.",
        )


def _is_stage(text: str) -> bool:
    """Return whether --from names a stage. A file with the name of a stage is written as ./NAME."""
    path = Path(text)
    if path.suffix or path.name != text:
        return False
    try:
        return bool(stage(text))
    except ValueError as error:
        if path.exists():
            return False
        raise ValueError(f"--from is {text!r}, which is neither a file nor a stage: {error}") from None
