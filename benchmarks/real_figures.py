"""Measure a model on all given real cells, and write the page docs/real-cells.md.

python benchmarks/real_figures.py --data ../shared/data --model demo --beside refitted.zip
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_ic_train.evaluation.real.datasets import found_sets
from napari_ic_train.evaluation.real.page import real_page
from napari_ic_train.evaluation.real.scores import Localisation, SetScores, localisation, score_set
from napari_integrated_cell.console import progress_bar
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.model.bundle import load_model

PAGE = Path(__file__).resolve().parents[1] / "docs" / "real-cells.md"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sets")
    parser.add_argument("--model", default="demo", help="a bundle, or the name of one")
    parser.add_argument(
        "--beside", action="append", default=[], help="another bundle beside it; can be repeated"
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    sets = found_sets(given.data)
    absent = [name for name, folder in sets.items() if folder is None]
    for name in absent:
        print(f"{name} is not in {given.data}: it is skipped.", file=sys.stderr)
    if len(absent) == len(sets):
        print(f"There are no real cells in {given.data}: {given.out} is not written.", file=sys.stderr)
        return 0
    models = {Path(name).stem: load_model(name, device="cpu") for name in (given.model, *given.beside)}
    if len(models) <= len(given.beside):
        print("Two bundles have the same name: rename one of them.", file=sys.stderr)
        return 1
    measured: dict[str, dict[str, SetScores]] = {}
    places: dict[tuple[str, str, str], Localisation | None] = {}
    with progress_bar() as move:
        for name, folder in sets.items():
            if folder is None:
                continue
            measured[name] = {
                label: score_set(folder, bundle, progress=move)
                for label, bundle in zip(models, (given.model, *given.beside), strict=True)
            }
            for label, scores in measured[name].items():
                for structure, observed in scores.observed.items():
                    width = models[label].config.voxel_size / 2
                    places[name, structure, label] = localisation(observed, width)
                scores.observed.clear()  # whole volumes
    trained_on = {label: model.trained_on or "unknown cells" for label, model in models.items()}
    with atomic_write(given.out) as part:
        part.write_text(real_page(measured, places, models=trained_on, absent=absent), encoding="utf-8")
    print(f"The figures are in {given.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
