"""Stacks of MetaMorph STK are read with their planes and sizes. All files are handmade."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import tifffile
from stk_files import write_stk
from tiff_files import VOXEL, stains

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.reading import read_image


def planes(z: int = 7) -> np.ndarray:
    return stains(z)[0]


@pytest.mark.parametrize("lazy", [False, True])
def test_planes_are_z_and_have_a_size(tmp_path, lazy):
    image = read_image(write_stk(tmp_path / "a.stk", planes()), lazy=lazy)
    np.testing.assert_array_equal(np.asarray(image.data), planes()[None])
    assert image.voxel_size == pytest.approx(VOXEL)
    assert image.notes == ()


@pytest.mark.parametrize(
    "distances", [[0.6] * 7, [0, *[0.6] * 6], [*[0.6] * 6, 0], [0.6 * i for i in range(7)]]
)
def test_the_step_is_found_however_the_distances_are_counted(tmp_path, distances):
    image = read_image(write_stk(tmp_path / "A.STK", planes(), distances=distances))
    assert image.voxel_size == pytest.approx(VOXEL)


@pytest.mark.parametrize(
    ("facts", "found", "note"),
    [
        ({"distances": [0] * 7}, "nothing in Z", "Z planes were assumed"),
        (
            {"distances": [0.6, 0.1, 2, 0.6, 0.4, 5, 1]},
            "nothing in Z",
            "its planes have different Z distances",
        ),
        ({"edge": None}, "nothing in Y and X", ""),
        ({"calibrated": 0}, "nothing in Y and X", ""),
        ({"unit": "pixel"}, "nothing in Y and X", ""),
        ({"unit": "furlong"}, "the unit 'furlong' in Y and X", ""),
        ({"without": [33628]}, "no voxel size", "damaged MetaMorph metadata"),
    ],
)
def test_sizes_that_are_missing_are_asked_for(tmp_path, facts, found, note):
    image = read_image(write_stk(tmp_path / "a.tif", planes(), **facts))
    np.testing.assert_array_equal(image.data[0], planes())
    assert image.voxel_size is None
    assert found in image.size_found
    assert note in " ".join(image.notes)


@pytest.mark.parametrize("facts", [{"promised": 6}, {"promised": 8}, {"waves_promised": 3}])
def test_a_number_of_planes_that_does_not_fit_asks_for_axes(tmp_path, facts):
    path = write_stk(tmp_path / "a.tif", planes(), **facts)
    with pytest.raises(MissingInput, match=r"MetaMorph metadata that name .* of 7 planes"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, axes="ZYX").data[0], planes())


def test_planes_of_several_wavelengths_ask_for_axes(tmp_path):
    path = write_stk(tmp_path / "a.tif", planes(8), waves=[488, 561] * 4)
    with pytest.raises(MissingInput, match="8 planes of 2 wavelengths"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, axes="ZC2YX").data[1], planes(8)[1::2])


@pytest.mark.slow
def test_one_flipped_bit_outside_the_pixels_is_never_another_image(tmp_path):
    path = write_stk(tmp_path / "a.tif", planes())
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        # A file says only once where its pixels begin. No program can know that this is wrong by a few bytes.
        once = tif.pages[0].tags[273].offset
    end = 8 + planes().nbytes
    damaged = tmp_path / "b.tif"
    for at in [*range(8), *random.Random(0).sample(range(end, len(content)), 150)]:
        if once <= at < once + 12:
            continue
        bit = 1 << random.Random(at).randrange(8)
        damaged.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        with contextlib.suppress(ValueError):
            image = read_image(damaged)
            same = image.data[0].shape == planes().shape and (image.data[0] == planes()).all()
            assert image.notes or same, (at, bit)
