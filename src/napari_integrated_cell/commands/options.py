"""Options that several commands of ``napari-ic`` share, and the cells that they name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_integrated_cell.imaging.choices import MissingInput, ReadingChoices

if TYPE_CHECKING:
    from napari_integrated_cell.data.field_cells import FieldCells

PROGRAM = "napari-ic"

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A name that `napari-ic models` lists, or a bundle's path.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
ExactOption = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="On a CPU, compute layer by layer in float32, up to three times as slowly. Without it, volumes differ by "
        "at most 0.001 %; networks of the paper's size compute in bf16 where the CPU has it, and differ by up to 1 %.",
    ),
]
EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Predict for the cell's four mirror images and write their mean, and for each structure one more channel, "
        "e.g. 'TOM20 spread', their standard deviation. Takes four times as long to compute.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a machine-readable summary to standard output.")
]
StructuresOption = Annotated[
    str | None, typer.Option("--structures", help="Comma-separated. By default all that the model knows.")
]
ImageArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A Z stack with membrane and DNA channels. Without it, the reference channels are rendered from "
        "--cells and --nuclei."
    ),
]
MembraneOption = Annotated[
    str | None,
    typer.Option("--membrane", help="Name or number of the membrane channel, if it is not recognised."),
]
DnaOption = Annotated[
    str | None, typer.Option("--dna", help="Name or number of the DNA channel, if it is not recognised.")
]
CellsOption = Annotated[
    Path | None,
    typer.Option(
        "--cells",
        help="Label image of the cells; FILE:CHANNEL in a file of several channels. Without it, the cells are "
        "segmented from the stains.",
    ),
]
NucleiOption = Annotated[
    Path | None,
    typer.Option(
        "--nuclei", help="Label image of the nuclei, each with its cell's label; FILE or FILE:CHANNEL."
    ),
]
LabelOption = Annotated[
    str | None, typer.Option("--label", help="Which cell: a label, or `all` for every cell of the field.")
]
VoxelOption = Annotated[
    str | None,
    typer.Option("--voxel-size", help="Z,Y,X in µm, for files that do not give it, e.g. 0.29,0.108,0.108."),
]
AxesOption = Annotated[
    str | None,
    typer.Option(
        "--axes",
        help="What the file's axes really are, in its order, e.g. ZYX if its time points are planes, or ZC2YX if its "
        "planes alternate between 2 channels.",
    ),
]
SceneOption = Annotated[
    str | None,
    typer.Option("--scene", help="Number or name of the scene. By default the first that is a Z stack."),
]
TimeOption = Annotated[
    int | None, typer.Option("--time", help="Number of the time point. By default the first, 0.")
]
DrawFromOption = Annotated[
    str | None,
    typer.Option(
        "--draw-from",
        help="prior: z^s from N(0, I), as in the paper. conditional: from p(z^s | z^r, y); the default if the model "
        "has it. observed: the same, with the texture and noise that decoded images lack.",
    ),
]
ReaderOption = Annotated[
    str,
    typer.Option(
        "--reader",
        help="auto, bioio or aicsimageio; auto takes aicsimageio for what bioio has no reader for.",
    ),
]


def voxel_size_of(text: str | None) -> tuple[float, float, float] | None:
    """Return the voxel size in the option --voxel-size."""
    if text is None:
        return None
    from napari_integrated_cell.cell import checked_voxel_size

    return checked_voxel_size(text.split(","))


def structures_of(text: str | None) -> list[str] | None:
    """Return the names in the option --structures."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


_FLAGS = {
    "files": "IMAGE, or --cells and --nuclei",
    "nuclei": "--nuclei",
    "channels": "--membrane, --dna",
    "voxel size": "--voxel-size",
    "label": "--label",
    "channel": "the number or name of a channel, also as --cells FILE:CHANNEL",
    "scene": "--scene",
    "time": "--time",
    "axes": "--axes",
    "reader": "--reader",
}


def chosen_cells(
    image: Path | None,
    membrane: str | None,
    dna: str | None,
    cells: Path | None,
    nuclei: Path | None,
    label: str | None,
    voxel_size: str | None,
    structure: str | None = None,
    choices: ReadingChoices | None = None,
) -> tuple[FieldCells, tuple[int, int, int]]:
    """Return the cells that the options name, and the grid of their image. Errors name the option to use.

    Notes about the files are printed.
    """
    from napari_integrated_cell.data.image_cells import cells_of_image

    cells, cells_channel = file_and_channel(cells)
    nuclei, nuclei_channel = file_and_channel(nuclei)
    with naming_options():
        return cells_of_image(
            image,
            cells,
            nuclei,
            label=label,
            membrane=membrane,
            dna=dna,
            structure=structure,
            voxel_size=voxel_size_of(voxel_size),
            cells_channel=cells_channel,
            nuclei_channel=nuclei_channel,
            choices=choices or ReadingChoices(),
            on_note=print_note,
        )


def choices_of(axes: str | None, scene: str | None, time: int | None, reader: str) -> ReadingChoices:
    """Return what the options --axes, --scene, --time and --reader say."""
    return ReadingChoices(scene=scene, time=time, axes=axes, reader=reader)


def file_and_channel(given: Path | None) -> tuple[Path | None, str | None]:
    """Split FILE:CHANNEL. A file whose own name has a colon is taken as it is."""
    if given is None or given.exists() or ":" not in given.name:
        return given, None
    name, _, channel = given.name.rpartition(":")
    return given.with_name(name), channel


def print_note(note: str) -> None:
    """Print a note about a file to standard error."""
    print(f"{PROGRAM}: {note}", file=sys.stderr)


@contextmanager
def naming_options() -> Iterator[None]:
    """Add the option to use to an error that says what is missing."""
    try:
        yield
    except MissingInput as error:
        raise ValueError(f"{str(error).removesuffix('.')} ({_FLAGS[error.what]}).") from error


@contextmanager
def naming_memory() -> Iterator[None]:
    """Say in one sentence that the memory does not suffice."""
    try:
        yield
    except MemoryError as error:
        raise ValueError(
            "There is not enough memory for this: check the voxel size, close other programs, or give a smaller image."
        ) from error
