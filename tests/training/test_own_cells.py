"""The page about a user's own cells, run as it is written but for less time, on a few real HeLa cells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import read_model_card

PAGE = Path(__file__).parents[2] / "docs" / "own-cells.md"
SHORT = "--epochs 1 --set deformed_copies=2"


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the page is written for a POSIX shell")
def test_the_page_runs_as_written_on_a_few_cells(tmp_path: Path, real_data: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert SHORT in text
    commands = "\n".join(re.findall(r"```sh run\n(.*?)```", text, re.S))
    assert commands.count("fit --from demo") == 1
    commands = commands.replace("fit --from demo", f"fit --from demo {SHORT}")
    images = tmp_path / "own" / "images"
    images.mkdir(parents=True)
    for kind in ("Mit", "Nuc", "TfR"):
        for cell in sorted((real_data / "hela3d").glob(f"{kind}_*_protein.ome.tif"))[:8]:
            for file in cell.parent.glob(cell.name.replace("protein", "*")):
                (images / file.name).symlink_to(file)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr[-3000:]
    own = tmp_path / "own"
    model = load_model(own / "model", device="cpu")
    assert model.config.structures[-1] == "TFRC"
    assert not model.card["simulated"]
    assert model.card["adapted_from"]["model"] == "demo"
    assert set(model.card["metrics"]["localisation"]) <= {"TOM20", "fibrillarin", "TFRC"}
    assert "mean image" in read_model_card(own / "model")
    assert model.typicality is not None
    assert model.landmarks == ()
    assert (own / "posed.png").stat().st_size > 0
    assert (own / "model" / "cells.parquet").is_file()
