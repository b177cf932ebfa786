"""Stacks of Micro-Manager are read with their names, sizes and planes. All files are handmade."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import tifffile
from flipped_bits import flipped_copies
from micromanager_files import write_micromanager
from tiff_files import VOXEL, stains

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.reading import read_image

NAMES = ("CellMask", "Hoechst")


def series(t: int = 3, z: int = 4) -> np.ndarray:
    """Time points of two channels, no two planes alike: (T, C, Z, Y, X)."""
    return np.random.default_rng(1).integers(0, 4000, (t, 2, z, 9, 11)).astype(np.uint16)


def ome(count: int, c: int | None = None, z: int | None = None, extra: str = "") -> str:
    sizes = "".join(f' Size{axis}="{n}"' for axis, n in (("C", c), ("Z", z)) if n)
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="11" SizeY="9" SizeT="1"{sizes}{extra}>'
        f'<TiffData IFD="0" PlaneCount="{count}"/></Pixels></Image></OME>'
    )


@pytest.mark.parametrize("source", ["index and tags", "index", "tags"])
def test_names_sizes_and_planes_come_from_the_summary_and_the_planes(tmp_path, source):
    path = write_micromanager(
        tmp_path / "a_MMStack_Pos0.tif", stains(), index="index" in source, tags="tags" in source
    )
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert image.channel_names == NAMES
    assert image.voxel_size == VOXEL
    assert image.notes == ()


def test_planes_in_any_order_are_put_where_they_belong(tmp_path):
    order = random.Random(0).sample(range(14), 14)
    image = read_image(write_micromanager(tmp_path / "a.tif", stains(), order=order))
    np.testing.assert_array_equal(image.data, stains())


def test_time_points_and_their_interval(tmp_path):
    path = write_micromanager(tmp_path / "a.tif", series())
    np.testing.assert_array_equal(read_image(path, time=2).data, series()[2])
    image = read_image(path, series=True)
    np.testing.assert_array_equal(image.data, series().transpose(1, 0, 2, 3, 4))
    assert image.interval == 1.5


def test_a_series_that_was_stopped_is_read_without_its_last_time_point(tmp_path):
    path = write_micromanager(tmp_path / "a.tif", series(), order=range(20))
    image = read_image(path, series=True)
    np.testing.assert_array_equal(image.data, series()[:2].transpose(1, 0, 2, 3, 4))
    assert any("Of 3 time points the last one is missing" in note for note in image.notes)


def test_a_stack_that_lacks_planes_in_the_middle_is_refused(tmp_path):
    path = write_micromanager(tmp_path / "a.tif", stains(), order=[*range(4), *range(5, 14)])
    with pytest.raises(ValueError, match="Micro-Manager metadata that do not fit its 13 planes"):
        read_image(path)


def test_positions_on_the_stage_are_scenes(tmp_path):
    data = np.stack([stains(), stains()[::-1]])[:, None]
    path = write_micromanager(tmp_path / "a.tif", data, stage=2, label=lambda i: f"well {i}")
    first = read_image(path)
    np.testing.assert_array_equal(first.data, data[0, 0])
    np.testing.assert_array_equal(read_image(path, scene="well 3").data, data[1, 0])
    # A file of one position of several is one scene.
    alone = write_micromanager(tmp_path / "b.tif", stains(), {"Positions": 5}, stage=4)
    assert read_image(alone).notes == ()


@pytest.mark.parametrize("sizes", [{}, {"c": 2}, {"c": 7, "z": 2}, {"c": 3, "z": 7}, {"z": 5}])
def test_ome_metadata_without_sizes_or_with_wrong_ones_give_way(tmp_path, sizes):
    path = write_micromanager(
        tmp_path / "a_MMStack_Pos0.ome.tif", stains(), description=lambda n: ome(n, **sizes)
    )
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert (image.channel_names, image.voxel_size) == (NAMES, VOXEL)


def test_sound_ome_metadata_get_the_names_and_sizes_that_they_lack(tmp_path):
    def text(count: int) -> str:
        return ome(count, 2, 7, ' PhysicalSizeX="0.3" PhysicalSizeY="0.3"')

    image = read_image(write_micromanager(tmp_path / "a.ome.tif", stains(), description=text))
    np.testing.assert_array_equal(image.data, stains())
    assert (image.channel_names, image.voxel_size) == (NAMES, (0.6, 0.3, 0.3))


def test_metadata_of_imagej_in_the_same_file_give_way(tmp_path):
    text = "ImageJ=1.52p\nimages=14\nchannels=7\nslices=2\nhyperstack=true\nunit=um\nspacing=0.1\n"
    image = read_image(write_micromanager(tmp_path / "a.tif", stains(), description=lambda n: text))
    np.testing.assert_array_equal(image.data, stains())
    assert (image.channel_names, image.voxel_size) == (NAMES, VOXEL)


def test_without_index_and_tags_the_order_is_that_of_the_summary_and_a_note_says_so(tmp_path):
    data = stains()
    image = read_image(write_micromanager(tmp_path / "a.tif", data, index=False, tags=False))
    np.testing.assert_array_equal(image.data, data)
    assert any("their order was taken from its summary" in note for note in image.notes)
    turned = [c * 7 + z for z in range(7) for c in range(2)]
    for summary in ({"SlicesFirst": True}, {"AxisOrder": ["position", "time", "z", "channel"]}):
        path = write_micromanager(tmp_path / "b.tif", data, summary, order=turned, index=False, tags=False)
        np.testing.assert_array_equal(read_image(path).data, data)


@pytest.mark.parametrize(
    "summary", [{"Slices": 6}, {"Slices": None}, {"Slices": "seven"}, {"SlicesFirst": None}]
)
def test_a_summary_that_does_not_fit_asks_for_axes(tmp_path, summary):
    path = write_micromanager(tmp_path / "a.tif", stains(), summary, index=False, tags=False)
    if summary == {"Slices": None} or summary == {"Slices": "seven"}:
        image = read_image(path)  # the number of planes gives the only length that is not known
        np.testing.assert_array_equal(image.data, stains())
        assert any("its planes make 7" in note for note in image.notes)
        return
    with pytest.raises(MissingInput, match="Micro-Manager metadata that do not fit its 14 planes"):
        read_image(path)
    image = read_image(path, axes="CZYX")
    np.testing.assert_array_equal(image.data, stains())
    assert (image.channel_names, image.voxel_size) == (NAMES, VOXEL)


@pytest.mark.parametrize("summary", [{"Slices": 1}, {"Channels": 1}, {"Channels": 3}])
def test_planes_that_are_all_named_are_counted_where_the_summary_is_wrong(tmp_path, summary):
    image = read_image(write_micromanager(tmp_path / "a.tif", stains(), summary))
    np.testing.assert_array_equal(image.data, stains())
    assert any("its planes were counted instead" in note for note in image.notes)


@pytest.mark.parametrize("raw", [b"{", b"[1]", b"\xff\xfe", b'{"Slices": 7'])
def test_a_damaged_summary_is_said_and_the_planes_are_still_found(tmp_path, raw):
    path = write_micromanager(tmp_path / "a.tif", stains(), raw_summary=raw)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert image.voxel_size is None
    assert any("damaged Micro-Manager metadata" in note for note in image.notes)


@pytest.mark.parametrize(
    ("summary", "size", "note"),
    [
        ({"z-step_um": -0.6}, VOXEL, "its planes go the other way"),
        ({"z-step_um": 0}, None, "states 0 in Z"),
        ({"z-step_um": None}, None, "nothing in Z"),
        ({"z-step_um": "x"}, None, "'x' in Z"),
        ({"PixelSize_um": 0.0}, None, "0 in Y and X"),
        ({"PixelSize_um": None, "PixelSizeUm": 0.4}, VOXEL, ""),
        ({"Interval_ms": "x", "ChNames": 3}, VOXEL, ""),
        ({"ChNames": ["CellMask"]}, VOXEL, "the names were left out"),
    ],
)
def test_values_that_cannot_be_used_are_said(tmp_path, summary, size, note):
    image = read_image(write_micromanager(tmp_path / "a.tif", stains(), summary))
    assert image.voxel_size == size
    assert note in " ".join(image.notes)
    assert bool(image.notes) == bool(note)


def test_a_copy_with_the_tags_of_its_planes_but_no_summary_is_read(tmp_path):
    path = write_micromanager(tmp_path / "a.tif", stains())
    with tifffile.TiffFile(path) as tif:
        tags = [page.tags[51123].value for page in tif.pages]
    with tifffile.TiffWriter(tmp_path / "copy.tif") as writer:
        for plane, tag in zip(stains().reshape(14, 9, 11), tags, strict=True):
            text = (51123, 2, None, json.dumps(tag), True)
            writer.write(plane, photometric="minisblack", metadata=None, extratags=[text], contiguous=False)
    image = read_image(tmp_path / "copy.tif")
    np.testing.assert_array_equal(image.data, stains())
    assert any("damaged Micro-Manager metadata" in note for note in image.notes)


@pytest.mark.slow
def test_one_flipped_bit_outside_the_pixels_is_never_another_image(tmp_path):
    path = write_micromanager(tmp_path / "a.tif", stains())
    for damaged, flipped in flipped_copies(path, 150):
        try:
            image = read_image(damaged)
        except ValueError as error:
            said = str(error)
            assert said.count("\n") == 0, flipped
        else:
            same = image.data.shape == stains().shape and (image.data == stains()).all()
            assert image.notes or same, flipped
