"""The page "From Python" of the docs, run as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_integrated_cell as nic

PAGE = Path(__file__).parents[1] / "docs" / "from-python.md"
CHECKED = """
import warnings
warnings.filterwarnings("error", "napari_integrated_cell", DeprecationWarning)
{code}
assert list(decoded) == ["membrane", "dna", "TOM20"] and decoded["dna"].shape == model.config.box
assert traversal[2].shape == traversal.shape[1:] and len(traversal) == 5
assert 0 < len(anaphase) < len(population)
assert variation.score > 0
"""


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert len(blocks) == 6
    assert len(lines) <= 30
    cell = nic.simulate_cell(seed=1).cell
    stains = {"CellMask": cell.channels["membrane"], "Hoechst": cell.channels["dna"]}
    nic.write_ome_tiff(tmp_path / "stack.ome.tiff", stains, cell.voxel_size)
    for name, mask in {"cells.tif": cell.cell_mask, "nuclei.tif": cell.nucleus_mask}.items():
        nic.write_ome_tiff(tmp_path / name, {"labels": mask.astype(np.uint8)}, cell.voxel_size)
    code = CHECKED.format(code="\n".join(blocks))
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-3000:]
    saved = nic.read_image(tmp_path / "cell.ome.tiff")
    assert saved.channel_names == ("membrane", "dna", "TOM20", "lamin-B1")
    assert (saved.data.shape[1:], saved.voxel_size) == (cell.shape, pytest.approx(cell.voxel_size))
    in_box = nic.read_image(tmp_path / "cell-in-box.ome.tiff")
    box = nic.preset("demo")
    assert (in_box.data.shape[1:], in_box.voxel_size) == (box.box, pytest.approx((box.voxel_size,) * 3))
    written = {"positions.csv", "walk.gif", "anaphase.parquet"}
    assert written <= {path.name for path in tmp_path.iterdir()}
