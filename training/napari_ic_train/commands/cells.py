"""``napari-ic-train cells``: put embedded cells into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def cells(
    bundle: Annotated[Path, typer.Argument(help="The bundle: a folder or a .zip.")],
    data: Annotated[Path, typer.Option(help="The store that it was fitted on.")],
    split: Annotated[
        Literal["all", "test"],
        typer.Option(help="all: held-out cells first, then training cells. test: held-out cells only."),
    ] = "all",
    limit: Annotated[int, typer.Option(help="Largest number of cells.")] = 2000,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Embed cells and put them into a bundle, so that the Cell map in napari shows them without embedding."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.cells import bundle_cells
        from napari_ic_train.data.store import CellStore

        store = CellStore(data)
        found = bundle_cells(
            bundle, store, held_out_only=split == "test", limit=limit, device=device, progress=move
        )
    n_held_out = int((found.table["split"] != "train").sum())
    report(
        {"bundle": str(bundle), "cells": len(found), "held_out": n_held_out},
        as_json,
        f"Put {len(found)} embedded cells into {bundle}, {n_held_out} of them held out.",
    )
