"""``napari-ic``: open, integrate and classify cells without a window, by the same steps as the plugin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from napari_integrated_cell.console import one_line_errors, progress_bar, report

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.integration import Integration
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

PROGRAM = "napari-ic"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="See where eleven organelles most probably lie in a given cell. Start with `napari-ic demo`.",
)

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A name that `napari-ic models` lists, or a bundle's path.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a machine-readable summary to standard output.")
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


def _voxel_size(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    from napari_integrated_cell.cell import checked_voxel_size

    return checked_voxel_size(text.split(","))


def _cells(
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


def _summary(integration: Integration) -> dict[str, Any]:
    pose = integration.pose
    return {
        "cell": integration.cell.name,
        "angle_degrees": round(float(pose.angle), 2),
        "flips_yx": [bool(f) for f in pose.flips],
        "outside_box": round(float(pose.outside), 4),
        "warnings": list(pose.warnings),
        "z_ref": [round(float(z), 5) for z in integration.z_ref],
    }


def _write(
    out: Path,
    integrations: Iterator[Integration],
    frame: str,
    shape: tuple[int, int, int],
    voxel_size: tuple[float, float, float],
    model: IntegratedCell,
) -> list[dict[str, Any]]:
    """Write what was integrated in the frame asked for; what is to be said of each cell."""
    from napari_integrated_cell.imaging.writing import write_ome_tiff
    from napari_integrated_cell.integration import quantised, to_field

    said: list[dict[str, Any]] = []

    def telling() -> Iterator[Integration]:
        for integration in integrations:
            said.append(_summary(integration))
            for warning in integration.pose.warnings:
                tqdm.write(f"{PROGRAM}: {integration.cell.name}: {warning}", file=sys.stderr)
            yield integration

    volumes: dict[str, np.ndarray]
    if frame == "image":
        volumes = to_field(telling(), shape, np.uint16)
    else:
        (integration,) = telling()
        named = {
            "membrane": integration.references[0],
            "dna": integration.references[1],
            **integration.volumes,
        }
        volumes = {name: quantised(volume, np.uint16) for name, volume in named.items()}
        voxel_size = (model.config.voxel_size,) * 3
    trained_on = "simulated cells" if model.card.get("simulated") else "real cells"
    write_ome_tiff(
        out,
        volumes,
        voxel_size,
        description=f"Structures predicted by napari-integrated-cell with the model {model.name!r}, trained on "
        f"{trained_on}; 65535 stands for an intensity of 1. Membrane and DNA are the model's reference input.",
    )
    return said


@app.command()
def integrate(
    image: ImageArgument = None,
    membrane: MembraneOption = None,
    dna: DnaOption = None,
    cells: CellsOption = None,
    nuclei: NucleiOption = None,
    label: LabelOption = None,
    structures: Annotated[
        str | None,
        typer.Option("--structures", help="Comma-separated; all that the model knows when left out."),
    ] = None,
    model: ModelOption = "demo",
    device: DeviceOption = "auto",
    frame: Annotated[
        str,
        typer.Option("--frame", help="Write on the image's own grid (image) or in the model's box (model)."),
    ] = "image",
    voxel_size: VoxelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="OME-TIFF to write.")] = Path(
        "integrated.ome.tiff"
    ),
    as_json: JsonOption = False,
) -> None:
    """Predict where the structures lie in one cell, or in every cell of a field.

    The channels written are membrane and dna, then one per structure by its name.

    \b
    napari-ic integrate stack.ome.tif --label 3 --cells cells.tif --nuclei nuclei.tif --out cell3.ome.tiff
    napari-ic integrate --cells cells.tif --nuclei nuclei.tif --label all --out field.ome.tiff
    """
    with one_line_errors(PROGRAM):
        if frame not in ("image", "model"):
            raise ValueError(f"--frame is {frame!r}: choose image or model.")
        found, shape = _cells(image, membrane, dna, cells, nuclei, label, _voxel_size(voxel_size))
        if frame == "model" and len(found) > 1:
            raise ValueError("--frame model holds one cell: choose it with --label.")
        from napari_integrated_cell.integration import integrate_cell
        from napari_integrated_cell.model.bundle import load_model

        loaded = load_model(model, device=device)
        wanted = None if structures is None else [s.strip() for s in structures.split(",") if s.strip()]

        def integrated() -> Iterator[Integration]:
            for cell in tqdm(found, "integrating cells", file=sys.stderr, disable=not sys.stderr.isatty()):
                yield integrate_cell(cell, loaded, wanted)

        said = _write(out, integrated(), frame, shape, found[0].voxel_size, loaded)
        count = f"{len(said)} cell{'s' if len(said) != 1 else ''}"
        summary = {
            "out": str(out),
            "model": loaded.name,
            "device": str(loaded.device),
            "frame": frame,
            "cells": said,
        }
        report(summary, as_json, f"Wrote {count} with {loaded.name!r} to {out}.")


@app.command()
def classify(
    image: ImageArgument = None,
    structure: Annotated[
        str | None, typer.Option("--structure", help="Name or number of the channel to judge.")
    ] = None,
    membrane: MembraneOption = None,
    dna: DnaOption = None,
    cells: CellsOption = None,
    nuclei: NucleiOption = None,
    label: LabelOption = None,
    model: ModelOption = "demo",
    device: DeviceOption = "auto",
    voxel_size: VoxelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which of the structures a channel most probably shows."""
    with one_line_errors(PROGRAM):
        if image is None or structure is None:
            raise ValueError("Give an IMAGE, and with --structure the channel of it to judge.")
        found, _ = _cells(image, membrane, dna, cells, nuclei, label, _voxel_size(voxel_size), structure)
        from napari_integrated_cell.integration import classify_cell
        from napari_integrated_cell.model.bundle import load_model

        loaded = load_model(model, device=device)
        opinions = {cell.name: classify_cell(cell, "structure", loaded) for cell in found}
        lines = [
            f"{name}: " + ", ".join(f"{s} {p:.0%}" for s, p in list(opinion.items())[:3])
            for name, opinion in opinions.items()
        ]
        report({"model": loaded.name, "cells": opinions}, as_json, "\n".join(lines))


