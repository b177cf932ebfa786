"""Write the report as one self-contained HTML page, with inline pictures and tables that sort."""

from __future__ import annotations

import base64
import csv
import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.evaluated import Evaluated, Section, Settings
from napari_ic_train.evaluation.experiment import SPLITS
from napari_ic_train.evaluation.findings import Figure, Interval
from napari_ic_train.evaluation.selection import SIDE_WORDS
from napari_integrated_cell import __version__
from napari_integrated_cell.imaging.atomic import atomic_write

TEMPLATE = Path(__file__).with_name("page.html")
HEADLINE = "headline.csv"

_IDENTITY = re.compile(r'(\bid="|"#|url\(#)')
_NOT_IN_IDS = re.compile(r"[^\w-]")


def write_page(path: Path, results: Sequence[Evaluated], store: CellStore, settings: Settings) -> None:
    """Write the page, and ``headline.csv`` beside it.

    Parameters
    ----------
    path : path
        Path of the page.
    results : sequence of Evaluated
        Results so far, one for each bundle.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    environment.filters |= {"number": _number, "exact": _exact, "inline": _inline}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    headline = _headline(results)
    with atomic_write(path) as part:
        part.write_text(
            template.render(**_content(results, store, settings), headline=headline), encoding="utf-8"
        )
    lines = [["figure", "experiment", *(f"{b.name}{s}" for b in results for s in ("", " low", " high"))]]
    for row in headline["rows"]:
        numbers = [number for cell in row["cells"][: len(results)] for number in cell]
        lines.append([row["name"], row["anchor"], *numbers])
    with atomic_write(path.with_name(HEADLINE)) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def _content(results: Sequence[Evaluated], store: CellStore, settings: Settings) -> dict[str, Any]:
    names = [bundle.name for bundle in results]
    experiments: dict[str, list[tuple[str, Section]]] = {}
    for bundle in results:
        for section in bundle.sections:
            experiments.setdefault(section.experiment.name, []).append((bundle.name, section))
    counts = {split: len(cells_of(store, held_out=split == "test")) for split in SPLITS}
    limit = "all cells" if settings.cells is None else f"at most {settings.cells} cells of each kind"
    return {
        "title": f"Evaluation of {', '.join(names)}",
        "simulated": _simulated(results, store),
        "summary": f"The store {store.path.name} has {counts['train']} training cells and {counts['test']} held-out "
        f"cells ({store.source}). This report uses {limit}{SIDE_WORDS[settings.side]}. Number of draws: "
        f"{settings.draws}. Random seed: {settings.seed}. The report's folder has every table as a CSV file, every "
        "picture as a file, and all values of an experiment in findings.json.",
        "bundles": results,
        "set_aside": [bundle.set_aside for bundle in results if bundle.set_aside],
        "several": len(results) > 1,
        "experiments": list(experiments.values()),
        "footer": f"napari-integrated-cell {__version__}, after Johnson et al., Building a 3D Integrated Cell.",
    }


def _simulated(results: Sequence[Evaluated], store: CellStore) -> str:
    models = [bundle.name for bundle in results if bundle.trained_on == "simulated cells"]
    sentences = []
    if store.simulated:
        sentences.append("The cells of this store are simulated. The results say nothing about real cells.")
    if models:
        sentences.append(f"Trained on simulated cells: {', '.join(models)}.")
    return " ".join(sentences)


def _headline(results: Sequence[Evaluated]) -> dict[str, Any]:
    """Return the headline table: a row for each value, a column for each bundle, and their mean and deviation."""
    found: dict[tuple[str, str, str], dict[str, float | Interval]] = {}
    for bundle in results:
        for section in bundle.sections:
            if section.findings is not None:
                for name, value in section.findings.headline.items():
                    key = (section.experiment.name, section.experiment.title, name)
                    found.setdefault(key, {})[bundle.name] = value
    several = len(results) > 1
    rows = []
    for (anchor, title, name), values in found.items():
        cells = [_numbers(values.get(bundle.name)) for bundle in results]
        if several:
            known = [value for value, _, _ in cells if value is not None]
            cells.append(_numbers(statistics.fmean(known) if known else None))
            cells.append(_numbers(statistics.stdev(known) if len(known) > 1 else None))
        rows.append({"anchor": anchor, "title": title, "name": name, "cells": cells})
    names = [bundle.name for bundle in results]
    spread = ["mean of bundles", "standard deviation"] if several else []
    return {"columns": ["value", "experiment", *names, *spread], "rows": rows}


def _numbers(value: float | Interval | None) -> list[float | None]:
    """Return a headline value and the ends of its interval; None for each that is not a finite number."""
    numbers = (value.value, value.low, value.high) if isinstance(value, Interval) else (value, None, None)
    return [None if n is None or not math.isfinite(n) else float(n) for n in numbers]


def _exact(value: float | None) -> str:
    """Return all digits of a number, by which a column is sorted; empty if there is no number."""
    return "" if value is None or not math.isfinite(value) else repr(value)


def _number(value: float | None) -> str:
    """Format a number with four significant digits; a dash if there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value)}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def _inline(figure: Figure, prefix: str) -> Any:
    """Return a figure as markup; a prefix makes the ids of an SVG unique on the page."""
    prefix = _NOT_IN_IDS.sub("-", f"{prefix}-")
    from markupsafe import Markup, escape

    if figure.kind == "png":
        data = base64.b64encode(figure.content).decode()
        return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(escape(figure.title), data)
    text = _IDENTITY.sub(lambda found: found.group(1) + prefix, figure.content.decode())
    # Matplotlib escaped the text of the picture: it is safe as markup.
    return Markup(
        text[text.index("<svg") :].replace(
            "<svg ", f'<svg role="img" aria-label="{escape(figure.title)}" ', 1
        )
    )
