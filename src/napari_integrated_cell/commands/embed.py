"""``napari-ic embed``: where many cells lie in a model's latent spaces, as a file that the Cell map opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_integrated_cell.commands.options import PROGRAM, DeviceOption, JsonOption, ModelOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report

if TYPE_CHECKING:
    from napari_integrated_cell.latent.population import Population
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import Progress


def embed(
    store: Annotated[
        Path | None, typer.Option("--store", help="Cells posed for the model by `napari-ic-train prepare`.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="A CSV of cells, one a row; see docs/variation.md.")
    ] = None,
    model: ModelOption = "demo",
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.")] = Path("cells.parquet"),
    as_json: JsonOption = False,
) -> None:
    """Embed many cells, with their measured shape, for napari's Cell map.

    \b
    napari-ic embed --model demo --table metadata.csv --out cells.parquet
    napari-ic embed --model my.zip --store store --out cells.parquet
    """
    with one_line_errors(PROGRAM):
        if (store is None) == (table is None):
            raise ValueError("Give the cells as a --store or as a --table: one of the two.")
        if out.suffix.lower() != ".parquet":
            raise ValueError(f"{out.name!r} is no population's name: end it in .parquet.")
        if not out.parent.is_dir():
            raise FileNotFoundError(f"The folder {out.parent} does not exist: make it first.")

        from napari_integrated_cell.data.listed_cells import embedded_table
        from napari_integrated_cell.latent.population import write_population
        from napari_integrated_cell.model.bundle import load_model

        left_out: dict[str, str] = {}
        with progress_bar() as move:
            loaded = load_model(model, device=device)
            found = (
                _of_store(store, loaded, move)
                if store is not None
                else embedded_table(
                    Path(table or ""), loaded, on_left_out=left_out.__setitem__, progress=move
                )
            )
        write_population(out, found)
        for name, reason in left_out.items():
            typer.echo(f"{PROGRAM}: {name} was left out: {reason}", err=True)
        report(
            {
                "out": str(out),
                "model": loaded.name,
                "device": str(loaded.device),
                "cells": len(found),
                "with_structure": int(found.has_z_struct.sum()),
                "left_out": left_out,
            },
            as_json,
            f"Wrote {len(found)} embedded cells to {out}: open it in napari's Cell map.",
        )


def _of_store(store: Path, model: IntegratedCell, move: Progress) -> Population:
    from napari_integrated_cell.data.store import PosedStore
    from napari_integrated_cell.latent.embedding import embed_store

    return embed_store(PosedStore(store), model, progress=move)
