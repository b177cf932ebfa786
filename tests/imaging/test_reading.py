"""Read images with the axes, names and voxel sizes of the file; segmentations and crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from microscope_files import MICRONS, stack, write_ome

from napari_integrated_cell.imaging.reading import (
    CROP_SEG_CHANNELS,
    DATASET_VOXEL_SIZE,
    Image,
    read_crop,
    read_image,
    read_labels,
)

# --- Valid files --------------------------------------------------------------------------------------


@given(
    order=st.permutations("TCZ"),
    sizes=st.fixed_dictionaries({"T": st.integers(1, 3), "C": st.integers(1, 3), "Z": st.integers(2, 4)}),
    data=st.data(),
)
@settings(deadline=None, max_examples=15)
def test_axes_are_taken_from_the_file_not_from_their_place(tmp_path_factory, order, sizes, data):
    axes = "".join(order) + "YX"
    path = tmp_path_factory.mktemp("r") / "a.ome.tif"
    written = stack((*[sizes[a] for a in order], 7, 5))
    write_ome(path, written, axes)
    time = data.draw(st.integers(0, sizes["T"] - 1))
    image = read_image(path, time=time)
    expected = np.transpose(written, [axes.index(a) for a in "TCZYX"])[time]
    np.testing.assert_array_equal(image.data, expected)
    assert image.data.dtype == np.uint16
    assert len(image.channel_names) == sizes["C"]
    assert len(image.notes) == (sizes["T"] > 1)


def test_names_and_voxel_size_come_from_the_file(tmp_path):
    path = write_ome(
        tmp_path / "a.ome.tiff", stack(), "CZYX", Channel={"Name": ["CMDRP", "H3342"]}, **MICRONS
    )
    image = read_image(path)
    assert image.channel_names == ("CMDRP", "H3342")
    assert image.voxel_size == pytest.approx((0.29, 0.11, 0.1))
    assert image.path == str(path)
    assert image.notes == ()


def test_names_and_voxel_size_can_be_given(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", stack(), "CZYX", Channel={"Name": ["a", "b"]}, **MICRONS)
    image = read_image(path, channel_names=["dna", "TOMM20"], voxel_size=(1, 2, 3))
    assert image.channel_names == ("dna", "TOMM20")
    assert image.voxel_size == (1, 2, 3)
    with pytest.raises(ValueError, match="2 channels but 1 names"):
        read_image(path, channel_names=["dna"])
    with pytest.raises(ValueError, match="positive"):
        read_image(path, voxel_size=(0, 1, 1))


@pytest.mark.parametrize(("unit", "factor"), [("nm", 1e-3), ("mm", 1e3), ("Å", 1e-4), ("µm", 1)])
def test_other_units_become_micrometres(tmp_path, unit, factor):
    sizes = {f"PhysicalSize{a}": v / factor for a, v in zip("ZYX", (0.3, 0.2, 0.1), strict=True)}
    units = {f"PhysicalSize{a}Unit": unit for a in "ZYX"}
    path = write_ome(tmp_path / "a.ome.tif", stack(), "CZYX", **sizes, **units)
    assert read_image(path).voxel_size == pytest.approx((0.3, 0.2, 0.1))


def test_a_voxel_size_that_is_not_known_is_none(tmp_path):
    some = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    pixels = {k: ("pixel" if "Unit" in k else v) for k, v in MICRONS.items()}
    assert read_image(write_ome(tmp_path / "a.ome.tif", stack(), "CZYX")).voxel_size is None
    assert read_image(write_ome(tmp_path / "b.ome.tif", stack(), "CZYX", **some)).voxel_size is None
    assert read_image(write_ome(tmp_path / "c.ome.tif", stack(), "CZYX", **pixels)).voxel_size is None
    tifffile.imwrite(tmp_path / "d.tif", stack()[0], photometric="minisblack")
    image = read_image(tmp_path / "d.tif")
    assert image.voxel_size is None
    assert image.channel_names == ("channel 0",)
    np.testing.assert_array_equal(image.data, stack()[:1])


def test_imagej_stacks(tmp_path):
    data = stack((4, 2, 6, 5))  # Z, C, Y, X
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "ZCYX", "spacing": 0.3, "unit": "um"},
    )
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, data.transpose(1, 0, 2, 3))
    assert image.voxel_size == pytest.approx((0.3, 0.1, 0.1))


def test_a_series_says_which_time_point_was_read(tmp_path):
    data = stack((3, 1, 4, 6, 5))
    path = write_ome(tmp_path / "a.ome.tif", data, "TCZYX")
    assert read_image(path).notes == ("a.ome.tif has 3 time points: time point 0 was read.",)
    np.testing.assert_array_equal(read_image(path, time=2).data, data[2])
    with pytest.raises(ValueError, match="no time point 3: it has 3"):
        read_image(path, time=3)


def test_scenes_are_chosen_by_index(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for seed in (0, 1):
            tiff.write(stack((4, 6, 5), seed=seed), metadata={"axes": "ZYX"}, photometric="minisblack")
    np.testing.assert_array_equal(read_image(path, scene=1).data[0], stack((4, 6, 5), seed=1))
    assert read_image(path).notes == ("a.ome.tif has 2 scenes: scene 0 was read.",)
    with pytest.raises(ValueError, match="no scene 2: it has 2"):
        read_image(path, scene=2)


# --- Choosing channels --------------------------------------------------------------------------------


def image_of(*names: str) -> Image:
    return Image(np.arange(len(names))[:, None, None, None] * np.ones((1, 2, 2, 2)), names, None, "a.ome.tif")


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("CMDRP", 0),
        ("cmdrp", 0),
        ("membrane", 0),
        ("dna", 1),
        ("Hoechst", 1),
        ("TOM20", 2),
        ("mitochondria", 2),
        ("3", 3),
        (3, 3),
        (" 0 ", 0),
    ],
)
def test_a_channel_is_found_by_name_word_or_index(wanted, index):
    channel = image_of("CMDRP", "H3342", "TOMM20-mEGFP", "Bright field").channel(wanted)
    assert channel.shape == (2, 2, 2)
    assert (channel == index).all()


def test_a_name_comes_before_an_index():
    assert (image_of("1", "0").channel("1") == 0).all()


@pytest.mark.parametrize("wanted", ["ZO1", "4", "-1", "", "membrane"])
def test_a_channel_that_is_not_one_is_refused_with_those_there_are(wanted):
    image = image_of("CellMask 1", "CellMask 2", "Hoechst", "x")
    with pytest.raises(
        ValueError, match=r"its channels are 0 'CellMask 1', 1 'CellMask 2', 2 'Hoechst', 3 'x'"
    ):
        image.channel(wanted)


def test_named_channels():
    found = image_of("H3342", "EGFP LMNB1", "Bright field", "DAPI").named()
    assert list(found) == ["dna", "lamin-B1"]
    assert (found["dna"] == 0).all()


def test_channels_of_one_name_are_told_apart(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", stack(), "CZYX", Channel={"Name": ["EGFP", "EGFP"]})
    assert read_image(path).channel_names == ("EGFP", "EGFP (2)")


# --- Segmentations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32])
def test_labels_are_whole_numbers(tmp_path, dtype):
    labels = stack((4, 6, 5), dtype)
    read, voxel_size = read_labels(write_ome(tmp_path / "a.ome.tif", labels, "ZYX", **MICRONS))
    assert np.issubdtype(read.dtype, np.integer)
    np.testing.assert_array_equal(read, labels)
    assert voxel_size == pytest.approx((0.29, 0.11, 0.1))


@pytest.mark.parametrize(
    ("labels", "axes", "match"),
    [
        (stack(), "CZYX", "2 channels"),
        (stack()[0].astype(np.float32) + 0.5, "ZYX", "intensities"),
        (np.full((2, 3, 4), np.nan, np.float32), "ZYX", "NaN"),
        (-stack()[0].astype(np.int16), "ZYX", "negative"),
    ],
)
def test_what_is_no_segmentation_is_refused(tmp_path, labels, axes, match):
    with pytest.raises(ValueError, match=match):
        read_labels(write_ome(tmp_path / "a.ome.tif", labels, axes))


# --- The public dataset's crops -----------------------------------------------------------------------


def write_crops(folder: Path) -> tuple[Path, Path]:
    masks = np.zeros((5, 6, 8, 9), np.uint8)
    masks[0, 2:4, 3:5, 3:6] = 255
    masks[1, 1:5, 1:7, 1:8] = 255
    raw = stack((3, 6, 8, 9))
    # As distributed: T, Z, C, Y, X, with neither names nor sizes.
    return (
        write_ome(folder / "seg.ome.tiff", masks.transpose(1, 0, 2, 3)[None], "TZCYX"),
        write_ome(folder / "raw.ome.tiff", raw.transpose(1, 0, 2, 3)[None], "TZCYX"),
    )


def test_a_crop_is_a_cell(tmp_path):
    seg, raw = write_crops(tmp_path)
    cell = read_crop(seg, raw, structure="TOMM20", name="416089", metadata={"stage": "M0"})
    assert set(cell.channels) == {"dna", "membrane", "TOM20"}
    np.testing.assert_array_equal(cell.channels["TOM20"], stack((3, 6, 8, 9))[2])
    assert cell.cell_mask.sum() == 4 * 6 * 7
    assert cell.nucleus_mask.sum() == 2 * 2 * 3
    assert cell.voxel_size == DATASET_VOXEL_SIZE
    assert cell.name == "416089"
    assert dict(cell.metadata) == {"structure": "TOM20", "stage": "M0"}
    assert cell.source == str(raw)


def test_a_crop_without_intensities_or_with_other_channels(tmp_path):
    seg, raw = write_crops(tmp_path)
    assert dict(read_crop(seg).channels) == {}
    assert read_crop(seg).name == "seg"
    assert set(read_crop(seg, raw).channels) == {"dna", "membrane", "structure"}
    other = read_crop(seg, raw, raw_channels=["H3342", "CMDRP", "FBL"], voxel_size=(0.3, 0.1, 0.1))
    assert set(other.channels) == {"dna", "membrane", "fibrillarin"}
    assert other.voxel_size == (0.3, 0.1, 0.1)
    with pytest.raises(ValueError, match="no channel 'dna_segmentation'"):
        read_crop(seg, seg_channels=["a", "b", "c", "d", "e"])
    with pytest.raises(ValueError, match="5 channels but 2 names"):
        read_crop(seg, seg_channels=CROP_SEG_CHANNELS[:2])
    with pytest.raises(ValueError, match="No structure is called 'NUP153'"):
        read_crop(seg, raw, structure="NUP153")


@pytest.mark.real_data
def test_the_real_crop(real_data):
    cell = read_crop(real_data / "wtc11_single_cell" / "crop_seg_CellId416089.ome.tiff")
    assert cell.shape == (106, 259, 223)
    assert cell.volume == pytest.approx(929430 * 0.108333**3)
    assert cell.nucleus_volume == pytest.approx(194472 * 0.108333**3)


@pytest.mark.real_data
def test_the_real_field(real_data):
    labels, voxel_size = read_labels(real_data / "hipsc_tomm20_field" / "cell_labels.ome.tif")
    assert labels.shape == (65, 624, 924)
    assert voxel_size == pytest.approx((0.29, 0.108333, 0.108333))
    assert set(np.unique(labels)) == set(range(14))
