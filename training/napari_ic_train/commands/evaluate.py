"""``napari-ic-train evaluate``: the paper's experiments, and those past them, as one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, JsonOption
from napari_integrated_cell.console import one_line_errors, progress_bar, report


def evaluate(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE...",
            help="Paths of bundles, or names that `napari-ic models` lists; several are set side by side.",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="A prepared store, with held-out cells.")],
    out: Annotated[Path, typer.Option("--out", help="The report's folder; one begun there goes on.")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Perform this experiment alone; may be given again.")
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option("--cells", min=1, help="Cells of each side of the split at most; all when left out."),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=2, help="Draws per cell and structure, where an experiment draws.")
    ] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same report.")] = 0,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", help="The bundle's run, for its curves; looked for beside the bundle if left out."
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Cells computed at once.")] = 16,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Write the headline figures into the bundles' model cards.")
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Perform the experiments of section 3.4 and those past them on bundles, into one HTML report.

    What was done before is read back, if bundle, store, settings and the experiment are still the same: a report
    that was stopped goes on with the same command.
    """
    with one_line_errors(PROGRAM), progress_bar() as move:
        from importlib.util import find_spec

        from napari_ic_train.data.store import CellStore
        from napari_ic_train.evaluation.evaluated import Settings
        from napari_ic_train.evaluation.report import PAGE
        from napari_ic_train.evaluation.report import evaluate as performed
        from napari_ic_train.run.watching import missing

        if find_spec("matplotlib") is None:
            raise ImportError(missing("matplotlib"))
        settings = Settings(tuple(only or ()), cells, draws, seed, device, batch)
        store = CellStore(data)
        found = performed(bundles, store, out, settings, run=run, progress=move)
        if write_card:
            from napari_ic_train.evaluation.card_scores import report_in_card

            for path, evaluated in zip(bundles, found, strict=True):
                report_in_card(path, evaluated, store)
    summary: dict[str, Any] = {"report": str(out / PAGE), "bundles": {}}
    lines = []
    for bundle in found:
        figures: dict[str, Any] = {}
        for section in bundle.sections:
            if section.findings is None:
                lines.append(f"{bundle.name}: {section.experiment.name} was not done. {section.missing}")
                continue
            for name, value in section.findings.headline.items():
                number = value if isinstance(value, int | float) else value.value
                figures[name] = None if number != number else number
                lines.append(f"{bundle.name}: {name}: {number:.4g}")
        summary["bundles"][bundle.name] = figures
    report(summary, as_json, "\n".join([*lines, f"The report is {out / PAGE}."]))
