"""The report as one self-contained page: pictures inline, tables that sort, light or dark as the reader has it."""

from __future__ import annotations

import base64
import csv
import math
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.experiment import SPLITS, Figure, Interval, Value
from napari_integrated_cell import __version__

if TYPE_CHECKING:
    from napari_ic_train.data.store import CellStore
    from napari_ic_train.evaluation.evaluated import Evaluated, Section, Settings

TEMPLATE = Path(__file__).with_name("page.html")
HEADLINE = "headline.csv"

_IDENTITY = re.compile(r'(\bid="|"#|url\(#)')
_UNFIT = re.compile(r"[^\w-]")


def write_page(path: Path, results: Sequence[Evaluated], store: CellStore, settings: Settings) -> None:
    """Write the page, and the headline figures as a CSV beside it, aside and renamed.

    Parameters
    ----------
    path : path
        Of the page.
    results : sequence of Evaluated
        What was found so far, a bundle each.
    store : CellStore
    settings : Settings
    """
    from jinja2 import Environment, StrictUndefined

    room = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = room.from_string(TEMPLATE.read_text(encoding="utf-8"))
    headline = _headline(results)
    _write(path, template.render(**_content(results, store, settings), headline=headline))
    lines = [["figure", "experiment", *(f"{b.name}{s}" for b in results for s in ("", " low", " high"))]]
    for row in headline["rows"]:
        numbers = [n for cell in row["cells"][: len(results)] for n in cell["numbers"]]
        lines.append([row["name"], row["anchor"], *numbers])
    aside = path.with_name(f".{HEADLINE}.part")
    with aside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    os.replace(aside, path.with_name(HEADLINE))


def _content(results: Sequence[Evaluated], store: CellStore, settings: Settings) -> dict[str, Any]:
    names = [bundle.name for bundle in results]
    experiments: dict[str, dict[str, Any]] = {}
    for bundle in results:
        for section in bundle.sections:
            about = section.experiment
            shown = experiments.setdefault(
                about.name,
                {"name": about.name, "title": about.title, "section": about.section, "parts": []},
            )
            shown["parts"].append({"bundle": bundle.name, **_part(section)})
    counts = {split: len(cells_of(store, held_out=split == "test")) for split in SPLITS}
    limit = "all of them" if settings.cells is None else f"at most {settings.cells} of each side"
    return {
        "title": f"Evaluation of {', '.join(names)}",
        "simulated": _simulated(results, store),
        "summary": f"Store {store.path.name}: {counts['train']} training and {counts['test']} held-out cells "
        f"({store.source}); used are {limit}. Draws: {settings.draws}, seed: {settings.seed}. Every table is a CSV and "
        "every picture a file in the report's folder, all figures of an experiment in its findings.json.",
        "bundles": results,
        "several": len(results) > 1,
        "experiments": list(experiments.values()),
        "footer": f"napari-integrated-cell {__version__}, after Johnson et al., Building a 3D Integrated Cell.",
    }


def _simulated(results: Sequence[Evaluated], store: CellStore) -> str:
    models = [bundle.name for bundle in results if bundle.trained_on == "simulated cells"]
    said = []
    if store.simulated:
        said.append("The cells of this store are simulated: no figure here speaks of real cells.")
    if models:
        said.append(f"Trained on simulated cells: {', '.join(models)}.")
    return " ".join(said)


def _part(section: Section) -> dict[str, Any]:
    found = section.findings
    if found is None:
        missing = section.missing or "it was not reached."
        return {"missing": missing, "paragraphs": [], "figures": [], "tables": [], "files": ""}
    return {
        "missing": "",
        "paragraphs": [p for p in found.notes.split("\n\n") if p.strip()],
        "figures": [
            {
                "title": figure.title,
                "note": figure.note,
                "content": _inline(figure, f"{_UNFIT.sub('-', section.folder)}-{i}-"),
            }
            for i, figure in enumerate(found.figures)
        ],
        "tables": [
            {
                "title": table.title,
                "note": table.note,
                "columns": table.columns,
                "rows": [[_cell(value) for value in row] for row in table.rows],
            }
            for table in found.tables
        ],
        "files": section.folder,
    }


def _headline(results: Sequence[Evaluated]) -> dict[str, Any]:
    """A row a figure, a column a bundle; with several bundles also their mean and standard deviation."""
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
        cells = [_merit(values.get(bundle.name)) for bundle in results]
        if several:
            numbers = [c["numbers"][0] for c in cells if c["numbers"][0] is not None]
            cells.append(_merit(statistics.fmean(numbers) if numbers else None))
            cells.append(_merit(statistics.stdev(numbers) if len(numbers) > 1 else None))
        rows.append({"anchor": anchor, "title": title, "name": name, "cells": cells})
    names = [bundle.name for bundle in results]
    spread = ["mean of bundles", "standard deviation"] if several else []
    return {"columns": ["figure", "experiment", *names, *spread], "rows": rows}


def _merit(value: float | Interval | None) -> dict[str, Any]:
    if isinstance(value, Interval):
        numbers = [_known(v) for v in (value.value, value.low, value.high)]
        between = f"{_number(numbers[1])} to {_number(numbers[2])}" if None not in numbers else ""
    else:
        numbers, between = [_known(value), None, None], ""
    return {
        "text": _number(numbers[0]),
        "interval": between,
        "sort": "" if numbers[0] is None else repr(numbers[0]),
        "numbers": numbers,
    }


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _cell(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value, "word": True, "sort": ""}
    return {
        "text": _number(value),
        "word": False,
        "sort": "" if value is None or not math.isfinite(value) else repr(value),
    }


def _number(value: float | None) -> str:
    """Four digits that count; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value)}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def _inline(figure: Figure, prefix: str) -> Any:
    """A figure as markup; the names inside an SVG are made its own, for they share the page with others'."""
    from markupsafe import Markup, escape

    if figure.kind == "png":
        data = base64.b64encode(figure.content).decode()
        return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(escape(figure.title), data)
    words = _IDENTITY.sub(lambda found: found.group(1) + prefix, figure.content.decode())
    # The picture is the report's own; it holds no word that anybody else wrote but structures' names, escaped.
    return Markup(
        words[words.index("<svg") :].replace(
            "<svg ", f'<svg role="img" aria-label="{escape(figure.title)}" ', 1
        )
    )


def _write(path: Path, words: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(words, encoding="utf-8")
    os.replace(aside, path)