@app.command()
def models(as_json: JsonOption = False) -> None:
    """List the models that can be used by name."""
    with one_line_errors(PROGRAM):
        from napari_integrated_cell.model.catalogue import list_models

        listed = [{"name": name, "path": str(path)} for name, path in list_models()]
        report({"models": listed}, as_json, "\n".join(f"{m['name']:12} {m['path']}" for m in listed))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the picture and the OME-TIFF.")] = Path(
        "demo"
    ),
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window even where there is a display.")
    ] = False,
    model: ModelOption = "demo",
    device: DeviceOption = "auto",
    stage: Annotated[
        str, typer.Option("--stage", help="Mitotic stage of the simulated cell.")
    ] = "interphase",
    seed: Annotated[int, typer.Option("--seed", help="Another seed makes another cell.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Simulate a cell and integrate it: in napari where there is a display, as a picture and a file where not."""
    with one_line_errors(PROGRAM):
        from napari_integrated_cell.vocabulary import stage as stage_called

        stage = stage_called(stage).name
        if not headless and _display():
            from napari_integrated_cell.plugin.demonstration import open_demo

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
        said = _write(tiff, iter([integration]), "image", cell.shape, cell.voxel_size, loaded)
        title = f"{cell.name}: most probable structures by the model {loaded.name!r}"
        write_png(png, sheet(integration.references, integration.volumes, title))
        summary = {"picture": str(png), "out": str(tiff), "model": loaded.name, "cells": said}
        report(summary, as_json, f"Integrated a {cell.name}.\nPicture: {png}\nOME-TIFF: {tiff}")


def _display() -> bool:
    """Whether a window can be opened here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


if __name__ == "__main__":
    app()
