"""``napari-ic-train status``: print the status of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, JsonOption
from napari_integrated_cell.console import one_line_errors


def status(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")],
    as_json: JsonOption = False,
) -> None:
    """Print the status of a run: phase, epoch, losses, speed, time left, warnings, and whether its process exists."""
    with one_line_errors(PROGRAM):
        from napari_ic_train.run.status import run_status

        found = run_status(run)
        typer.echo(json.dumps(asdict(found), indent=2) if as_json else "\n".join(found.lines()))
