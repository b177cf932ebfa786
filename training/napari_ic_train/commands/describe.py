"""``napari-ic-train describe``: print the networks, layer by layer."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, JsonOption
from napari_integrated_cell.console import one_line_errors


def describe(
    preset: Annotated[str, typer.Option(help="paper, paper-code, wtc11, demo or tiny.")] = "paper",
    as_json: JsonOption = False,
) -> None:
    """Print the layers of every network, with output shapes and numbers of parameters (Tables S1-S8)."""
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
