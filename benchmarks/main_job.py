"""The main job as a user runs it: ``napari-ic integrate`` on one cell and on a whole field, from the shell.

The field is simulated: 13 cells on 65 x 624 x 924 voxels, like the real fields of the docs. With ``--field FOLDER`` the
script takes ``cell_labels.ome.tif`` and ``nucleus_labels.ome.tif`` from there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measuring import Row

VOXEL = (0.29, 0.108333, 0.108333)
SHAPE = (65, 624, 924)
_CALL = "from napari_integrated_cell.cli import app; app()"
_PLAIN = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom plain import plain_package\n"
_PLAIN += f"with plain_package():\n    {_CALL}"
_LIBRARIES = "import numpy, scipy.ndimage, tifffile, torch, typer"


def write_field(folder: Path) -> None:
    """Write label images of 13 simulated cells and their nuclei, each turned by the simulator."""
    from napari_integrated_cell.imaging.writing import write_ome_tiff
    from napari_integrated_cell.simulation import simulate_cell

    cells, nuclei = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for i in range(13):
        cell = simulate_cell(seed=i, voxel_size=VOXEL, margin=0).cell
        y, x = 200 * (i // 5), 180 * (i % 5)
        part = tuple(
            slice(0, min(n, m - start)) for n, m, start in zip(cell.shape, SHAPE, (0, y, x), strict=True)
        )
        for whole, mask in ((cells, cell.cell_mask), (nuclei, cell.nucleus_mask)):
            target = whole[: part[0].stop, y : y + part[1].stop, x : x + part[2].stop]
            target[mask[part]] = i + 1
    write_ome_tiff(folder / "cell_labels.ome.tif", {"labels": cells}, VOXEL)
    write_ome_tiff(folder / "nucleus_labels.ome.tif", {"labels": nuclei}, VOXEL)


def run(code: str, *arguments: str) -> float:
    """Return the seconds that a new process needs."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def rows(field: Path | None = None) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = field or Path(name)
        if field is None:
            write_field(folder)
        imports = min(run(_LIBRARIES) for _ in range(2))
        for task, label, repeats in (("one cell of a field", "3", 3), ("a field of 13 cells", "all", 2)):
            arguments = (
                *("integrate", "--label", label, "--out", str(Path(name) / "out.ome.tiff")),
                *("--cells", str(folder / "cell_labels.ome.tif")),
                *("--nuclei", str(folder / "nucleus_labels.ome.tif")),
            )
            first = run(_CALL, *arguments)
            times = [(run(_CALL, *arguments), run(_PLAIN, *arguments)) for _ in range(repeats)]
            now, plain = (min(found) for found in zip(*times, strict=True))
            yield Row(f"integrate {task}, first call", first)
            yield Row(f"integrate {task}", now, plain, imports, "importing the libraries")


if __name__ == "__main__":
    from table import print_table

    print_table(rows(Path(sys.argv[2]) if sys.argv[1:2] == ["--field"] else None))
