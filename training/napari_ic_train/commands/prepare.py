"""``napari-ic-train prepare``: a manifest becomes a training store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from napari_ic_train.commands import JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report

if TYPE_CHECKING:
    from napari_ic_train.data.prepare import ReferenceSource
    from napari_ic_train.data.splits import SplitBy
    from napari_ic_train.data.store import CellStore


def prepare(
    manifest: Annotated[
        Path,
        typer.Option(
            "--manifest",
            help="metadata.csv of the public dataset, of the posed package, of simulated cells (or its "
            "folder), or a table of your own.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the training store; a stopped run in it continues.")
    ],
    preset: Annotated[str, typer.Option("--preset", help="Whose box to pose the cells into.")] = "paper",
    references: Annotated[
        str,
        typer.Option(
            "--references",
            help="stain; segmentation: rendered from the masks; mixed: one or the other by cell.",
        ),
    ] = "stain",
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", min=0, max=0.9, help="Share held out.")
    ] = 0.05,
    split_by: Annotated[
        str | None,
        typer.Option(
            "--split-by",
            help="cell, field or plate: what stays on one side of the split. The field, where the manifest "
            "names it.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 0,
    keep_other: Annotated[
        bool,
        typer.Option("--keep-other", help="Keep structures beyond the eleven, as classes by their gene."),
    ] = False,
    keep_outliers: Annotated[
        bool, typer.Option("--keep-outliers", help="Keep cells that the manifest calls outliers.")
    ] = False,
    keep_daughters: Annotated[
        bool, typer.Option("--keep-daughters", help="Keep daughters cut out without the other (M6M7_single).")
    ] = False,
    keep_edge: Annotated[
        bool, typer.Option("--keep-edge/--drop-edge", help="Cells at the edge of their colony.")
    ] = True,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; all cores when left out.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads in each process.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", help="A dask scheduler to work on instead, e.g. tcp://node7:8786; shared disk."
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try the cells of report.csv again.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Draw some posed cells into this .png: look before you train."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Pose, normalise and mask every cell of a manifest into a training store (section 3.1)."""
    with one_line_errors("napari-ic-train"), progress_bar() as move:
        from napari_ic_train.data.prepare import prepare as prepared
        from napari_integrated_cell.integration import model_box
        from napari_integrated_cell.model.config import preset as model_preset

        store = prepared(
            manifest,
            out,
            model_box(model_preset(preset)),
            references=cast("ReferenceSource", references),
            test_fraction=test_fraction,
            split_by=cast("SplitBy | None", split_by),
            seed=seed,
            keep_other=keep_other,
            keep_outliers=keep_outliers,
            keep_daughters=keep_daughters,
            keep_edge=keep_edge,
            workers=workers,
            threads=threads,
            scheduler=scheduler,
            retry=retry,
            progress=move,
        )
        if picture is not None:
            from napari_ic_train.data.posed_picture import draw_posed

            draw_posed(store, picture)
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


def _in_words(store: CellStore, out: Path, splits: dict[str, int], refused: int) -> str:
    """What became of all the cells of the manifest."""
    sides = ", ".join(f"{count} to {name}" for name, count in splits.items())
    lines = [f"Prepared {len(store)} cells ({sides}): {out}"]
    if store.left_out:
        lines.append(
            "Left out: " + ", ".join(f"{count} {why}" for why, count in store.left_out.items()) + "."
        )
    if refused:
        lines.append(f"{refused} could not be prepared: {out / 'report.csv'} says why.")
    return "\n".join(lines)
