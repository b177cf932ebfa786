"""Which files the reader offers itself for. Only their metadata are read."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from ome_zarr_files import write_group, write_ome_zarr, zipped
from stack_files import (
    intensities,
    labels,
    write_imagej,
    write_ome,
    write_rgb,
    write_two_scenes,
)

from napari_integrated_cell.plugin.reader import get_reader, read


def plain(path, data, **options):
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    return path


USABLE = {
    "ome.ome.tif": lambda p: write_ome(p, intensities(), "CZYX"),
    "ome_of_one_channel.tif": lambda p: write_ome(p, intensities()[0], "ZYX"),
    "upper.OME.TIF": lambda p: write_ome(p, intensities()[0], "ZYX"),
    "series.ome.tiff": lambda p: write_ome(p, np.stack([intensities()] * 2), "TCZYX"),
    "fiji.tif": lambda p: write_imagej(p, intensities().transpose(1, 0, 2, 3), "ZCYX", 0.4, 0.6, "um"),
    "z_as_time.tif": lambda p: write_imagej(p, labels(), "TYX", 0.4, 0.6, "um"),
    "labels.tif": lambda p: plain(p, labels(np.int32)),
    "channels_without_names.tif": lambda p: plain(p, intensities(), metadata=None),
    "second_scene.ome.tif": write_two_scenes,
}
LEFT = {
    "rgb.tif": write_rgb,
    "rgb_stack.ome.tif": lambda p: write_rgb(p, (5, 40, 50)),
    "rgb_pages.tif": lambda p: tifffile.imwrite(
        p, np.zeros((5, 40, 50, 3), np.uint8), photometric="rgb", metadata=None
    ),
    "rgb_z.ome.tif": lambda p: tifffile.imwrite(
        p, np.zeros((5, 40, 50, 3), np.uint8), photometric="rgb", metadata={"axes": "ZYXS"}, ome=True
    ),
    "flat.tif": lambda p: plain(p, intensities()[0, 0]),
    "flat.ome.tif": lambda p: write_ome(p, intensities()[:, 0], "CYX"),
    "complex.tif": lambda p: plain(p, intensities()[0].astype(np.complex64)),
    "text.tif": lambda p: p.write_text("no image"),
    "empty.tif": lambda p: p.write_bytes(b""),
    "picture.png": lambda p: p.write_bytes(b"\x89PNG"),
}


@pytest.mark.parametrize("name", USABLE)
def test_stacks_are_taken(tmp_path, name):
    USABLE[name](tmp_path / name)
    assert get_reader(str(tmp_path / name)) is read


@pytest.mark.parametrize("name", LEFT)
def test_other_files_are_left_to_other_readers(tmp_path, name):
    LEFT[name](tmp_path / name)
    assert get_reader(str(tmp_path / name)) is None


@pytest.mark.parametrize("name", ["a.czi", "a.nd2", "a.lif"])
def test_microscopes_own_formats_are_taken(tmp_path, name):
    assert get_reader(str(tmp_path / name)) is None  # not there
    (tmp_path / name).write_bytes(b"anything")
    assert get_reader(str(tmp_path / name)) is read


def test_several_files_are_taken_if_all_are_stacks(tmp_path):
    stack = str(write_ome(tmp_path / "a.ome.tif", intensities(), "CZYX"))
    flat = str(plain(tmp_path / "b.tif", intensities()[0, 0]))
    assert get_reader([stack, stack]) is read
    assert get_reader([stack, flat]) is None
    assert get_reader([]) is None


def test_folders_and_zip_files_are_taken_if_they_are_ome_zarr_images(tmp_path):
    assert get_reader(str(write_ome_zarr(tmp_path / "a.ome.zarr", intensities()))) is read
    assert get_reader(str(write_ome_zarr(tmp_path / "flat.zarr", intensities()[:, 0], "cyx"))) is None
    assert get_reader(str(write_group(tmp_path / "other.zarr", {"anything": 1}))) is None
    for ending in (".zarr.zip", ".ozx"):
        assert get_reader(str(zipped(tmp_path / "a.ome.zarr", tmp_path / f"a{ending}"))) is read
    (tmp_path / "folder.zarr").mkdir()
    assert get_reader(str(tmp_path / "folder.zarr")) is None
    assert get_reader(str(tmp_path)) is None


def test_a_damaged_stack_is_taken_so_that_it_is_told(tmp_path):
    """napari's own reader shows the planes that are left of it, and says nothing."""
    path = write_ome(tmp_path / "a.ome.tif", intensities(), "CZYX")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert get_reader(str(path)) is read
    with pytest.raises(ValueError, match=r"a\.ome\.tif"):
        read(str(path))


@pytest.mark.parametrize("program", ["OME", "ImageJ", "none"])
def test_the_look_reads_no_pixels_and_few_pages(tmp_path, monkeypatch, program):
    path = tmp_path / "many.tif"
    data = np.zeros((500, 8, 8), np.uint8)
    if program == "none":
        plain(path, data, metadata=None)
    else:
        tifffile.imwrite(path, data, **{program.lower(): True}, metadata={"axes": "ZYX"})
    parsed = []
    made = tifffile.TiffPage.__init__
    monkeypatch.setattr(tifffile.TiffPage, "__init__", lambda *a, **k: (parsed.append(1), made(*a, **k))[1])
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("pixels were read"))
    assert get_reader(str(path)) is read
    assert len(parsed) < 5


def test_any_bytes_are_looked_at_without_an_error(tmp_path):
    whole = write_ome(tmp_path / "whole.ome.tif", intensities(1), "CZYX").read_bytes()
    path = tmp_path / "flipped.tif"
    rng = np.random.default_rng(3)
    for _ in range(60):
        changed = bytearray(whole)
        for at in rng.integers(4, 4000, 3):
            changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        assert get_reader(str(path)) in (read, None)
