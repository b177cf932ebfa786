"""What a command imports. Large libraries take seconds, so each is imported only where it is used."""

from __future__ import annotations

import json
import subprocess
import sys

from tiny_fields import write_labels, write_model

SLOW = (
    "torch._dynamo",
    "torch._inductor",
    "sklearn",
    "skimage",
    "dask",
    "distributed",
    "xarray",
    "pandas",
    "pyarrow",
)
SCRIPT = """
import json, sys
from napari_integrated_cell.cli import app
try:
    app(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def imported(*arguments) -> set[str]:
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_integrating_a_cell_imports_only_what_it_uses(tmp_path):
    write_model(tmp_path / "tiny.zip")
    write_labels(tmp_path, "cells.ome.tif", "nuclei.ome.tif")
    modules = imported(
        *("integrate", "--cells", tmp_path / "cells.ome.tif", "--nuclei", tmp_path / "nuclei.ome.tif"),
        *("--label", "all", "--model", tmp_path / "tiny.zip", "--out", tmp_path / "out.ome.tiff"),
    )
    assert "torch" in modules
    assert modules.isdisjoint((*SLOW, "bioio", "aicsimageio"))


def test_the_help_imports_neither_torch_nor_readers():
    modules = imported("integrate", "--help")
    assert modules.isdisjoint((*SLOW, "torch", "bioio", "aicsimageio"))
