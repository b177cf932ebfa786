"""Run all benchmarks of speed, print one table, and compare it with the committed ratios.

Each row has the time now, that of a plain implementation, and the machine's limit, all measured in this run. Ratios are
compared with ``baseline.json``, because they depend less on the machine than times do: the script says what became
slower by more than 10 %. ``--write-baseline`` replaces it. The rows are also written to ``build/benchmarks.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from measuring import Row

BASELINE = Path(__file__).parent / "baseline.json"
OUT = Path("build/benchmarks.json")
SLOWER = 0.9


def in_units(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def print_table(rows: Iterable[Row]) -> list[Row]:
    """Print rows as they come, in Markdown."""
    print("| task | now | plain | ratio | limit | share of the limit | the limit is |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    shown = []
    for row in rows:
        ratio = "-" if math.isnan(row.ratio) else f"{row.ratio:.1f}"
        share = "-" if math.isnan(row.share) else f"{100 * row.share:.0f} %"
        cells = (
            row.task,
            in_units(row.now),
            in_units(row.plain),
            ratio,
            in_units(row.limit),
            share,
            row.bound,
        )
        print("| " + " | ".join(cells) + " |", flush=True)
        shown.append(row)
    return shown


def all_rows() -> Iterable[Row]:
    import files
    import first_picture
    import main_job
    import making_cells
    import networks
    import resampling
    import training_steps

    for module in (main_job, first_picture, resampling, files, networks, making_cells, training_steps):
        yield from module.rows()


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--write-baseline", action="store_true", help="keep the ratios of this run")
    given = arguments.parse_args()
    started = time.perf_counter()
    rows = print_table(all_rows())
    ratios = {row.task: round(row.ratio, 2) for row in rows if not math.isnan(row.ratio)}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(f"\n{time.perf_counter() - started:.0f} s; rows in {OUT}")
    if given.write_baseline:
        BASELINE.write_text(json.dumps(ratios, indent=1, ensure_ascii=False) + "\n")
        return 0
    before = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    slower = {task: r for task, r in ratios.items() if r < SLOWER * before.get(task, 0)}
    for task, ratio in slower.items():
        print(f"slower than before: {task}: {ratio} times the plain implementation, before {before[task]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
