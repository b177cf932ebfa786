"""Fit the demo preset in one process on one and on all threads, and in two processes of torchrun on one thread each.

The script simulates and prepares a few hundred cells, runs ``napari-ic-train fit`` as a user does, and prints the
cells a second of the best epoch. The processes share the gradients over gloo. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from napari_ic_train.data.prepare import prepare
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.simulation import write_dataset

_RATE = re.compile(r"\(([\d.]+) cells/s")


def cells_a_second(store: Path, out: Path, start: list[str], threads: int, epochs: int) -> float:
    """Fit phase 1 and return the speed of its fastest epoch; the first one also warms up."""
    command = [
        *start, "-m", "napari_ic_train.cli", "fit", "--data", str(store), "--out", str(out), "--preset", "demo",
        "--phase", "reference", "--epochs", str(epochs), "--device", "cpu", "--set", "picture_every=0",
    ]  # fmt: skip
    said = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True
    )
    found = [float(rate) for rate in _RATE.findall(said.stdout + said.stderr)]
    if said.returncode or not found:
        raise SystemExit(f"{' '.join(command)} failed:\n{said.stderr[-2000:]}")
    return max(found)


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--cells", type=int, default=240)
    arguments.add_argument("--epochs", type=int, default=4)
    given = arguments.parse_args()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    ways = {
        "one process, one thread": ([sys.executable], 1),
        f"one process, {os.cpu_count()} threads": ([sys.executable], os.cpu_count() or 1),
        "two processes of torchrun (gloo), one thread each": ([sys.executable, *torchrun, sys.executable], 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        table = write_dataset(where / "cells", given.cells, seed=1, voxel_size=0.4)
        prepare(table, where / "store", model_box(preset("demo")), references="mixed")
        print("| demo preset, phase 1 | cells a second | ratio |\n| --- | --- | --- |")
        first = 0.0
        for number, (name, (start, threads)) in enumerate(ways.items()):
            rate = cells_a_second(where / "store", where / f"run{number}", start, threads, given.epochs)
            first = first or rate
            print(f"| {name} | {rate:.1f} | {rate / first:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
