"""``napari-ic-train evaluate``: run the experiments on bundles and write a report."""

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
            help="Paths of bundles, or names that `napari-ic models` lists. The report compares several bundles.",
        ),
    ],
    data: Annotated[Path, typer.Option(help="Prepared store with held-out cells.")],
    out: Annotated[Path, typer.Option(help="Folder of the report. A stopped report is continued.")],
    only: Annotated[
        list[str] | None, typer.Option(help="Run this experiment only. Repeat it for several.")
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of training cells, and of held-out cells; all if left out."),
    ] = None,
    draws: Annotated[int, typer.Option(min=2, help="Number of draws of each structure in each cell.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Random seed. The same seed gives the same report.")] = 0,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of the bundle, for the training curves; `run` beside the bundle if left out."
        ),
    ] = None,
    side: Annotated[
        str,
        typer.Option(
            help="Which cells of the store to use: both sides of its split, train or test alone, or all, which count "
            "as held out: for a model that was not fitted on this store."
        ),
    ] = "both",
    decoded_at: Annotated[
        str | None,
        typer.Option(
            help="Where encoded cells are decoded: predicted (label and z^r of Enc^{r,s}) or target (the known label, "
            "and z^r of Enc^r). As the bundle was trained if left out."
        ),
    ] = None,
    variation_cells: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of cells of each side and group, Figures S7 and S8."),
    ] = 6,
    correlation_cells: Annotated[
        int, typer.Option(min=2, help="Maximum number of cells of each structure and side, Figure S6.")
    ] = 60,
    inception_cells: Annotated[
        int, typer.Option(min=1, help="Maximum number of training cells, Table S10.")
    ] = 1100,
    batch: Annotated[int, typer.Option(min=1, help="Number of cells in a batch.")] = 16,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Write the headline values into the model cards.")
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Run the experiments of section 3.4 and additional ones on bundles, and write one HTML report.

    Finished experiments are read from the report's folder if the bundle, the store, the settings and the version are
    the same. To continue a stopped report, repeat the command.
    """
    with one_line_errors(PROGRAM), progress_bar() as move:
        from importlib.util import find_spec

        from napari_ic_train.data.store import CellStore
        from napari_ic_train.evaluation.caps import Caps
        from napari_ic_train.evaluation.evaluated import settings_of
        from napari_ic_train.evaluation.report import PAGE
        from napari_ic_train.evaluation.report import evaluate as run_experiments
        from napari_ic_train.run.watching import missing

        if find_spec("matplotlib") is None:
            raise ImportError(missing("matplotlib"))
        if run is not None and len(bundles) > 1:
            raise ValueError(
                "--run is for one bundle, and several are given: leave out --run, or give one bundle."
            )
        settings = settings_of(
            only=tuple(only or ()),
            cells=cells,
            draws=draws,
            seed=seed,
            device=device,
            batch_size=batch,
            side=side,
            decoded_at=decoded_at,
            caps=Caps(variation_cells, correlation_cells, inception_cells),
        )
        store = CellStore(data)
        found = run_experiments(bundles, store, out, settings, run=run, progress=move)
        if write_card:
            from napari_ic_train.evaluation.card_scores import report_in_card

            for path, evaluated in zip(bundles, found, strict=True):
                report_in_card(path, evaluated, store)
    summary: dict[str, Any] = {"report": str(out / PAGE), "bundles": {}}
    lines = []
    for bundle in found:
        if bundle.set_aside:
            lines.append(f"{bundle.name}: {bundle.set_aside}")
        figures: dict[str, Any] = {}
        for section in bundle.sections:
            if section.findings is None:
                name = section.experiment.name
                hint = " Give it with --run." if name == "training-curves" and not run else ""
                lines.append(f"{bundle.name}: {name} did not run. {section.missing}{hint}")
                continue
            for name, value in section.findings.headline.items():
                number = value if isinstance(value, int | float) else value.value
                figures[name] = None if number != number else number
                lines.append(f"{bundle.name}: {name}: {number:.4g}")
        summary["bundles"][bundle.name] = figures
        if bundle.set_aside:
            summary.setdefault("set_aside", {})[bundle.name] = bundle.set_aside
    report(summary, as_json, "\n".join([*lines, f"The report is {out / PAGE}."]))
