"""Check the percentiles of typicality: simulate cells that the model has not seen, and count those beyond each.

Of new simulated cells 5 % should lie beyond the 95th percentile of the distance. With ``--table`` the script reads
tables of results that ``napari-ic integrate --write none`` wrote, for example of real cells, and prints the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PERCENTILES = (50, 75, 90, 95, 99)


def print_shares(name: str, percentiles: Any, typical: Any) -> None:
    beyond = "".join(f"{100 * np.mean(np.asarray(percentiles) > p):8.1f} %" for p in PERCENTILES)
    print(f"{name[:34]:34} {len(percentiles):6} {beyond} {100 * (1 - np.mean(typical)):10.1f} %", flush=True)


def simulated(model_name: str, n: int, seed: int) -> list[Any]:
    """Return the typicality of new simulated cells, half of them rendered from their segmentations."""
    from napari_ic_train.data.prepare import prepare
    from napari_ic_train.data.store import CellStore
    from napari_integrated_cell.imaging.stained_masks import overlaps
    from napari_integrated_cell.integration import model_box
    from napari_integrated_cell.latent.embedding import embed_store
    from napari_integrated_cell.model.bundle import load_model
    from napari_integrated_cell.model.typicality import SHAPE_WORDS, mahalanobis
    from napari_integrated_cell.simulation import write_dataset

    model = load_model(model_name, device="cpu")
    if model.typicality is None or model.latent is None:
        raise SystemExit(f"The model {model.name!r} does not hold the distributions of known cells.")
    with tempfile.TemporaryDirectory() as folder:
        table = write_dataset(Path(folder) / "cells", n, seed=seed, voxel_size=0.4)
        prepare(table, Path(folder) / "store", model_box(model.config), references="mixed", seed=seed)
        store = CellStore(Path(folder) / "store")
        known = embed_store(store, model, np.arange(len(store)))
        distances = mahalanobis(known.z_ref, model.latent.z_ref)
        decoded = model.decode_reference(known.z_ref)
        found = []
        for index, distance in enumerate(distances):
            shape = {name: float(known.table[name].iloc[index]) for name in SHAPE_WORDS}
            both = overlaps(store.references([index])[0].numpy(), decoded[index])
            found.append(model.typicality.typicality(float(distance), both, shape))
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", default="demo")
    arguments.add_argument("--cells", type=int, default=500, help="number of cells to simulate; 0 for none")
    arguments.add_argument(
        "--seed", type=int, default=77, help="another seed than that of the training cells"
    )
    arguments.add_argument("--table", type=Path, action="append", default=[], help="a results.parquet")
    given = arguments.parse_args()
    print(f"{'':34} {'cells':>6} {''.join(f'{p:>10}' for p in PERCENTILES)} {'untypical':>12}")
    if given.cells:
        found = simulated(given.model, given.cells, given.seed)
        print_shares("new simulated cells", [t.percentile for t in found], [t.is_typical for t in found])
    for path in given.table:
        import pandas as pd

        rows = pd.read_parquet(path)
        rows = rows[rows["outcome"] == "ok"]
        print_shares(path.parent.name, rows["typicality_percentile"], rows["typical"].astype(bool))
    return 0


if __name__ == "__main__":
    sys.exit(main())
