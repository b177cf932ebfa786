"""Store findings on disk: ``findings.json``, a CSV file for each table and a picture for each figure."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_ic_train.evaluation.findings import Figure, Findings, Interval, Table
from napari_integrated_cell.imaging.atomic import atomic_write

FINDINGS = "findings.json"


def write_findings(folder: Path, findings: Findings, facts: Mapping[str, Any]) -> None:
    """Write the findings of an experiment into its folder, completely or not at all.

    Parameters
    ----------
    folder : path
        Its previous content is replaced.
    facts : mapping
        What the findings are about, for the JSON file. ``"fingerprint"`` identifies them for `read_findings`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder) as part:
        part.mkdir()
        _fill(part, findings, facts)


def read_findings(folder: Path, fingerprint: str) -> Findings | None:
    """Return stored findings; None if there are none with this fingerprint, or if they are damaged."""
    try:
        content = json.loads((folder / FINDINGS).read_text(encoding="utf-8"))
        if content["fingerprint"] != fingerprint:
            return None
        return Findings(
            {name: _headline_value(value) for name, value in content["headline"].items()},
            tuple(
                Table(t["title"], tuple(t["columns"]), [list(row) for row in t["rows"]], t["note"])
                for t in content["tables"]
            ),
            tuple(
                Figure(f["title"], (folder / f["file"]).read_bytes(), f["note"]) for f in content["figures"]
            ),
            content["notes"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fill(folder: Path, findings: Findings, facts: Mapping[str, Any]) -> None:
    tables, figures = [], []
    for table, name in zip(findings.tables, _names([t.title for t in findings.tables]), strict=True):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([table.columns, *table.rows])
        tables.append({**asdict(table), "file": f"{name}.csv"})
    for figure, name in zip(findings.figures, _names([f.title for f in findings.figures]), strict=True):
        (folder / f"{name}.{figure.kind}").write_bytes(figure.content)
        figures.append({"title": figure.title, "note": figure.note, "file": f"{name}.{figure.kind}"})
    content = {
        **facts,
        "headline": {
            name: asdict(value) if isinstance(value, Interval) else value
            for name, value in findings.headline.items()
        },
        "notes": findings.notes,
        "tables": tables,
        "figures": figures,
    }
    (folder / FINDINGS).write_text(
        json.dumps(_finite(content), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )


def _headline_value(value: Any) -> float | Interval:
    if isinstance(value, dict):
        return Interval(*(math.nan if value[k] is None else value[k] for k in ("value", "low", "high")))
    return math.nan if value is None else value


def _finite(value: Any) -> Any:
    """Return a value that JSON can hold: null for NaN and infinity, plain numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _names(titles: list[str]) -> list[str]:
    """Return a unique file name for each title."""
    names: list[str] = []
    for title in titles:
        plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "untitled"
        name, n = plain, 2
        while name in names:
            name, n = f"{plain}-{n}", n + 1
        names.append(name)
    return names
