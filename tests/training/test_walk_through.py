"""The walk-through of the docs, run as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_integrated_cell.model.bundle import load_model

WALK = Path(__file__).parents[2] / "docs" / "walk-through.md"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the walk-through is written for a POSIX shell")
@pytest.mark.timeout(1200)
def test_the_walk_through_runs_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh run\n(.*?)```", WALK.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 6
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr[-3000:]
    walk = tmp_path / "walk"
    model = load_model(str(walk / "first-try"))
    assert model.card["simulated"]
    assert model.card["metrics"]["simulated"]["n_cells"] == 22
    assert len(model.landmarks) == 8
    assert model.latent is not None
    assert list((walk / "demo").glob("*.png"))
    assert (walk / "posed.png").stat().st_size > 0
    assert list((walk / "run" / "pictures").rglob("*.png"))
