"""Read an image as it was, in whatever order its axes are stored."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.reading import read_image, read_labels

_LENGTHS = {"T": 2, "Z": 5, "C": 3, "Y": 6, "X": 7}
_WHOLE = np.random.default_rng(0).integers(0, 4000, tuple(_LENGTHS.values())).astype(np.uint16)
ORDERS = sorted("".join(order) for axes in ("ZYX", "ZCYX", "TZCYX") for order in permutations(axes))


def in_order(axes: str) -> np.ndarray:
    """Return the values of the axes that are named, in that order; of the others the first."""
    kept = [letter for letter in _LENGTHS if letter in axes]
    data = _WHOLE[tuple(slice(None) if letter in axes else 0 for letter in _LENGTHS)]
    return np.ascontiguousarray(data.transpose([kept.index(letter) for letter in axes]))


def assert_read(path, axes: str, **choices) -> None:
    series = "T" in axes
    wanted = in_order("CTZYX" if series else "CZYX" if "C" in axes else "ZYX")
    for lazy in (False, True):
        image = read_image(path, lazy=lazy, series=series, **choices)
        np.testing.assert_array_equal(np.asarray(image.data), wanted if "C" in axes else wanted[None])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(axes=st.sampled_from(ORDERS), byteorder=st.sampled_from("<>"), packed=st.booleans())
def test_the_axes_that_tifffile_names_are_read_in_any_order(tmp_path, axes, byteorder, packed):
    tifffile.imwrite(
        tmp_path / "a.tif",
        in_order(axes),
        photometric="minisblack",
        metadata={"axes": axes},
        byteorder=byteorder,
        compression="zlib" if packed else None,
    )
    assert_read(tmp_path / "a.tif", axes)


@pytest.mark.parametrize("axes", ["YXZ", "ZXY", "CYXZ", "CZXY", "ZYXC"])
def test_rows_or_columns_that_are_not_last_are_read(tmp_path, axes):
    tifffile.imwrite(tmp_path / "a.tif", in_order(axes), photometric="minisblack", metadata={"axes": axes})
    assert_read(tmp_path / "a.tif", axes)


@pytest.mark.parametrize("axes", ["ZXY", "ZYXC", "YXZ"])
def test_axes_that_the_file_does_not_name_are_given_in_any_order(tmp_path, axes):
    tifffile.imwrite(tmp_path / "a.tif", in_order(axes), photometric="minisblack", metadata=None)
    given = axes if "C" not in axes else "Z5YXC"  # its pages are X and C
    image = read_image(tmp_path / "a.tif", axes=given)
    np.testing.assert_array_equal(image.data, in_order("CZYX") if "C" in axes else in_order("ZYX")[None])


@pytest.mark.parametrize(
    ("axes", "given"), [("ZCYX", "ZC3YX"), ("CZYX", "c3zyx"), ("TZCYX", "T2ZC3YX"), ("CZYX", "C3Z5Y6X7")]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_given_lengths_divide_planes_without_names(tmp_path, axes, given, lazy):
    pages = in_order(axes).reshape(-1, 6, 7)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", metadata=None)
    image = read_image(tmp_path / "a.tif", axes=given, lazy=lazy, series="T" in axes)
    wanted = in_order("CTZYX" if "T" in axes else "CZYX")
    np.testing.assert_array_equal(np.asarray(image.data), wanted)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ZC2YX", "15 planes, which ZC2YX does not divide"),
        ("Z4C3YX", "does not divide"),
        ("TZC3YX", "all axes before the plane but one"),
        ("Z5C3Y9X", "has the length 6 where Z5C3Y9X has Y"),
        ("Z5C3ZYX", "each once"),
        ("C3YX", "does not divide"),
        ("3C", "give the length"),
        ("Z5C3ÄX", "does not|letters|length"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(tmp_path, given, said):
    pages = in_order("ZCYX").reshape(-1, 6, 7)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", metadata=None)
    with pytest.raises((MissingInput, UnsupportedImage), match=said):
        read_image(tmp_path / "a.tif", axes=given)


def test_a_channel_that_only_lengths_can_give_asks_for_them(tmp_path):
    pages = in_order("ZCYX").reshape(-1, 6, 7)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", metadata=None)
    image = read_image(tmp_path / "a.tif")
    with pytest.raises(MissingInput, match=r"one channel of 15 Z planes.*for example ZC2YX") as caught:
        image.channel("1")
    assert caught.value.what == "axes"


@pytest.mark.parametrize("order", sorted("".join(order) for order in permutations("TZC")))
def test_every_order_of_ome_is_read(tmp_path, order):
    metadata = {"axes": order + "YX"}
    tifffile.imwrite(
        tmp_path / "a.ome.tif", in_order(order + "YX"), ome=True, photometric="minisblack", metadata=metadata
    )
    assert_read(tmp_path / "a.ome.tif", order + "YX")


def test_planes_with_columns_before_rows_that_were_written_one_by_one(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in in_order("ZXY"):
            tif.write(plane, photometric="minisblack", metadata={"axes": "XY"}, contiguous=False)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[0], in_order("ZYX"))


def test_axes_without_rows_are_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", in_order("ZYX"), photometric="minisblack", metadata={"axes": "ZCX"})
    with pytest.raises(MissingInput, match="names the axes ZCX: give its axes"):
        read_image(tmp_path / "a.tif")


def test_a_resolution_counts_along_the_plane_of_the_file(tmp_path):
    metadata = {"axes": "ZXY"}
    for resolution, found in (((2.5, 2.5), (None, 0.4, 0.4)), ((2.5, 5), (None, None, None))):
        tifffile.imwrite(
            tmp_path / "a.tif",
            in_order("ZXY"),
            photometric="minisblack",
            metadata=metadata,
            resolution=tuple(r * 1e4 for r in resolution),
            resolutionunit="CENTIMETER",
        )
        assert read_image(tmp_path / "a.tif").stated_size == pytest.approx(found)
