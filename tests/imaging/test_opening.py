"""Files of every format are read completely, or refused with one clear sentence."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from microscope_files import stack, write_lif, write_nd2, write_ome

from napari_integrated_cell.imaging import opening
from napari_integrated_cell.imaging.reading import (
    READABLE_EXTENSIONS,
    read_image,
)

READER = os.environ.get("IMAGE_READER", "auto")
READS = (
    {"czi": "aicspylibczi", "nd2": "nd2", "lif": "readlif"}
    if READER == "aicsimageio"
    else {"czi": "bioio_czi", "nd2": "bioio_nd2", "lif": "bioio_lif"}
)


def test_the_readers_chatter_is_kept_off_the_screen(tmp_path, capfd):
    (tmp_path / "a.tif").write_text("no image")
    with pytest.raises(ValueError, match="could not be read"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_what_is_no_stack_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "flat.tif", stack()[0, 0])
    tifffile.imwrite(tmp_path / "colour.tif", stack((6, 5, 3), np.uint8), photometric="rgb")
    (tmp_path / "text.tif").write_text("no image at all")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "a.xyz").write_text("")
    (tmp_path / "folder.tif").mkdir()
    for name, match in {
        "flat.tif": "needs a Z stack",
        "colour.tif": "colour",
        "text.tif": "could not be read",
        "empty.tif": "could not be read",
        "a.xyz": "export it as OME-TIFF",
        "folder.tif": "is a folder",
    }.items():
        with pytest.raises(ValueError, match=match):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_image(tmp_path / "missing.tif")


@pytest.mark.parametrize("extension", ["czi", "nd2", "lif"])
def test_a_missing_reader_is_named_with_its_extra(tmp_path, monkeypatch, extension):
    found = importlib.util.find_spec
    readers = {"bioio_czi", "bioio_nd2", "bioio_lif", "aicsimageio"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in readers else found(name))
    (tmp_path / f"a.{extension}").write_text("")
    with pytest.raises(ValueError, match=rf'pip install "napari-integrated-cell\[{extension}\]"'):
        opening.open_file(tmp_path / f"a.{extension}")
    assert f".{extension}" in READABLE_EXTENSIONS


def write_czi(path: Path, data: np.ndarray) -> Path:
    """A stack (T, C, Z, Y, X) as Zeiss's own library writes it."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip(READS["czi"])
    with czi.create_czi(str(path)) as file:
        for t, c, z in np.ndindex(data.shape[:3]):
            file.write(data=data[t, c, z][..., None], plane={"T": t, "C": c, "Z": z})
        scale = {f"scale_{axis}": size * 1e-6 for axis, size in zip("zyx", (0.29, 0.11, 0.1), strict=True)}
        file.write_metadata("a cell", channel_names=dict(enumerate(("CMDRP", "H3342"))), **scale)
    return path


def test_czi_is_read_with_its_names_sizes_and_times(tmp_path):
    data = stack((2, 2, 4, 6, 5))
    path = write_czi(tmp_path / "a.czi", data)
    image = read_image(path, time=1)
    np.testing.assert_array_equal(image.data, data[1])
    assert image.channel_names == ("CMDRP", "H3342")
    assert image.voxel_size == pytest.approx((0.29, 0.11, 0.1))
    assert "time point 1 was read" in image.notes[0]
    assert set(image.named()) == {"membrane", "dna"}


def test_a_czi_cut_short_is_refused(tmp_path):
    path = write_czi(tmp_path / "a.czi", stack((1, 2, 8, 60, 50)))
    whole = path.read_bytes()
    for part in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match="damaged, cut short"):
            read_image(path)


@pytest.mark.parametrize(("extension", "write"), [("lif", write_lif), ("nd2", write_nd2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lif_and_nd2_are_read_with_their_names_and_sizes(tmp_path, extension, write, dtype):
    pytest.importorskip(READS[extension])
    data = stack((2, 4, 6, 5), dtype)
    image = read_image(write(tmp_path / f"a.{extension}", data, ("CMDRP", "H3342"), (0.29, 0.1, 0.1)))
    np.testing.assert_array_equal(image.data, data)
    assert image.channel_names == ("CMDRP", "H3342")
    assert image.voxel_size == pytest.approx((0.29, 0.1, 0.1))
    assert set(image.named()) == {"membrane", "dna"}


@pytest.mark.parametrize(("extension", "write"), [("lif", write_lif), ("nd2", write_nd2)])
def test_a_lif_or_nd2_cut_short_is_refused(tmp_path, extension, write):
    pytest.importorskip(READS[extension])
    path = write(tmp_path / f"a.{extension}", stack((2, 8, 60, 50)), ("CMDRP", "H3342"), (0.29, 0.1, 0.1))
    whole = path.read_bytes()
    for part in (0.01, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match="damaged, cut short"):
            read_image(path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = write_ome(tmp_path / "a.ome.tif", stack(), "CZYX")
    monkeypatch.setattr(opening, "open_tiff", forbidden)
    with pytest.raises(ValueError, match="permissions"):
        read_image(path)


@pytest.mark.parametrize("kind", ["ome", "ome zlib", "imagej", "plain", "pages"])
def test_a_file_cut_short_never_passes_for_an_image(tmp_path, kind):
    """For many of these files tifffile returns fewer or empty planes, and reports this only in its log."""
    data = stack((12, 20, 30))
    path = tmp_path / ("a.ome.tif" if "ome" in kind else "a.tif")
    if "ome" in kind:
        metadata = {"axes": "ZYX"}
        tifffile.imwrite(
            path, data, metadata=metadata, ome=True, compression="zlib" if "zlib" in kind else None
        )
    elif kind == "imagej":
        tifffile.imwrite(path, data[:, None], imagej=True, metadata={"axes": "ZCYX"})
    else:
        tifffile.imwrite(path, data, metadata={} if kind == "plain" else None)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_image(path).data[0], data)
    refused = 0
    for share in (0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        try:
            read = read_image(path)
        except ValueError as error:
            assert path.name in str(error)  # noqa: PT017
            refused += 1
        else:  # only what held no voxel may be missing
            np.testing.assert_array_equal(read.data[0], data)
    assert refused >= 5
