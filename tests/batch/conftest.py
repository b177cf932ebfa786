"""A folder of fields as they come, and a small model."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_fields import write_image, write_labels, write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.zip")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Two fields: one with an image and labels, one with labels only, in a subfolder."""
    folder = tmp_path / "plate"
    write_labels(folder, "f1_cells.ome.tif", "f1_nuclei.ome.tif")
    write_image(folder / "f1.ome.tif")
    write_labels(folder / "day 2", "cell_labels.ome.tif", "nucleus_labels.ome.tif", first=4)
    return folder
