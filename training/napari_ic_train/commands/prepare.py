"""``napari-ic-train prepare``: make a training store from a table of cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from napari_ic_train.commands import PROGRAM, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report

if TYPE_CHECKING:
    from napari_ic_train.data.prepare import ReferenceSource
    from napari_ic_train.data.splits import SplitBy
    from napari_ic_train.data.store import CellStore

REPORT = "report.csv"
WORDS = {"shape": "without a structure"}
MOST_REASONS = 10
"""How many cells are printed; the report has all of them."""


def prepare(
    manifest: Annotated[
        Path,
        typer.Option(
            help="A table of cells: metadata.csv of the public dataset or of simulated cells (or its folder), "
            "the table of the posed package, or your own; see docs/preparing.md.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the training store; a stopped run in it continues.")
    ],
    preset: Annotated[
        str | None, typer.Option(help="Model preset whose box the cells are posed into; paper if left out.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A bundle (a name, or its path) whose box the cells are posed into, to adapt it."),
    ] = None,
    references: Annotated[
        str,
        typer.Option(
            help="stain; segmentation: rendered from the masks; mixed: one of the two for each cell."
        ),
    ] = "stain",
    test_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of cells that are held out.")
    ] = 0.05,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="cell, field or plate: what stays on one side of the split. By default the field if the table "
            "names it, else the cell.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the split.")] = 0,
    keep_other: Annotated[
        bool,
        typer.Option(
            "--keep-other", help="Keep structures beyond the eleven, as classes named by their gene."
        ),
    ] = False,
    keep_outliers: Annotated[
        bool, typer.Option("--keep-outliers", help="Keep cells that the table calls outliers.")
    ] = False,
    keep_daughters: Annotated[
        bool, typer.Option("--keep-daughters", help="Keep single daughters of a division (M6M7_single).")
    ] = False,
    keep_edge: Annotated[
        bool, typer.Option("--keep-edge/--drop-edge", help="Keep or drop cells at the edge of their colony.")
    ] = True,
    keep_shapes: Annotated[
        bool,
        typer.Option(
            "--keep-shapes",
            help="Keep cells without a structure: they teach phase 1, cell and nuclear shape, only.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. By default one per core.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads in each process.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler to use instead, e.g. tcp://node7:8786.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try the cells of report.csv again.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw some posed cells into this .png. Look at it before you train.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Pose, normalise and mask every cell of a table into a training store (section 3.1)."""
    with one_line_errors(PROGRAM), _reasons_first(), progress_bar() as move:
        from napari_ic_train.data.prepare import prepare as prepared
        from napari_integrated_cell.integration import model_box
        from napari_integrated_cell.model.catalogue import read_manifest
        from napari_integrated_cell.model.config import preset as model_preset

        if preset is not None and model is not None:
            raise ValueError("Give --preset or --model, not both: the cells are posed into one box.")
        config = model_preset(preset or "paper") if model is None else read_manifest(model).config
        store = prepared(
            manifest,
            out,
            model_box(config),
            references=cast("ReferenceSource", references),
            test_fraction=test_fraction,
            split_by=cast("SplitBy | None", split_by),
            seed=seed,
            keep_other=keep_other,
            keep_outliers=keep_outliers,
            keep_daughters=keep_daughters,
            keep_edge=keep_edge,
            keep_shapes=keep_shapes,
            workers=workers,
            threads=threads,
            scheduler=scheduler,
            retry=retry,
            progress=move,
        )
        if picture is not None:
            from napari_ic_train.data.posed_picture import draw_posed

            draw_posed(store, picture)
    _print_reasons(store.path / REPORT)
    splits = {str(name): int(n) for name, n in store.table["split"].value_counts().items()}
    refused = len(store.report)
    report(
        {
            "store": str(out),
            "cells": len(store),
            "splits": splits,
            "left_out": store.left_out,
            "refused": refused,
        },
        as_json,
        _in_words(store, out, splits, refused),
    )


@contextmanager
def _reasons_first() -> Iterator[None]:
    """Print the reasons before the error if not one cell could be prepared."""
    from napari_ic_train.data.store_table import NoCellPrepared

    try:
        yield
    except NoCellPrepared as error:
        _print_reasons(error.report)
        raise


def _print_reasons(report_file: Path) -> None:
    """Print the first cells of a report, each with its reason."""
    if not report_file.is_file():
        return
    with report_file.open(newline="", encoding="utf-8") as file:
        refused = csv.DictReader(file)
        for row in islice(refused, MOST_REASONS):
            typer.echo(f"{PROGRAM}: {row['CellId']} could not be prepared: {row['reason']}", err=True)
        more = sum(1 for _ in refused)
    if more:
        typer.echo(f"{PROGRAM}: and {more} more.", err=True)


def _in_words(store: CellStore, out: Path, splits: dict[str, int], refused: int) -> str:
    """Return text with the numbers of cells that were prepared, left out and refused."""
    sides = ", ".join(f"{count} {WORDS.get(name, f'to {name}')}" for name, count in splits.items())
    lines = [f"Prepared {len(store)} cells ({sides}): {out}"]
    if store.left_out:
        lines.append(
            "Left out: " + ", ".join(f"{count} {why}" for why, count in store.left_out.items()) + "."
        )
    if refused:
        lines.append(f"{refused} could not be prepared: {out / REPORT} has the reasons.")
    return "\n".join(lines)
