"""Adapt a bundle to real cells with several seeds, and compare it with the mean image on held-out cells.

Each seed prepares the table with its own split, fits from the bundle, and prints the mean Pearson correlation inside
held-out cells of the prediction from the cell's own shape, of the mean image of the training cells, and of the
prediction from another cell's shape. Finished stores and runs in ``--out`` are used again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np


def scores_of(seed: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the scores of each structure for the split and the run of one seed."""
    from napari_ic_train.bundle.fitted import fitted_model
    from napari_ic_train.bundle.localisation_scores import score_localisation
    from napari_ic_train.config import validated
    from napari_ic_train.data.prepare import prepare
    from napari_ic_train.data.store import CellStore
    from napari_ic_train.fit.adapting import adapting_config
    from napari_ic_train.fit.fit_store import fit_store
    from napari_integrated_cell.integration import model_box
    from napari_integrated_cell.model.catalogue import read_manifest

    store = prepare(
        options.table,
        options.out / f"store-{seed}",
        model_box(read_manifest(options.bundle).config),
        test_fraction=options.test_fraction,
        seed=seed,
        keep_other=True,
        workers=options.workers,
    )
    config = adapting_config(options.bundle, CellStore(store.path, "train"))
    run = options.out / f"run-{seed}"
    fit_store(store.path, validated(config.model_dump() | {"seed": seed}), run, device="cpu")
    model = fitted_model(run)
    return score_localisation(model, store.in_classes_of(model.config.structures)) or {}


def main() -> None:
    """Print a table for each seed, and the means over seeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="a table of segmented cells with images of structures")
    parser.add_argument("--bundle", default="demo")
    parser.add_argument("--out", type=Path, required=True, help="folder of the stores and runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--test-fraction", type=float, default=0.3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found = {}
    for seed in options.seeds:
        found[seed] = scores_of(seed, options)
        print_scores(f"seed {seed}", found[seed])
    names = [name for name in found[options.seeds[0]] if all(name in one for one in found.values())]
    print_scores(
        "mean over seeds",
        {
            name: {
                key: float(np.mean([one[name][key] for one in found.values()]))
                for key in found[options.seeds[0]][name]
            }
            for name in names
        },
    )


def print_scores(title: str, scores: dict[str, dict[str, float]]) -> None:
    """Print one line for each structure."""
    print(f"\n{title:20}{'cells':>7}{'model':>9}{'mean image':>12}{'other shape':>13}", flush=True)
    for name, one in scores.items():
        figures = (one["model"], one["mean_image"], one["other_shape"])
        print(
            f"{name:20}{one['cells']:7.1f}{figures[0]:9.3f}{figures[1]:12.3f}{figures[2]:13.3f}", flush=True
        )


if __name__ == "__main__":
    main()
