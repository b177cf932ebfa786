"""``napari-ic-train``: train a model on the public dataset, on images of your own or on simulated cells."""

from __future__ import annotations

import typer

from napari_ic_train.commands.cells import cells
from napari_ic_train.commands.demo_model import demo_model
from napari_ic_train.commands.describe import describe
from napari_ic_train.commands.draws import draws
from napari_ic_train.commands.evaluate import evaluate
from napari_ic_train.commands.export import export
from napari_ic_train.commands.fetch import fetch
from napari_ic_train.commands.fit import fit
from napari_ic_train.commands.landmarks import landmarks
from napari_ic_train.commands.novelty import novelty
from napari_ic_train.commands.prepare import prepare
from napari_ic_train.commands.score import score
from napari_ic_train.commands.simulate import simulate
from napari_ic_train.commands.status import status
from napari_ic_train.commands.typicality import typicality
from napari_ic_train.commands.variation import variation

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help='Fit the two-phase conditional autoencoder of "Building a 3D Integrated Cell". '
    "In this order: fetch or simulate (or use your own images), prepare, fit, landmarks, export, cells, variation, "
    "score, evaluate.",
)
FITTING = (fetch, simulate, prepare, fit, status, landmarks, export)
AFTERWARDS = (cells, typicality, draws, variation, novelty, score, evaluate, describe)
for command in (*FITTING, *AFTERWARDS):
    app.command()(command)
app.command("demo-model")(demo_model)

if __name__ == "__main__":
    app()
