"""Stacks of Zeiss LSM are read with their axes, names and sizes, without the small copies. All files are handmade."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tifffile
from flipped_bits import flipped_copies
from lsm_files import write_lsm
from tiff_files import VOXEL, stains

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.reading import read_image

NAMES = ("CellMask", "Hoechst")


def planes() -> np.ndarray:
    return stains().transpose(1, 0, 2, 3)


def series() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (3, 4, 2, 9, 11)).astype(np.uint16)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("thumbnails", [True, False])
def test_a_stack_is_read_with_names_and_sizes(tmp_path, lazy, thumbnails):
    image = read_image(write_lsm(tmp_path / "a.lsm", planes(), thumbnails=thumbnails), lazy=lazy)
    np.testing.assert_array_equal(np.asarray(image.data), stains())
    assert image.channel_names == NAMES
    assert image.voxel_size == pytest.approx(VOXEL)
    assert image.notes == ()


def test_a_stack_of_one_channel(tmp_path):
    image = read_image(write_lsm(tmp_path / "a.lsm", planes()[:, :1], ("Ch1-T1",)))
    np.testing.assert_array_equal(image.data, stains()[:1])
    assert image.channel_names == ("Ch1-T1",)


def test_time_points_and_their_interval(tmp_path):
    path = write_lsm(tmp_path / "a.tif", series())
    np.testing.assert_array_equal(read_image(path, time=1).data, series()[1].transpose(1, 0, 2, 3))
    image = read_image(path, series=True)
    np.testing.assert_array_equal(image.data, series().transpose(2, 0, 1, 3, 4))
    assert image.interval == 2.5


def test_positions_on_the_stage_are_scenes(tmp_path):
    path = write_lsm(tmp_path / "a.tif", series()[:, None])
    np.testing.assert_array_equal(read_image(path, scene=2).data, series()[2].transpose(1, 0, 2, 3))


@pytest.mark.parametrize(
    "facts",
    [
        {"DimensionZ": 6},
        {"DimensionZ": 0},
        {"DimensionZ": -7},
        {"DimensionTime": 2},
        {"DimensionP": 2},
        {"DimensionChannels": 3},
        {"DimensionX": 12},
        {"DimensionY": 10},
        {"ScanType": 1},
        {"ScanType": 77},
        {"MagicNumber": 1},
        {"left_out": [3]},
        {"left_out": [6]},
    ],
)
def test_metadata_that_do_not_fit_ask_for_axes(tmp_path, facts):
    path = write_lsm(tmp_path / "a.tif", planes(), **facts)
    kept = np.delete(stains(), facts.get("left_out", []), axis=1)
    with pytest.raises(
        MissingInput, match=rf"LSM metadata that do not fit its {kept.shape[1]} planes: .* ZCYX\.$"
    ):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, axes="ZCYX").data, kept)


def test_time_points_that_lack_a_plane_ask_for_axes(tmp_path):
    with pytest.raises(MissingInput, match="they name 12"):
        read_image(write_lsm(tmp_path / "a.tif", series(), left_out=[11]))


@pytest.mark.parametrize(
    ("facts", "size", "note"),
    [
        ({"VoxelSizeZ": 0.0}, None, "states 0 in Z, 0.4 µm in Y and X"),
        ({"VoxelSizeX": float("nan")}, None, "nan in X"),
        ({"VoxelSizeX": 0.4}, None, "outside"),
        ({"OffsetChannelColors": 10}, VOXEL, ""),
        ({"names": ("one",)}, VOXEL, "the names were left out"),
        ({"OffsetScanInformation": 20, "OffsetTimeStamps": 9}, VOXEL, ""),
    ],
)
def test_values_that_cannot_be_used_are_said(tmp_path, facts, size, note):
    image = read_image(write_lsm(tmp_path / "a.tif", planes(), **facts))
    np.testing.assert_array_equal(image.data, stains())
    assert image.voxel_size == (size and pytest.approx(size))
    assert note in " ".join(image.notes)
    assert bool(image.notes) == bool(note)


def test_an_offset_beyond_the_end_hides_the_names_only_or_asks_for_axes(tmp_path):
    path = write_lsm(tmp_path / "a.tif", planes(), OffsetChannelColors=4_000_000_000)
    try:
        image = read_image(path)
    except MissingInput:  # an old tifffile then reads none of the metadata
        image = read_image(path, axes="ZCYX")
    np.testing.assert_array_equal(image.data, stains())
    assert image.channel_names == ("channel 0", "channel 1")


def test_a_compressed_file_is_refused_in_one_sentence(tmp_path):
    path = write_lsm(tmp_path / "a.tif", planes(), compression="lzw")
    with pytest.raises(UnsupportedImage, match=r"^a.tif is a compressed LSM, [^.]*\.$"):
        read_image(path)


def test_a_damaged_tag_does_not_hide_what_the_file_is(tmp_path):
    path = write_lsm(tmp_path / "a.tif", series()[:, :, :1], ("Ch1",))
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags[34412].offset
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(MissingInput, match="the tag that leads to them is damaged"):
        read_image(path)


@pytest.mark.slow
def test_one_flipped_bit_outside_the_pixels_is_never_another_image(tmp_path):
    path = write_lsm(tmp_path / "a.tif", planes())
    for damaged, flipped in flipped_copies(path, 150):
        with contextlib.suppress(ValueError):
            image = read_image(damaged)
            same = image.data.shape == stains().shape and (image.data == stains()).all()
            assert image.notes or same, flipped
