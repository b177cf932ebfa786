"""``napari-ic-train``: simulate cells, prepare them, fit both phases, score and export, one command each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from napari_integrated_cell.console import one_line_errors, progress_bar, report

if TYPE_CHECKING:
    from napari_ic_train.data.prepare import ReferenceSource

PROGRAM = "napari-ic-train"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help='Fit the two-phase conditional autoencoder of "Building a 3D Integrated Cell". '
    "In order: simulate (or bring a dataset), prepare, fit, export, score.",
)

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a machine-readable summary to standard output.")
]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Processes; all cores when left out.")]


@app.command()
def describe(
    preset: Annotated[str, typer.Option("--preset", help="paper, paper-code, demo or tiny.")] = "paper",
    as_json: JsonOption = False,
) -> None:
    """Print every network's layers, output shapes and parameter counts (Tables S1-S8)."""
    with one_line_errors(PROGRAM):
        from napari_integrated_cell.model.config import preset as model_preset
        from napari_integrated_cell.model.networks import describe as described

        networks = described(model_preset(preset))
        if as_json:
            typer.echo(json.dumps(networks, indent=2))
            return
        for name, network in networks.items():
            typer.echo(f"\n{name}: {network['parameters']:,} parameters")
            for layer in network["layers"]:
                shape = " x ".join(map(str, layer["output_shape"]))
                typer.echo(f"  {layer['name']:28} {layer['type']:18} {shape:24} {layer['parameters']:>12,}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metadata.csv, crop_raw and crop_seg.")],
    cells: Annotated[int, typer.Option("--cells", min=1, help="How many simulated cells.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same cells.")] = 1,
    voxel_size: Annotated[
        float,
        typer.Option(
            "--voxel-size", min=0.05, max=2.0, help="Isotropic, in µm; the public dataset has 0.108333."
        ),
    ] = 0.317,
    structures: Annotated[
        str | None, typer.Option("--structures", help="Comma-separated; all eleven in turn.")
    ] = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make simulated cells with known truth, in the public dataset's layout. A stopped run continues."""
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
            workers=_cores(workers),
            progress=move,
        )
    report(
        {"manifest": str(manifest), "cells": cells, "simulated": True},
        as_json,
        f"Simulated {cells} cells: {manifest}",
    )


def _cores(workers: int | None) -> int:
    import os

    return workers or os.cpu_count() or 1


@app.command()
def prepare(
    manifest: Annotated[
        Path, typer.Option("--manifest", help="metadata.csv in the public dataset's layout.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the training store.")],
    preset: Annotated[str, typer.Option("--preset", help="Whose box to pose the cells into.")] = "paper",
    references: Annotated[
        str,
        typer.Option(
            "--references",
            help="stain; segmentation: rendered from the masks; mixed: one or the other by cell.",
        ),
    ] = "stain",
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", min=0, max=0.9, help="Share of fields held out.")
    ] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 0,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pose, normalise and mask every cell of a manifest into a training store (section 3.1)."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.data.prepare import prepare as prepared
        from napari_integrated_cell.integration import model_box
        from napari_integrated_cell.model.config import preset as model_preset

        store = prepared(
            manifest,
            out,
            model_box(model_preset(preset)),
            references=cast("ReferenceSource", references),
            test_fraction=test_fraction,
            seed=seed,
            workers=workers,
            progress=move,
        )
    splits = store.table["split"].value_counts().to_dict()
    report(
        {"store": str(out), "cells": len(store), "splits": splits},
        as_json,
        f"Prepared {len(store)} cells: {out}",
    )


@app.command()
def fit(
    data: Annotated[Path, typer.Option("--data", help="A training store.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the run; a stopped run in it continues.")
    ],
    preset: Annotated[str, typer.Option("--preset", help="paper, paper-code, demo or tiny.")] = "paper",
    config: Annotated[Path | None, typer.Option("--config", help="A YAML file instead of a preset.")] = None,
    phase: Annotated[
        str, typer.Option("--phase", help="reference (Algorithm 1), conditional (Algorithm 2) or both.")
    ] = "both",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Fit the reference model, then the conditional model."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.config import preset as training_preset
        from napari_ic_train.config import read_config
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.demo import fit_phases

        settings = read_config(config) if config is not None else training_preset(preset)
        fit_phases(CellStore(data, "train"), settings, out, phase=phase, device=device, progress=move)
    typer.echo(f"Fitted; export it with: napari-ic-train export {out} --data {data} --out BUNDLE")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: Annotated[Path, typer.Option("--data", help="The store it was fitted on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle: a folder, or a .zip.")],
    name: Annotated[str, typer.Option("--name", help="What the model is called in napari.")] = "my model",
    licence: Annotated[
        str, typer.Option("--licence", help="Under which the weights may be used.")
    ] = "unspecified",
) -> None:
    """Make a bundle that opens in napari out of a finished run."""
    with one_line_errors(PROGRAM):
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.export import export_bundle

        path = export_bundle(run, CellStore(data), out, name=name, licence=licence)
    typer.echo(f"Wrote {path}; see what it is worth with: napari-ic-train score {path}")


@app.command()
def score(
    bundle: Annotated[str, typer.Argument(help="A bundle's path, or a name that `napari-ic models` lists.")],
    real: Annotated[
        Path | None,
        typer.Option(
            "--real", help="Folder with cell_labels, nucleus_labels and tomm20_mask .ome.tif of a real field."
        ),
    ] = None,
    cells: Annotated[int, typer.Option("--cells", min=1, help="Unseen simulated cells to score on.")] = 220,
    workers: WorkersOption = None,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write the figures into the bundle's card.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Measure where a model puts structures, on unseen simulated cells and on a real field, into its model card."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.evaluation.model_card import verdicts
        from napari_ic_train.export import score_bundle

        metrics = score_bundle(bundle, real=real, n_cells=cells, workers=workers, write=write, progress=move)
    lines = [
        f"{'not measured' if measured is None else f'{measured:.3f}':>12}  wanted {least:.3f}  {what}"
        for what, least, measured, _ in verdicts(metrics)
    ]
    report(metrics, as_json, "\n".join(lines))


@app.command("demo-model")
def demo_model(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the cells, the store, the run and the bundle.")
    ],
    cells: Annotated[
        int | None,
        typer.Option("--cells", help="Simulated training cells; the committed number if left out."),
    ] = None,
    real: Annotated[Path | None, typer.Option("--real", help="Folder of a real field to score on.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    workers: WorkersOption = None,
) -> None:
    """Make the bundled demo model from nothing: simulate, prepare, fit, export, score. A stopped run continues."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.demo import CELLS, build_demo

        bundle = build_demo(
            out, n_cells=cells or CELLS, real=real, device=device, workers=_cores(workers), progress=move
        )
    typer.echo(
        f"The demo model is in {bundle}; copy it over src/napari_integrated_cell/models/demo to ship it."
    )


if __name__ == "__main__":
    app()
