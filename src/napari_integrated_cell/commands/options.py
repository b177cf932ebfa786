"""Options that several commands of ``napari-ic`` share, and the cells that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell

PROGRAM = "napari-ic"

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A name that `napari-ic models` lists, or a bundle's path.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
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
        "--cells", help="Label image of the cells. Without it, the cells are segmented from the stains."
    ),
]
NucleiOption = Annotated[
    Path | None, typer.Option("--nuclei", help="Label image of the nuclei, each with its cell's label.")
]
LabelOption = Annotated[
    str | None, typer.Option("--label", help="Which cell: a label, or `all` for every cell of the field.")
]
VoxelOption = Annotated[
    str | None,
    typer.Option("--voxel-size", help="Z,Y,X in µm, for files that do not give it, e.g. 0.29,0.108,0.108."),
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
) -> tuple[list[Cell], tuple[int, int, int]]:
    """Return the cells that the options name, and the grid of their image. Errors name the option to use."""
    from napari_integrated_cell.data.image_cells import MissingInput, cells_of_image

    try:
        return cells_of_image(
            image,
            cells,
            nuclei,
            label=label,
            membrane=membrane,
            dna=dna,
            structure=structure,
            voxel_size=voxel_size_of(voxel_size),
        )
    except MissingInput as error:
        raise ValueError(f"{str(error).removesuffix('.')} ({_FLAGS[error.what]}).") from error
