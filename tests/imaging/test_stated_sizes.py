"""What files state about the size of their voxels: every unit, nothing, or nonsense."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tifffile
from tiff_files import NAMES, SIZES, UNITS, edit_xml, stains, write_imagej, write_ome_stains

from napari_integrated_cell.imaging.formats.sizes import micrometres
from napari_integrated_cell.imaging.reading import read_image


@pytest.mark.parametrize(
    ("names", "length"),
    [
        (("µm", "μm", "um", "micron", "Microns", "micrometer", "micrometres", "\\u00B5m", "Âµm", "UM"), 1),
        (("nm", "nanometers", "Nanometre", "nanometer"), 1e-3),
        (("mm", "millimeter", "MM"), 1e3),
        (("cm", "centimetres"), 1e4),
        (("m", "meter", "metres"), 1e6),
        (("inch", "in", "inches", "Inch", '"'), 25400),
        (("Å", "angstrom", "Ångström"), 1e-4),
        (("pm", "picometer"), 1e-6),
        (("thou", "mil"), 25.4),
    ],
)
def test_units_of_any_spelling(names, length):
    assert [micrometres(name) for name in names] == pytest.approx([length] * len(names))


@pytest.mark.parametrize("name", ["", "pixel", "px", "furlong", "reference frame", "µs", "sec", "1"])
def test_what_is_no_length(name):
    assert micrometres(name) is None


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        ("micron", 1),
        ("\\u00B5m", 1),
        ("um", 1),
        ("inch", 25400),
        ("nanometers", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
    ],
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_units_of_imagej(tmp_path, unit, length, byteorder):
    path = write_imagej(
        tmp_path / "a.tif",
        resolution=(length / 0.4, length / 0.4),
        byteorder=byteorder,
        metadata={"spacing": 0.6 / length, "unit": unit},
    )
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert image.voxel_size == pytest.approx((0.6, 0.4, 0.4), rel=1e-3)
    assert image.notes == ()


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"spacing": None}, "states 0.4 µm in Y and X but nothing in Z"),
        ({"spacing": "nan"}, "states nan in Z, 0.4 µm in Y and X"),
        ({"spacing": -0.6}, "states -0.6 in Z, 0.4 µm in Y and X"),
        ({"unit": "furlong"}, "states 0.6 in the unit 'furlong' in Z, 0.4 in the unit 'furlong' in Y and X"),
        ({"unit": "pixel"}, "states no voxel size"),
        ({"yunit": "furlong"}, "states 0.6 µm in Z, 0.4 in the unit 'furlong' in Y, 0.4 µm in X"),
    ],
)
def test_what_imagej_states_and_cannot_be_used_is_said(tmp_path, metadata, found):
    image = read_image(write_imagej(tmp_path / "a.tif", metadata=metadata))
    assert image.voxel_size is None
    assert image.size_found == found
    assert any(found in note for note in image.notes) == (found != "states no voxel size")


@pytest.mark.parametrize("damaged", ["0", "-0.6", "NaN", "INF", "", "thick"])
def test_a_size_that_is_no_length_keeps_names_and_the_other_sizes(tmp_path, damaged):
    path = edit_xml(
        write_ome_stains(tmp_path / "a.ome.tif"), ('PhysicalSizeZ="0.6"', f'PhysicalSizeZ="{damaged}"')
    )
    image = read_image(path)
    assert image.voxel_size is None
    assert image.stated_size == pytest.approx((None, 0.4, 0.4))
    given = read_image(path, voxel_size=(0.5, 0.4, 0.4))
    assert given.channel_names == ("CellMask", "Hoechst")
    assert given.voxel_size == (0.5, 0.4, 0.4)
    assert given.notes == ()
    np.testing.assert_array_equal(given.data, stains())


@pytest.mark.parametrize(
    ("unit", "length"),
    [("nm", 1e-3), ("mm", 1e3), ("inch", 25400), ("micron", 1), ("Å", 1e-4), ("in", 25400)],
)
def test_units_of_ome_need_not_be_those_of_the_schema(tmp_path, unit, length):
    sizes = {name: size / length for name, size in SIZES.items()}
    units = dict.fromkeys(UNITS, unit)
    metadata = {"axes": "CZYX", **NAMES, **sizes, **units}
    tifffile.imwrite(tmp_path / "a.ome.tif", stains(), ome=True, photometric="minisblack", metadata=metadata)
    assert read_image(tmp_path / "a.ome.tif").voxel_size == pytest.approx((0.6, 0.4, 0.4))


def test_a_missing_unit_is_micrometres_and_an_unknown_one_is_said(tmp_path):
    path = edit_xml(write_ome_stains(tmp_path / "a.ome.tif"), (r' PhysicalSize\wUnit="[^"]*"', ""))
    assert read_image(path).voxel_size == pytest.approx((0.6, 0.4, 0.4))
    edit_xml(path, ('PhysicalSizeX="0.4"', 'PhysicalSizeX="0.4" PhysicalSizeXUnit="furlong"'))
    image = read_image(path)
    assert image.voxel_size is None
    assert "0.4 in the unit 'furlong' in X" in image.size_found
    assert image.channel_names == ("CellMask", "Hoechst")


@pytest.mark.parametrize("edge", [1e-5, 400])
def test_an_edge_that_no_microscope_has_is_not_used_and_said(tmp_path, edge):
    sizes = dict.fromkeys(SIZES, edge)
    metadata = {"axes": "CZYX", **sizes, **UNITS}
    tifffile.imwrite(tmp_path / "a.ome.tif", stains(), ome=True, photometric="minisblack", metadata=metadata)
    image = read_image(tmp_path / "a.ome.tif")
    assert image.voxel_size is None
    assert image.stated_size == pytest.approx((edge, edge, edge))
    assert "outside 0.005 to 20 µm" in image.notes[0]


@pytest.mark.parametrize(
    ("size", "said"), [((9.0, 0.1, 0.1), "too high or too flat in Z"), ((0.5, 0.1, 0.9), "between Y and X")]
)
def test_a_strange_shape_of_voxel_is_used_and_said(tmp_path, size, said):
    sizes = dict(zip(SIZES, size, strict=True))
    metadata = {"axes": "CZYX", **sizes, **UNITS}
    tifffile.imwrite(tmp_path / "a.ome.tif", stains(), ome=True, photometric="minisblack", metadata=metadata)
    image = read_image(tmp_path / "a.ome.tif")
    assert image.voxel_size == pytest.approx(size)
    assert said in image.notes[0]


def test_a_given_size_wins_and_is_said_if_it_is_strange(tmp_path):
    image = read_image(write_ome_stains(tmp_path / "a.ome.tif"), voxel_size=(9, 0.1, 0.1))
    assert image.voxel_size == (9, 0.1, 0.1)
    assert "too high or too flat in Z" in image.notes[0]


@pytest.mark.parametrize(
    "size", [(1e-5, 1e-5, 1e-5), (0.0006, 0.0004, 0.0004), (600, 400, 400), (0.002, 0.4, 0.4)]
)
def test_a_given_size_that_no_microscope_has_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match=f"The voxel size {size[0]:g} x .*: give it in µm"):
        read_image(write_ome_stains(tmp_path / "a.ome.tif"), voxel_size=size)


@pytest.mark.parametrize(("unit", "length"), [("CENTIMETER", 1e4), ("INCH", 25400)])
def test_plain_tiffs_state_y_and_x_in_their_tags(tmp_path, unit, length):
    tifffile.imwrite(
        tmp_path / "a.tif",
        stains()[0],
        photometric="minisblack",
        resolution=(length / 0.4, length / 0.4),
        resolutionunit=unit,
    )
    image = read_image(tmp_path / "a.tif")
    assert image.voxel_size is None
    assert image.size_found == "states 0.4 µm in Y and X but nothing in Z"
    assert image.stated_size[0] is None
    assert math.isclose(image.stated_size[1] or 0, 0.4, rel_tol=1e-3)


def test_micro_manager_states_the_resolution_in_cm_and_the_unit_of_imagej(tmp_path):
    path = write_imagej(
        tmp_path / "a.tif",
        resolution=(1e4 / 0.4, 1e4 / 0.4),
        resolutionunit="CENTIMETER",
        metadata={"unit": "um"},
    )
    assert read_image(path).voxel_size == pytest.approx((0.6, 0.4, 0.4), rel=1e-3)
