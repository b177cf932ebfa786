"""Which library reads a file, and what to install for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.formats import libraries


def installed(monkeypatch, *modules):
    monkeypatch.setattr(libraries, "has", lambda module: module in modules)


@pytest.mark.parametrize(
    ("modules", "reader", "library"),
    [
        (("bioio_lif", "aicsimageio", "readlif"), "auto", "bioio"),
        (("bioio_lif", "aicsimageio", "readlif"), "aicsimageio", "aicsimageio"),
        (("aicsimageio", "readlif"), "auto", "aicsimageio"),
        (("bioio_lif",), "bioio", "bioio"),
    ],
)
def test_aicsimageio_reads_when_it_is_chosen_or_alone(monkeypatch, modules, reader, library):
    installed(monkeypatch, *modules)
    assert libraries.library_for(Path("a.lif"), "lif", reader) == library


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        (("bioio_lif", "readlif"), r'pip install "napari-integrated-cell\[aicsimageio\]"\.$'),
        (("bioio_lif", "aicsimageio"), r"readlif is not installed: .* pip install readlif\.$"),
    ],
)
def test_what_aicsimageio_needs_is_said(monkeypatch, modules, said):
    installed(monkeypatch, *modules)
    with pytest.raises(MissingInput, match=said) as raised:
        libraries.library_for(Path("a.lif"), "lif", "aicsimageio")
    assert raised.value.what == "reader"


def test_a_reader_that_does_not_exist_is_refused():
    with pytest.raises(MissingInput, match="no reader 'bioformats': choose auto, bioio, aicsimageio"):
        libraries.library_for(Path("a.tif"), "tiff", "bioformats")
