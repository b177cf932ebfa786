"""What the commands of ``napari-ic`` share: options by one name and one help each, and the cells they choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
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
    str | None,
    typer.Option("--structures", help="Comma-separated; all that the model knows when left out."),
]
ImageArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A Z stack with membrane and DNA channels. May be left out: the reference channels are then "
        "rendered from --cells and --nuclei."
    ),
]
MembraneOption = Annotated[
    str | None,
    typer.Option("--membrane", help="Name or number of the membrane channel, when it is not recognised."),
]
DnaOption = Annotated[
    str | None, typer.Option("--dna", help="Name or number of the DNA channel, when it is not recognised.")
]
CellsOption = Annotated[
    Path | None,
    typer.Option(
        "--cells", help="Label image of the cells. Left out, the cells are segmented from the stains."
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
    typer.Option("--voxel-size", help="Z,Y,X in µm, for files that do not carry it, e.g. 0.29,0.108,0.108."),
]


def voxel_size_of(text: str | None) -> tuple[float, float, float] | None:
    """The three lengths that --voxel-size names."""
    if text is None:
        return None
    from napari_integrated_cell.cell import checked_voxel_size

    return checked_voxel_size(text.split(","))


def structures_of(text: str | None) -> list[str] | None:
    """The names that --structures lists."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def chosen_cells(
    image: Path | None,
    membrane: str | None,
    dna: str | None,
    cells: Path | None,
    nuclei: Path | None,
    label: str | None,
    voxel_size: tuple[float, float, float] | None,
    structure_channel: str | None = None,
) -> tuple[list[Cell], tuple[int, int, int]]:
    """The cells that the options ask for, and the grid of the image they lie in."""
    from napari_integrated_cell.imaging.reading import read_image, read_labels
    from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values, segment_field

    channels: dict[str, np.ndarray] = {}
    source = str(image or cells)
    if image is not None:
        stack = read_image(image, voxel_size=voxel_size)
        voxel_size = voxel_size or stack.voxel_size
        channels = {k: v for k, v in stack.named().items() if k in ("membrane", "dna")}
        chosen = {"membrane": membrane, "dna": dna, "structure": structure_channel}
        channels |= {k: stack.channel(v) for k, v in chosen.items() if v is not None}
        if cells is None and not {"membrane", "dna"} <= set(channels):
            raise ValueError(
                f"{image} has the channels {', '.join(stack.channel_names)}, of which membrane and DNA were not "
                "both recognised: name them with --membrane and --dna."
            )
    elif cells is None or nuclei is None:
        raise ValueError("Give an IMAGE, or --cells and --nuclei to render the reference channels from.")
    if cells is not None:
        cell_labels, labels_voxel = read_labels(cells)
        voxel_size = voxel_size or labels_voxel
        if nuclei is None:
            raise ValueError("--cells needs --nuclei beside it: a cell is centred on its nucleus.")
        nucleus_labels, _ = read_labels(nuclei)
    if voxel_size is None:
        raise ValueError(f"{source} does not say its voxel size: give it with --voxel-size Z,Y,X in µm.")
    if cells is None:
        cell_labels, nucleus_labels = segment_field(channels["membrane"], channels["dna"], voxel_size)
    present = label_values(cell_labels)
    if label == "all" or (label is None and len(present) == 1):
        wanted = present
    elif label is None:
        raise ValueError(
            f"The field holds the cells {', '.join(map(str, present))}: choose one with --label, or all."
        )
    elif label.isdecimal() and int(label) in present:
        wanted = [int(label)]
    else:
        raise ValueError(f"There is no cell {label}; the field holds {', '.join(map(str, present))}.")
    shape = tuple(int(n) for n in cell_labels.shape)
    return [
        cell_from_labels(
            cell_labels, value, nucleus_labels, channels, voxel_size, name=f"cell {value}", source=source
        )
        for value in wanted
    ], (shape[0], shape[1], shape[2])
