"""``napari-ic-train variation``: score how much structures vary in held-out cells, into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_ic_train.commands import (
    PROGRAM,
    BundleArgument,
    DeviceOption,
    DrawFromOption,
    JsonOption,
    WorkersOption,
    name_option,
)
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def variation(
    bundle: BundleArgument,
    data: Annotated[Path | None, typer.Option(help="The store that it was fitted on.")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Table that the store was prepared from. By default it is searched in the folders above the images."
        ),
    ] = None,
    cells: Annotated[
        int, typer.Option(min=1, help="Number of held-out cells in interphase, and in mitosis.")
    ] = 20,
    draws: Annotated[int, typer.Option(min=2, help="Number of draws of each structure in each cell.")] = 100,
    draw_from: DrawFromOption = None,
    truth: Annotated[
        bool,
        typer.Option(
            "--truth",
            help="Compare with the variation of the simulator's own draws, in unseen simulated cells. Writes nothing "
            "without --data.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed. The same seed gives the same draws.")] = 0,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score how much each structure varies if the cell's shape is known (Algorithm 4), in held-out cells.

    The scores become the bundle's reference distribution, for interphase and for mitosis.
    """
    with one_line_errors(PROGRAM), progress_bar() as move:
        if data is None and not truth:
            raise ValueError("Give the store of the held-out cells with --data.")

        from numpy import median

        from napari_ic_train.bundle.variation import ManifestNotFound, measure_bundle
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.evaluation.variation_order import score_order
        from napari_integrated_cell.model.bundle import load_model
        from napari_integrated_cell.model.conditional_prior import checked_draw_from

        where = checked_draw_from(draw_from)
        summary: dict[str, Any] = {"bundle": bundle}
        lines: list[str] = []
        if data is not None:
            with name_option(ManifestNotFound, "--manifest"):
                found = measure_bundle(
                    bundle,
                    CellStore(data),
                    manifest=manifest,
                    cells=cells,
                    draws=draws,
                    seed=seed,
                    draw_from=where,
                    device=device,
                    progress=move,
                )
            summary["reference"] = {
                "n": found.n,
                "draw_from": found.draw_from,
                "ridge": found.ridge,
                "cells": {group: len(ids) for group, ids in found.cells.items()},
                "median": {
                    name: {group: float(median(scores)) for group, scores in groups.items()}
                    for name, groups in found.scores.items()
                },
            }
            lines += [_line("median score of", *(f"{g} ({len(ids)})" for g, ids in found.cells.items()))]
            lines += [
                _line(name, *(f"{median(scores):.3f}" for scores in groups.values()))
                for name, groups in found.scores.items()
            ]
            lines.append(
                f"Scores of {draws} draws, written to {bundle}. A larger score means less variation."
            )
        if truth:
            model = load_model(bundle, device=device)
            order = score_order(model, draws=draws, draw_from=where, workers=workers, progress=move)
            summary["truth"] = order
            lines += [_line("mean score of", "model", "simulator", "rank", "simulator's")]
            lines += [
                _line(name, *(f"{order['interphase'][k][name]:.3f}" for k in _SHOWN))
                for name in model.config.structures
            ]
            lines.append(
                f"Spearman's correlation of the scores: {order['spearman']:.3f} in interphase, "
                f"{order['spearman_mitosis']:.3f} in mitosis."
            )
    report(summary, as_json, "\n".join(lines))


_SHOWN = ("scores", "simulator_scores", "effective_ranks", "simulator_effective_ranks")


def _line(first: str, *others: str) -> str:
    return f"{first:18}" + "".join(f"{other:>18}" for other in others)
