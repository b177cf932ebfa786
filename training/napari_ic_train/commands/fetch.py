"""``napari-ic-train fetch``: fetch cells of the public dataset, without an account."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_ic_train.commands import PROGRAM, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report

if TYPE_CHECKING:
    from napari_ic_train.data.fetch import Fetched, Plan, Verify


def fetch(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to fetch into; a stopped fetch continues.")
    ],
    structures: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated names or genes; all: every gene of the dataset. By default the paper's eleven."
        ),
    ] = None,
    cells: Annotated[int, typer.Option(min=1, help="Number of cells of each structure.")] = 100,
    stages: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated stages, or the dataset's codes (M0, M1M2, M3, M4M5, M6M7_complete, "
            "M6M7_single). By default all but M6M7_single.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the choice. A larger --cells adds cells.")] = 0,
    keep_outliers: Annotated[
        bool, typer.Option("--keep-outliers", help="Keep cells that the dataset calls outliers.")
    ] = False,
    keep_edge: Annotated[
        bool, typer.Option("--keep-edge/--drop-edge", help="Keep or drop cells at the edge of their colony.")
    ] = True,
    source: Annotated[
        str | None,
        typer.Option(help="Address of a mirror of the dataset: s3://bucket/package, or any fsspec address."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="An S3 server other than Amazon's, e.g. http://nas:9000.")
    ] = None,
    verify: Annotated[
        str,
        typer.Option(
            help="auto: by the hash in the name if it is that of the content, else by the server's MD5; "
            "name: by the hash in the name; package: by the package's own list of sha256 (large).",
        ),
    ] = "auto",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Number of files at the same time.")] = 8,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the size. This fetches the dataset's table.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch cells of the WTC-11 hiPSC Single-Cell Image Dataset. Files that exist are not fetched again."""
    with one_line_errors(PROGRAM):
        from napari_ic_train.data import fetch as fetching
        from napari_ic_train.data.choice import Choice
        from napari_ic_train.data.source import PUBLIC_DATASET, Source

        try:
            with progress_bar("B") as move:
                plan = fetching.plan_fetch(
                    Source.at(source or PUBLIC_DATASET, endpoint=endpoint),
                    out,
                    Choice(_words(structures), cells, _words(stages), seed, keep_outliers, keep_edge),
                    workers=workers,
                    verify=cast("Verify", verify),
                    progress=move,
                )
            if dry_run:
                report(_summary(plan), as_json, _amount(plan))
                return
            typer.echo(_amount(plan), err=True)
            with progress_bar("B") as move:
                fetched = fetching.fetch(plan, workers=workers, verify=cast("Verify", verify), progress=move)
        except KeyboardInterrupt:
            typer.echo(f"{PROGRAM}: stopped. Finished files stay; the same command continues.", err=True)
            raise typer.Exit(130) from None
    report(_summary(plan) | _outcome(fetched), as_json, _in_words(fetched))
    if fetched.problems:
        raise typer.Exit(1)


def _words(listed: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (listed or "").split(",") if word.strip())


def _amount(plan: Plan) -> str:
    """Return the number of cells and files, and their size."""
    from napari_ic_train.data.fetch import gigabytes

    lines = [
        f"{plan.n_cells} cells of {len(plan.cells)} structures in {len(plan.files)} files: "
        f"{gigabytes(plan.bytes_in_all)}, of which {gigabytes(plan.bytes_here)} are here; "
        f"{gigabytes(plan.bytes_free)} are free."
    ]
    if plan.estimated:
        lines.append(f"The size is extrapolated from {len(plan.known)} of the files, drawn at random.")
    return "\n".join(lines)


def _in_words(fetched: Fetched) -> str:
    from napari_ic_train.data.fetch import REPORT, TABLE

    plan = fetched.plan
    proofs = ", ".join(f"{count} by {proof}" for proof, count in fetched.proven_by.items())
    lines = [
        f"Fetched {len(fetched.complete)} of {plan.n_cells} cells: {plan.out / TABLE}",
        f"Verified: {proofs}.",
    ]
    if fetched.problems:
        lines.append(
            f"{len(fetched.problems)} files failed: {plan.out / REPORT} says which and why; "
            "the same command tries them again."
        )
    return "\n".join(lines)


def _summary(plan: Plan) -> dict[str, Any]:
    return {
        "source": plan.source.url,
        "out": str(plan.out),
        "cells": {gene: len(cells) for gene, cells in plan.cells.items()},
        "files": len(plan.files),
        "bytes": plan.bytes_in_all,
        "bytes_here_before": plan.bytes_here,
        "bytes_free": plan.bytes_free,
        "estimated": plan.estimated,
    }


def _outcome(fetched: Fetched) -> dict[str, Any]:
    from napari_ic_train.data.fetch import REPORT, TABLE

    return {
        "manifest": str(fetched.plan.out / TABLE),
        "report": str(fetched.plan.out / REPORT),
        "complete": len(fetched.complete),
        "verified": fetched.proven_by,
        "failed": {path: str(problem) for path, problem in fetched.problems.items()},
    }
