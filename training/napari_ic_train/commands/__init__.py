"""The commands of ``napari-ic-train``, one file each, and the options that several of them share."""

from __future__ import annotations

from typing import Annotated

import typer

PROGRAM = "napari-ic-train"

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a machine-readable summary to standard output.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Processes; all cores when left out.")]
