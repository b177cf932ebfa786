"""``napari-ic integrate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from napari_integrated_cell.commands import options
from napari_integrated_cell.commands.integrated_batch import BatchOptions, integrate_all
from napari_integrated_cell.commands.integrated_files import integrate_field
from napari_integrated_cell.console import one_line_errors

WRITE = ("cell", "field", "none")
FRAMES = ("image", "model")
DTYPES = ("uint16", "uint8")


def _batch_option(*names: str, **about: Any) -> Any:
    """Return an option for all cells of a folder or a table."""
    return typer.Option(*names, rich_help_panel="All cells of a folder or a table", **about)


def integrate(
    image: options.ImageArgument = None,
    membrane: options.MembraneOption = None,
    dna: options.DnaOption = None,
    cells: options.CellsOption = None,
    nuclei: options.NucleiOption = None,
    label: options.LabelOption = None,
    folder: Annotated[
        Path | None,
        _batch_option(help="Integrate every cell of every field in this folder and its subfolders."),
    ] = None,
    manifest: Annotated[
        Path | None,
        _batch_option(help="Integrate every cell of a table, one cell per row; see docs/preparing.md."),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        _batch_option(
            help="What files in the folder are called, e.g. 'cells={field}_c.tif'; once for each kind: cells, nuclei, "
            "image, membrane, dna, structure. Without it, names and contents say what belongs together.",
        ),
    ] = None,
    structure_channel: Annotated[
        str | None,
        _batch_option(
            help="Name or number of the images' structure channel, for the classifier's opinion in the table."
        ),
    ] = None,
    write: Annotated[
        str, _batch_option(help="One file for each cell or field, or none: only the table.")
    ] = "cell",
    workers: Annotated[int, _batch_option(min=1, help="Number of processes.")] = 1,
    scheduler: Annotated[
        str | None, _batch_option(help="Address of a dask scheduler to use instead, e.g. tcp://node7:8786.")
    ] = None,
    dry_run: Annotated[
        bool, _batch_option("--dry-run", help="Only say what is found in the folder or table.")
    ] = False,
    structures: options.StructuresOption = None,
    model: options.ModelOption = "demo",
    device: options.DeviceOption = "auto",
    exact: options.ExactOption = False,
    ensemble: options.EnsembleOption = False,
    frame: Annotated[
        str, typer.Option(help="Write on the grid of the image (image) or in the model's box (model).")
    ] = "image",
    dtype: Annotated[
        str,
        typer.Option(
            help="Type of the values in the files: uint16 (65535 means 1), or uint8 (255 means 1) for files of a fifth "
            "of the size.",
        ),
    ] = "uint16",
    voxel_size: options.VoxelOption = None,
    axes: options.AxesOption = None,
    scene: options.SceneOption = None,
    time: options.TimeOption = None,
    reader: options.ReaderOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="OME-TIFF to write, by default integrated.ome.tiff; with --folder or --manifest a folder, by default "
            "integrated.",
        ),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Predict where the structures lie in one cell, in every cell of a field, or of a whole folder.

    A file has the channels membrane and dna, and one for each structure with its name; with --ensemble also its spread.

    \b
    One cell of a field, or all of them in one file:
      napari-ic integrate stack.ome.tif --label 3 --cells cells.tif --nuclei nuclei.tif --out cell3.ome.tiff
      napari-ic integrate --cells cells.tif --nuclei nuclei.tif --label all --out field.ome.tiff
    Every cell of a folder. Look first at what is found:
      napari-ic integrate --folder plate1 --dry-run
      napari-ic integrate --folder plate1 --out plate1-integrated --workers 4
    Every cell of a table, without files of volumes:
      napari-ic integrate --manifest cells.csv --write none --out results
    The last two write results.csv and results.parquet, one row per cell. The same command again makes what is missing.
    """
    with one_line_errors(options.PROGRAM):
        if frame not in FRAMES:
            raise ValueError(f"--frame is {frame!r}: choose image or model.")
        if write not in WRITE:
            raise ValueError(f"--write is {write!r}: choose cell, field or none.")
        if dtype not in DTYPES:
            raise ValueError(f"--dtype is {dtype!r}: choose uint16 or uint8.")
        choices = options.choices_of(axes, scene, time, reader)
        if folder is None and manifest is None:
            if pattern or scheduler or dry_run or workers > 1 or structure_channel:
                raise ValueError(
                    "--pattern, --structure-channel, --workers, --scheduler, --dry-run need --folder or --manifest."
                )
            integrate_field(
                image=image,
                membrane=membrane,
                dna=dna,
                cells=cells,
                nuclei=nuclei,
                label=label,
                voxel_size=voxel_size,
                choices=choices,
                structures=structures,
                model=model,
                device=device,
                exact=exact,
                ensemble=ensemble,
                frame=frame,
                dtype=cast("Any", dtype),
                out=out or Path("integrated.ome.tiff"),
                as_json=as_json,
            )
            return
        of_folders = {
            "--pattern": pattern,
            "--structure-channel": structure_channel,
            "--membrane": membrane,
            "--dna": dna,
            "--axes": axes,
            "--scene": scene,
            "--time": time,
            "--reader": None if reader == "auto" else reader,
        }
        given = [name for name, value in of_folders.items() if value not in (None, [])]
        _check_batch(folder, manifest, (image, cells, nuclei, label), given)
        from napari_integrated_cell.batch.cell_row import BatchSettings
        from napari_integrated_cell.batch.folder import ChosenChannels

        wanted = options.structures_of(structures)
        settings = BatchSettings(
            model,
            device,
            exact=exact,
            structures=None if wanted is None else tuple(wanted),
            write=cast("Any", write),
            frame=cast("Any", frame),
            dtype=cast("Any", dtype),
            threads=max(1, (os.cpu_count() or 1) // workers) if workers > 1 else None,
            ensemble=ensemble,
        )
        chosen = ChosenChannels(membrane, dna, structure_channel, options.voxel_size_of(voxel_size), choices)
        batch = BatchOptions(folder, manifest, pattern or (), chosen, workers, scheduler, dry_run, as_json)
        integrate_all(batch, settings, out or Path("integrated"))


def _check_batch(
    folder: Path | None,
    manifest: Path | None,
    of_one_field: tuple[object, ...],
    of_folders: list[str],
) -> None:
    """Raise a ValueError if options do not go together."""
    if folder is not None and manifest is not None:
        raise ValueError("Give a --folder or a --manifest, not both.")
    if any(given is not None for given in of_one_field):
        raise ValueError(
            "IMAGE, --cells, --nuclei and --label are for one field: leave them out with a folder or a table."
        )
    if manifest is not None and of_folders:
        named = " and ".join(filter(None, (", ".join(of_folders[:-1]), of_folders[-1])))
        raise ValueError(
            f"{named} cannot be given with --manifest: a table names its files and channels, and they are read as they "
            "state. Leave out what it does not take, or use --folder."
        )
