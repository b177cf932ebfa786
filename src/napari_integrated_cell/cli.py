"""The command line ``napari-ic``: the functions of the plugin, without a window."""

from __future__ import annotations

import typer

from napari_integrated_cell.commands.classify import classify
from napari_integrated_cell.commands.demo import demo
from napari_integrated_cell.commands.embed import embed
from napari_integrated_cell.commands.integrate import integrate
from napari_integrated_cell.commands.models import models
from napari_integrated_cell.commands.traverse import traverse
from napari_integrated_cell.commands.variation import variation

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="See where eleven organelles most probably lie in a given cell. Start with `napari-ic demo`.",
)
for command in (demo, integrate, classify, traverse, variation, embed, models):
    app.command()(command)

if __name__ == "__main__":
    app()
