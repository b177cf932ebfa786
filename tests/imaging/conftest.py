"""The reader that the tests of images use: IMAGE_READER=aicsimageio runs them with aicsimageio."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_integrated_cell.imaging import reading
from napari_integrated_cell.imaging.formats.scene import OpenedFile
from napari_integrated_cell.imaging.opening import open_file


@pytest.fixture(autouse=True)
def chosen_reader(monkeypatch):
    chosen = os.environ.get("IMAGE_READER", "auto")

    def open_with_chosen(path: Path, reader: str = "auto") -> OpenedFile:
        return open_file(path, chosen if reader == "auto" else reader)

    monkeypatch.setattr(reading, "open_file", open_with_chosen)
