"""Choose what the axes mean, a scene, a time point, and read every type of values."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from microscope_files import stack, write_ome
from tiff_files import KINDS, NAMES, SIZES, UNITS, edit_xml, stains, write_imagej, write_ome_stains

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.reading import read_image, read_labels

# --- Axes ---------------------------------------------------------------------------------------------


def test_planes_stored_as_time_points_are_read_as_z_when_asked(tmp_path):
    path = write_imagej(tmp_path / "a.tif", stains()[0], "TYX")
    with pytest.raises(MissingInput, match=r"7 time points of one plane .* axes as ZYX") as caught:
        read_image(path)
    assert caught.value.what == "axes"
    np.testing.assert_array_equal(read_image(path, axes="ZYX").data, stains()[:1])
    np.testing.assert_array_equal(read_labels(path, axes="zyx")[0], stains()[0])


def test_planes_stored_as_channels_are_read_as_z_when_asked(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", stains()[0], "CYX")
    with pytest.raises(MissingInput, match=r"7 channels of one plane .* axes as ZYX"):
        read_image(path)
    image = read_image(path, axes="ZYX")
    np.testing.assert_array_equal(image.data, stains()[:1])
    assert image.channel_names == ("channel 0",)


def test_time_and_z_that_were_exchanged(tmp_path):
    data = stains().transpose(1, 0, 2, 3)  # planes, channels
    path = write_ome(tmp_path / "a.ome.tif", data, "TCYX", **NAMES)
    image = read_image(path, axes="ZCYX")
    np.testing.assert_array_equal(image.data, stains())
    assert image.channel_names == ("CellMask", "Hoechst")
    whole = read_image(path, axes="ZCYX", lazy=True)
    np.testing.assert_array_equal(whole.data.compute(), stains())


@pytest.mark.parametrize(
    ("axes", "match"),
    [
        ("ZZYX", "each once"),
        ("QYX", "letters"),
        ("ZC", "Y and X"),
        ("TCZYX", "Z 7, Y 9, X 11, but TCZYX names 5"),
    ],
)
def test_axes_that_do_not_fit_are_refused_with_those_of_the_file(tmp_path, axes, match):
    tifffile.imwrite(tmp_path / "a.tif", stains()[0], photometric="minisblack")
    with pytest.raises(MissingInput, match=match) as caught:
        read_image(tmp_path / "a.tif", axes=axes)
    assert caught.value.what == "axes"


def test_two_axes_without_a_name_are_guessed_or_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stains(), photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, stains())
    assert "2 channels and 7 Z planes" in image.notes[0]
    tifffile.imwrite(tmp_path / "b.tif", stack((4, 5, 6, 7)), photometric="minisblack")
    with pytest.raises(MissingInput, match=r"\? 4, \? 5, Y 6, X 7"):
        read_image(tmp_path / "b.tif")
    assert read_image(tmp_path / "b.tif", axes="ZCYX").data.shape == (5, 4, 6, 7)


def test_the_colours_of_a_stack_are_channels_when_asked(tmp_path):
    data = stack((5, 6, 7, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, photometric="rgb", metadata={"axes": "ZYXS"})
    with pytest.raises(ValueError, match="colour"):
        read_image(tmp_path / "a.ome.tif")
    image = read_image(tmp_path / "a.ome.tif", axes="ZYXC")
    np.testing.assert_array_equal(image.data, np.moveaxis(data, -1, 0))


@pytest.mark.parametrize("described", [True, False])
def test_planes_that_were_written_one_by_one_are_a_stack(tmp_path, described):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in stains()[0]:
            tif.write(plane, photometric="minisblack", metadata={} if described else None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, stains()[:1])


def test_a_stack_with_tags_for_its_first_plane_only(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stains()[0], photometric="minisblack", truncate=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, stains()[:1])


# --- Scenes and times ---------------------------------------------------------------------------------


@pytest.fixture
def with_overview(tmp_path):
    path = tmp_path / "field.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(
            np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata={"axes": "YXS", "Name": "overview"}
        )
        metadata = {"axes": "CZYX", **NAMES, **SIZES, **UNITS, "Name": "cells"}
        tif.write(stains(), photometric="minisblack", metadata=metadata)
    return path


def test_a_colour_overview_is_passed_over(with_overview):
    image = read_image(with_overview)
    np.testing.assert_array_equal(image.data, stains())
    assert image.channel_names == ("CellMask", "Hoechst")
    assert image.voxel_size == pytest.approx((0.6, 0.4, 0.4))
    assert "scene 1 was read, the first that is a Z stack" in image.notes[0]


@pytest.mark.parametrize("scene", [1, "1", "cells", "CELLS"])
def test_a_scene_is_chosen_by_number_or_name(with_overview, scene):
    np.testing.assert_array_equal(read_image(with_overview, scene=scene).data, stains())


def test_a_scene_that_is_not_there_is_refused_with_those_that_are(with_overview):
    with pytest.raises(MissingInput, match=r"no scene 'nuclei'.*0 'overview', 1 'cells'") as caught:
        read_image(with_overview, scene="nuclei")
    assert caught.value.what == "scene"
    with pytest.raises(MissingInput, match=r"colour .*, or choose another scene\.$") as caught:
        read_image(with_overview, scene=0)
    assert caught.value.what == "scene"


def test_scenes_with_one_name_are_listed_and_the_others_are_chosen(with_overview):
    with tifffile.TiffWriter(with_overview, ome=True) as tif:
        for name, step in (("overview", 0), ("cells", 1), ("flat", 2), ("last", 3)):
            metadata = {"axes": "CZYX", **NAMES, **SIZES, **UNITS, "Name": name}
            tif.write(stains() + step, photometric="minisblack", metadata=metadata)
    edit_xml(with_overview, ('Name="flat"', 'Name="cells"'))
    np.testing.assert_array_equal(read_image(with_overview, scene="last").data, stains() + 3)
    np.testing.assert_array_equal(read_image(with_overview, scene=2).data, stains() + 2)
    with pytest.raises(
        MissingInput, match=r"2 scenes 'cells': choose .*0 'overview', 1 'cells', 2 'cells', 3 'last'"
    ) as caught:
        read_image(with_overview, scene="cells")
    assert caught.value.what == "scene"


def test_levels_of_a_pyramid_are_no_scenes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(stack((4, 32, 32)), subifds=1, photometric="minisblack", metadata={"axes": "ZYX"})
        tif.write(stack((4, 16, 16)), subfiletype=1, photometric="minisblack")
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data[0], stack((4, 32, 32)))
    assert image.notes == ()


def test_a_smaller_copy_that_is_not_marked_as_one_is_another_scene(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(stains(), photometric="minisblack", metadata={"axes": "CZYX"})
        tif.write(stains()[:, :, ::2, ::2], photometric="minisblack", metadata=None)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, stains())
    assert image.notes == ("a.tif has 2 scenes: scene 0 was read.",)


def test_one_time_point_is_read(tmp_path):
    data = stack((3, 2, 4, 6, 5))
    path = write_ome(tmp_path / "a.ome.tif", data, "TCZYX")
    np.testing.assert_array_equal(read_image(path, time=2).data, data[2])
    with pytest.raises(MissingInput, match="no time point 3: it has 3") as caught:
        read_image(path, time=3)
    assert caught.value.what == "time"


# --- Types and lazy reading -------------------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_real_type_in_either_byte_order(tmp_path, dtype, byteorder, compression):
    data = stack((5, 6, 7)).astype(dtype)
    if dtype == "?" and compression:
        pytest.importorskip("tifffile", minversion="2023.3.15")  # older ones do not write it
    tifffile.imwrite(
        tmp_path / "a.tif", data, byteorder=byteorder, compression=compression, photometric="minisblack"
    )
    for lazy in (False, True):
        image = read_image(tmp_path / "a.tif", lazy=lazy)
        read = np.asarray(image.data)
        np.testing.assert_array_equal(read[0], data)
        assert read.dtype.isnative
        assert read.dtype == {"f2": np.float32, "?": np.uint8}.get(dtype, np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_values_are_refused_by_name(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", stack((5, 6, 7)).astype(dtype), photometric="minisblack")
    with pytest.raises(ValueError, match=r"a.tif holds complex"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", KINDS)
def test_lazily_read_is_the_same_and_no_pixel_is_read(tmp_path, kind, monkeypatch):
    from napari_integrated_cell.imaging.formats.planes import Planes

    path = KINDS[kind](tmp_path / kind)
    at_once = read_image(path)
    reads: list[tuple[int, ...]] = []
    plane = Planes.plane
    monkeypatch.setattr(Planes, "plane", lambda self, index: reads.append(index) or plane(self, index))
    lazy = read_image(path, lazy=True)
    assert reads == []
    assert lazy.data.chunks[-2:] == ((9,), (11,))
    np.testing.assert_array_equal(at_once.data, stains())
    np.testing.assert_array_equal(lazy.data.compute(), stains())
    assert (lazy.channel_names, lazy.voxel_size, lazy.notes) == (
        at_once.channel_names,
        at_once.voxel_size,
        at_once.notes,
    )


@pytest.mark.parametrize("reader", ["bioio", "aicsimageio", "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_gives_the_same(tmp_path, kind, reader):
    if reader == "aicsimageio":
        pytest.importorskip("aicsimageio")
    image = read_image(KINDS[kind](tmp_path / kind), reader=reader)
    np.testing.assert_array_equal(image.data, stains())


def test_a_reader_that_is_not_there_is_named(tmp_path):
    path = write_ome_stains(tmp_path / "a.ome.tif")
    with pytest.raises(MissingInput, match="choose auto, bioio, aicsimageio") as caught:
        read_image(path, reader="imagej")
    assert caught.value.what == "reader"


def test_a_file_that_is_cut_short_later_is_refused_when_it_is_computed(tmp_path):
    path = write_ome_stains(tmp_path / "a.ome.tif", byteorder=">")
    image = read_image(path, lazy=True)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r"a.ome.tif could not be read .*copy or export it again"):
        image.data.compute()


# --- OME-XML off the strict path ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        (r"<Channel[^>]*?/?>(?:\s*<LightPath */></Channel>)?", ""),
        ('xmlns="[^"]*"', ""),
        ('Type="uint16"', 'Type="short"'),
        (r'SizeZ="7"', ""),
        (r'SizeC="2"', ""),
        ("<TiffData[^>]*/>", ""),
        ("<TiffData[^>]*/>", "<TiffData/>"),
        ("</OME>", "</OMG>"),
        ("<Pixels ", "<Pixels Note=1 "),
    ],
)
def test_metadata_that_are_not_valid_keep_what_is_sound(tmp_path, change):
    path = edit_xml(write_ome_stains(tmp_path / "a.ome.tif"), change)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert image.voxel_size == pytest.approx((0.6, 0.4, 0.4))
    if "Channel" not in change[0]:
        assert image.channel_names == ("CellMask", "Hoechst")


def test_a_renamed_file_finds_its_planes(tmp_path):
    path = KINDS["plane by plane.ome.tif"](tmp_path / "a.ome.tif").rename(tmp_path / "b.ome.tif")
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert any("was renamed" in note for note in image.notes)
