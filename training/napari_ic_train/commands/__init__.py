"""Commands of ``napari-ic-train``, one file each, and the options that several of them share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

PROGRAM = "napari-ic-train"

BundleArgument = Annotated[
    str, typer.Argument(help="Path of a bundle, or a name that `napari-ic models` lists.")
]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
StoreOption = Annotated[
    Path | None, typer.Option("--data", help="The store that the run was fitted on, if it has moved.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a machine-readable summary to standard output.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or mps. auto takes a GPU if there is one.")
]
DrawFromOption = Annotated[
    str | None,
    typer.Option(
        "--draw-from",
        help="prior: z^s from N(0, I), as in the paper. conditional: from p(z^s | z^r, y); the default if the model "
        "has it. observed: the same, with the texture and noise that decoded images lack.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Number of processes; one per core if left out.")
]


@contextmanager
def name_option(error_type: type[ValueError], option: str) -> Iterator[None]:
    """Add the command-line option that corrects an error to the library's sentence."""
    try:
        yield
    except error_type as error:
        raise ValueError(f"{str(error).removesuffix('.')} ({option}).") from error
