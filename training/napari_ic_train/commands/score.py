"""``napari-ic-train score``: score a bundle, and write the scores into its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ic_train.commands import PROGRAM, BundleArgument, JsonOption, WorkersOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def score(
    bundle: BundleArgument,
    real: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a real field with cell_labels, nucleus_labels and tomm20_mask as .ome.tif."
        ),
    ] = None,
    cells: Annotated[int, typer.Option(min=1, help="Number of unseen simulated cells to score on.")] = 220,
    workers: WorkersOption = None,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write the scores into the bundle's model card.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Score where a model predicts structures, in unseen simulated cells and in a real field of cells."""
    with one_line_errors(PROGRAM), progress_bar() as move:
        from napari_ic_train.bundle.model_card import verdicts
        from napari_ic_train.evaluation.card_scores import score_bundle
        from napari_integrated_cell.model.bundle import load_model

        metrics = score_bundle(bundle, real=real, n_cells=cells, workers=workers, write=write, progress=move)
        structures = load_model(bundle, device="cpu").config.structures
    lines = [
        f"{'not measured' if measured is None else f'{measured:.3f}':>12}  wanted {least:.3f}  {what}"
        for what, least, measured, _ in verdicts(metrics, structures)
    ]
    report(metrics, as_json, "\n".join(lines))
