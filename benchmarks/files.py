"""Write a field of predictions as an OME-TIFF, and open a model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plain
from measuring import Row, bytes_per_second, medians
from scipy import ndimage

from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.model.bundle import load_model


def rows() -> Iterator[Row]:
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.normal(size=(30, 624, 924)), 5)
    field = np.clip(smooth / smooth.max(), 0, 1) * (smooth > np.percentile(smooth, 60))
    with tempfile.TemporaryDirectory() as name:
        for dtype in ("uint16", "uint8"):
            values = np.round(field * np.iinfo(dtype).max).astype(dtype)
            volumes = {f"channel {i}": values for i in range(3)}
            stacked = np.stack([values] * 3)
            ours, theirs = Path(name) / "ours.ome.tiff", Path(name) / "plain.tif"
            calls = {
                "now": lambda v=volumes, path=ours: write_ome_tiff(path, v, (0.29, 0.108, 0.108)),
                "plain": lambda v=stacked, path=theirs: plain.write(path, v),
            }
            found = medians(calls, 3)
            smaller = theirs.stat().st_size / ours.stat().st_size
            yield Row(
                f"write 90 planes of {dtype} ({smaller:.1f} times smaller)",
                found["now"], found["plain"], 3 * values.nbytes / bytes_per_second(), "reading once",
            )  # fmt: skip
    yield Row("open the demo model", medians({"now": lambda: load_model("demo", device="cpu")}, 5)["now"])


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
