"""Write OME-TIFF files: they are read back unchanged, and a failure leaves no file."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_integrated_cell.imaging import writing
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.imaging.writing import write_ome_tiff

VOXEL = (0.29, 0.108333, 0.108333)

names = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=12).filter(
        lambda t: t.strip() == t and t.isprintable() and not t.startswith(("Channel:", "C:"))
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


def volume(seed: int = 0, shape: tuple[int, int, int] = (4, 6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@given(
    channels=names,
    shape=st.tuples(st.integers(2, 5), st.integers(2, 7), st.integers(2, 7)),
    voxel=st.tuples(*[st.floats(0.01, 10)] * 3),
    dtype=st.sampled_from([np.float32, np.uint8, np.uint16, np.int32]),
)
@settings(deadline=None, max_examples=30)
def test_what_is_written_is_read_back(tmp_path_factory, channels, shape, voxel, dtype):
    path = tmp_path_factory.mktemp("w") / "cells.ome.tiff"
    volumes = {name: (200 * volume(i, shape)).astype(dtype) for i, name in enumerate(channels)}
    assert write_ome_tiff(path, volumes, voxel) == path
    image = read_image(path)
    assert image.channel_names == tuple(name.replace('"', "'") for name in channels)
    assert image.data.dtype == dtype
    assert image.voxel_size == pytest.approx(voxel)
    np.testing.assert_array_equal(image.data, np.stack(list(volumes.values())))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ([np.float64], np.float32),
        ([np.float32, np.uint8], np.float32),
        ([np.uint8, np.uint16], np.uint16),
        ([bool], np.uint8),
        ([np.int64], np.uint32),
        ([np.uint32, np.int32], np.uint32),
    ],
)
def test_channels_share_a_type_that_holds_them_all(tmp_path, given, written):
    volumes = {str(i): np.arange(8).reshape(2, 2, 2).astype(t) for i, t in enumerate(given)}
    data = read_image(write_ome_tiff(tmp_path / "a.tif", volumes, VOXEL)).data
    assert data.dtype == written
    np.testing.assert_array_equal(data[0], volumes["0"])


def test_the_file_says_what_it_is(tmp_path):
    path = write_ome_tiff(
        tmp_path / "a.ome.tif", {"TOM20": volume()}, VOXEL, description="simulated <cell> & model"
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "ZYX"
        assert "simulated &lt;cell&gt; &amp; model" in str(tiff.ome_metadata)
        assert 'PhysicalSizeZ="0.29"' in str(tiff.ome_metadata)
        assert 'Unit="µm"' in str(tiff.ome_metadata)
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert not tiff.is_bigtiff


def test_large_files_are_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_BIG", 100)
    path = write_ome_tiff(tmp_path / "a.ome.tif", {"TOM20": volume()}, VOXEL)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
    np.testing.assert_array_equal(read_image(path).data[0], volume())


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_ome_tiff(tmp_path / "a.ome.tiff", {"dna": volume()}, VOXEL)
    before = path.read_bytes()

    def full(aside: Path, *_: object, **__: object) -> None:
        Path(aside).write_bytes(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(OSError, match=r"a\.ome\.tiff could not be written .*No space left.*disk is not full"):
        write_ome_tiff(path, {"dna": volume(1)}, VOXEL)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_half_written(tmp_path):
    class Interrupted(np.ndarray):
        def __iter__(self):
            yield np.zeros((6, 5), np.float32)
            raise KeyboardInterrupt

    stopped = volume().view(Interrupted)
    monkey = {"dna": stopped}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "asarray", lambda a, *_, **__: a)
        with pytest.raises(KeyboardInterrupt):
            write_ome_tiff(tmp_path / "a.ome.tiff", monkey, VOXEL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("missing/a.ome.tiff", FileNotFoundError, "folder .*missing does not exist"),
        ("file/a.ome.tiff", FileNotFoundError, "does not exist"),
        ("folder.tiff", IsADirectoryError, "is a folder"),
        ("a.png", ValueError, r"end it in \.ome\.tiff"),
    ],
)
def test_bad_places_are_refused(tmp_path, name, error, match):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.tiff").mkdir()
    with pytest.raises(error, match=match):
        write_ome_tiff(tmp_path / name, {"dna": volume()}, VOXEL)


def test_an_existing_file_is_replaced_only_if_allowed(tmp_path):
    path = write_ome_tiff(tmp_path / "a.ome.tiff", {"dna": volume()}, VOXEL)
    with pytest.raises(FileExistsError, match="exists"):
        write_ome_tiff(path, {"dna": volume(1)}, VOXEL, overwrite=False)
    np.testing.assert_array_equal(read_image(path).data[0], volume())
    write_ome_tiff(path, {"dna": volume(1)}, VOXEL)
    np.testing.assert_array_equal(read_image(path).data[0], volume(1))


@pytest.mark.parametrize(
    ("volumes", "voxel", "match"),
    [
        ({}, VOXEL, "nothing to write"),
        ({"a": np.zeros((2, 3))}, VOXEL, r"do not: a \(2, 3\)"),
        ({"a": np.zeros((2, 3, 4)), "b": np.zeros((2, 3, 5))}, VOXEL, r"b \(2, 3, 5\)"),
        ({"a": np.zeros((0, 3, 4))}, VOXEL, "not images"),
        ({"a": np.zeros((2, 3, 1))}, VOXEL, "not images"),
        ({"a": np.zeros((2, 3, 4))}, (0.1, 0.1), "2 entries"),
        ({"a": np.zeros((2, 3, 4))}, None, "missing"),
        ({"a": np.zeros((2, 3, 4), complex)}, VOXEL, "complex"),
        ({"a": np.full((2, 3, 4), 2**40)}, VOXEL, "32-bit"),
    ],
)
def test_bad_volumes_are_refused(tmp_path, volumes, voxel, match):
    with pytest.raises(ValueError, match=match):
        write_ome_tiff(tmp_path / "a.ome.tiff", volumes, voxel)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize("plane", [(40, 600), (600, 40), (530, 700), (512, 513)])
def test_large_planes_are_written_in_tiles_that_read_back_exactly(tmp_path, dtype, plane):
    random = np.random.default_rng(0)
    volume = np.zeros((3, *plane), dtype)
    volume[1] = random.integers(0, 100, plane)
    volume[2, -7:, -9:] = 5
    path = write_ome_tiff(tmp_path / "large.ome.tiff", {"a": volume, "b": volume[::-1]}, (0.3, 0.1, 0.1))
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].is_tiled
        np.testing.assert_array_equal(file.asarray(), np.stack([volume, volume[::-1]]))
        edges = file.pages[0].tile
    assert all(edge % 16 == 0 and edge <= 256 for edge in edges)
    np.testing.assert_array_equal(read_image(path).channel("a"), volume)
