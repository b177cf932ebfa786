"""Images in: by their own axes, names and sizes; and one clear sentence for whatever is no stack."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from microscope_files import write_lif, write_nd2

from napari_integrated_cell.imaging import opening
from napari_integrated_cell.imaging.reading import (
    CROP_SEG_CHANNELS,
    DATASET_VOXEL_SIZE,
    READABLE_EXTENSIONS,
    Image,
    read_crop,
    read_image,
    read_labels,
)

MICRONS = {f"PhysicalSize{a}Unit": "µm" for a in "ZYX"} | {
    "PhysicalSizeZ": 0.29,
    "PhysicalSizeY": 0.11,
    "PhysicalSizeX": 0.1,
}


def stack(shape: tuple[int, ...] = (2, 4, 6, 5), dtype: type = np.uint16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def write_ome(path: Path, data: np.ndarray, axes: str, **metadata: object) -> Path:
    tifffile.imwrite(path, data, metadata={"axes": axes, **metadata}, ome=True, photometric="minisblack")
    return path


# --- Sound files --------------------------------------------------------------------------------------


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


def test_the_readers_chatter_is_kept_off_the_screen(tmp_path, capfd):
    (tmp_path / "a.tif").write_text("no image")
    with pytest.raises(ValueError, match="could not be read"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


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


# --- Files that are no stacks -------------------------------------------------------------------------


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
    readers = {module for modules in opening._EXTRAS.values() for module in modules}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in readers else found(name))
    (tmp_path / f"a.{extension}").write_text("")
    with pytest.raises(ValueError, match=rf'pip install "napari-integrated-cell\[{extension}\]"'):
        read_image(tmp_path / f"a.{extension}")
    assert f".{extension}" in READABLE_EXTENSIONS


def write_czi(path: Path, data: np.ndarray) -> Path:
    """A stack (T, C, Z, Y, X) as Zeiss's own library writes it."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip(opening._EXTRAS["czi"][0 if opening._has_aicsimageio() else 1])
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
    pytest.importorskip(opening._EXTRAS[extension][0 if opening._has_aicsimageio() else 1])
    data = stack((2, 4, 6, 5), dtype)
    image = read_image(write(tmp_path / f"a.{extension}", data, ("CMDRP", "H3342"), (0.29, 0.1, 0.1)))
    np.testing.assert_array_equal(image.data, data)
    assert image.channel_names == ("CMDRP", "H3342")
    assert image.voxel_size == pytest.approx((0.29, 0.1, 0.1))
    assert set(image.named()) == {"membrane", "dna"}


@pytest.mark.parametrize(("extension", "write"), [("lif", write_lif), ("nd2", write_nd2)])
def test_a_lif_or_nd2_cut_short_is_refused(tmp_path, extension, write):
    pytest.importorskip(opening._EXTRAS[extension][0 if opening._has_aicsimageio() else 1])
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
    monkeypatch.setattr(opening, "_container", forbidden)
    with pytest.raises(ValueError, match="permissions"):
        read_image(path)


@pytest.mark.parametrize("kind", ["ome", "ome zlib", "imagej", "plain", "pages"])
def test_a_file_cut_short_never_passes_for_an_image(tmp_path, kind):
    """tifffile itself returns fewer or empty planes from many of these, with no more than a log line."""
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
        (np.full((2, 3, 4), np.nan, np.float32), "ZYX", "intensities"),
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
