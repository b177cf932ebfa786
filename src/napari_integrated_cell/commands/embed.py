"""``napari-ic embed``: write the latent codes of many cells to a file that the Cell map opens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from napari_integrated_cell.commands.options import (
    PROGRAM,
    DeviceOption,
    ExactOption,
    JsonOption,
    ModelOption,
)
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def embed(
    store: Annotated[
        Path | None, typer.Option(help="A store of posed cells from `napari-ic-train prepare`.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="A CSV of cells, one cell per row; see docs/preparing.md.")
    ] = None,
    model: ModelOption = "demo",
    device: DeviceOption = "auto",
    exact: ExactOption = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.")] = Path("cells.parquet"),
    as_json: JsonOption = False,
) -> None:
    """Embed many cells and measure their shape, for napari's Cell map.

    \b
    napari-ic embed --model demo --table metadata.csv --out cells.parquet
    napari-ic embed --model my.zip --store store --out cells.parquet
    """
    with one_line_errors(PROGRAM):
        if (store is None) == (table is None):
            raise ValueError("Give the cells as a --store or as a --table, not both.")
        if out.suffix.lower() != ".parquet":
            raise ValueError(f"The file to write is called {out.name!r}: end it in .parquet.")
        if not out.parent.is_dir():
            raise FileNotFoundError(f"The folder {out.parent} does not exist: make it first.")

        from napari_integrated_cell.data.store import PosedStore
        from napari_integrated_cell.latent.embedding import embed_store
        from napari_integrated_cell.latent.population import write_population
        from napari_integrated_cell.latent.table_embedding import embed_table
        from napari_integrated_cell.model.bundle import load_model

        left_out: dict[str, str] = {}

        def report_left_out(name: str, reason: str) -> None:
            left_out[name] = reason
            tqdm.write(f"{PROGRAM}: {name} is left out: {reason}", file=sys.stderr)

        with progress_bar() as move:
            loaded = load_model(model, device=device, exact=exact)
            if store is not None:
                found = embed_store(PosedStore(store), loaded, progress=move)
            else:
                found = embed_table(table or "", loaded, on_left_out=report_left_out, progress=move)
        write_population(out, found)
        summary = {
            "out": str(out),
            "model": loaded.name,
            "device": str(loaded.device),
            "cells": len(found),
            "with_structure": int(found.has_z_struct.sum()),
            "left_out": left_out,
        }
        report(summary, as_json, f"Wrote {len(found)} embedded cells to {out}: open it in napari's Cell map.")
