"""``napari-ic-train typicality``: measure in a bundle how the cells are distributed that its model knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, BundleArgument, DeviceOption, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def typicality(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Option(help="The store that it was fitted on.")],
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure how the cells of a store are distributed, and put it into a bundle made of it by an older version.

    With it, `napari-ic integrate` and the window say how typical a cell is among those that the model knows. `export`
    does this too.
    """
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.typicality import bundle_typicality
        from napari_ic_train.data.store import CellStore

        found = bundle_typicality(bundle, CellStore(data), device=device, progress=move)
    which = "held-out cells" if found.held_out else "training and held-out cells"
    report(
        {"bundle": bundle, "cells": found.n, "held_out": found.held_out},
        as_json,
        f"Measured {found.n} {which}. Written to {bundle}.",
    )
