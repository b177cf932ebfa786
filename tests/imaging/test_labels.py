"""Labels are told from stains by what an image holds, and are checked before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from napari_integrated_cell.imaging.labels import checked_labels, looks_like_intensities, looks_like_labels
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.simulation import SimulatedField, simulate_field

INTEGERS = ("u1", "<u2", ">u2", "<u4", "<u8", ">u8", "i1", "<i2", ">i2", "<i4", "<i8", ">i8")
FLOATS = ("<f4", ">f4", "<f8")
STAINS = ("membrane", "dna", "TOM20", "fibrillarin")


def field(seed: int, voxel: float, noise: bool = True) -> SimulatedField:
    return simulate_field(seed, 4, voxel_size=(0.4, voxel, voxel), structure=STAINS[2:], noise=noise)


@pytest.fixture(scope="module")
def fields() -> dict[float, SimulatedField]:
    return {voxel: field(1, voxel) for voxel in (0.15, 0.4)}


@pytest.fixture(scope="module")
def clean() -> SimulatedField:
    return field(1, 0.2, noise=False)


# --- Labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("voxel", [0.15, 0.4])
def test_labels_of_any_type_are_labels(fields, dtype, voxel):
    for labels in (fields[voxel].cell_labels, fields[voxel].nucleus_labels):
        assert looks_like_labels(labels.astype(dtype))
        assert looks_like_labels((labels == 1).astype(dtype))
        top = 127 if dtype == "i1" else 255
        assert looks_like_labels((labels > 0).astype(dtype) * np.dtype(dtype).type(top))


@given(ids=st.lists(st.integers(1, 2**40), min_size=4, max_size=4, unique=True))
@settings(deadline=None, max_examples=15)
def test_any_numbers_may_be_labels(fields, ids):
    table = np.array([0, *ids], dtype=np.uint64)
    for labels in (fields[0.4].cell_labels, fields[0.4].nucleus_labels):
        assert looks_like_labels(table[labels])
        assert looks_like_labels(table[labels] + 2**62)  # a background other than 0


def test_hundreds_of_labels_and_no_background():
    rng = np.random.default_rng(0)
    _, nearest = KDTree(rng.uniform(0, 400, (600, 2))).query(np.stack(np.mgrid[:400, :400], axis=-1))
    nearest = nearest[None]
    assert looks_like_labels(nearest + 1)
    assert looks_like_labels(np.where(nearest % 2, nearest, 0))


@pytest.mark.parametrize("ids", [(1, 2, 3, 4), (40, 90, 200, 250), (5000, 17, 900, 66)])
def test_interpolated_edges_and_specks_do_not_hide_labels(fields, ids):
    labels = np.array([0, *ids], dtype=np.float64)[fields[0.15].cell_labels]
    larger = ndimage.zoom(labels, (1, 1.4, 1.4), order=1)
    assert looks_like_labels(np.rint(larger).astype(np.uint16))
    specked = labels.copy()
    specks = np.random.default_rng(0).random(labels.shape) < 0.003
    specked[specks] = np.random.default_rng(1).choice(ids, specks.sum())
    assert looks_like_labels(specked.astype(np.int32))


def test_masks_of_dots_are_labels(fields):
    dots = fields[0.4].channels["TOM20"] > 300
    assert looks_like_labels(dots)
    assert looks_like_labels(dots.astype(np.uint8) * np.uint8(255))
    assert looks_like_labels(dots.astype(np.float32) * 65535)


# --- Stains -------------------------------------------------------------------------------------------


def shown(image: NDArray[Any], how: str) -> NDArray[Any]:
    """Return a camera image as people process it."""
    above = np.clip(image.astype(float) - 100, 0, None)
    top = float(np.percentile(above, 99.9))
    if how == "binned":
        z, y, x = image.shape
        return image[:, : y // 2 * 2, : x // 2 * 2].reshape(z, y // 2, 2, x // 2, 2).sum((2, 4))
    return {
        "raw": image,
        "big-endian": image.astype(">u2"),
        "whole floats": image.astype(np.float32),
        "fractions": image / 7,
        "uint8": np.clip(above / top * 255, 0, 255).astype(np.uint8),
        "sixteen levels": np.floor(np.clip(above / top, 0, 0.999) * 16),
        "few levels": np.floor(np.clip(above / top, 0, 0.999) * 4).astype(np.uint8),
        "saturated": np.clip(above * 3, 0, 255).astype(np.uint8),
        "strongly saturated": np.clip(above * 20 - 600, 0, 255).astype(np.uint8),
        "without background": np.where(above > top / 20, above, 0).astype(np.uint16),
        "background only in a part": np.where(np.arange(image.shape[2]) < 20, image, 0),
        "probability": np.clip(above / top, 0, 1),
    }[how]


HOWS = (
    *("raw", "big-endian", "whole floats", "fractions", "uint8", "sixteen levels", "few levels", "binned"),
    *("saturated", "strongly saturated", "without background", "background only in a part", "probability"),
)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("voxel", [0.15, 0.4])
def test_stains_are_no_labels(fields, how, voxel):
    for name in STAINS:
        assert not looks_like_labels(shown(fields[voxel].channels[name], how)), name


@given(photons=st.floats(0.05, 20), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=15)
def test_single_photons_are_no_labels(clean, photons, seed):
    for name in STAINS:
        counts = np.random.default_rng(seed).poisson(clean.channels[name] * photons)
        assert not looks_like_labels(counts.astype(np.uint8)), name


@given(levels=st.integers(3, 12))
@settings(deadline=None, max_examples=10)
def test_smooth_grey_levels_are_no_labels(clean, levels):
    for name in STAINS:
        assert not looks_like_labels(np.rint(clean.channels[name] * levels).astype(np.uint8)), name


def test_what_holds_nothing_is_no_label_image():
    for value in (0, 7):
        assert not looks_like_labels(np.full((5, 20, 20), value))
    assert not looks_like_labels(np.zeros((0, 20, 20), dtype=int))
    assert not looks_like_labels(np.zeros(20, dtype=int))
    assert not looks_like_labels(np.zeros((5, 20, 20), dtype=complex))
    cells = np.zeros((5, 40, 40))
    cells[:, 5:20, 5:20] = 1
    assert looks_like_labels(cells)
    cells[2, 3, 3] = np.nan
    assert not looks_like_labels(cells)


def test_a_lazy_image_is_read_at_a_few_planes_only():
    read: list[int] = []

    def plane(block_info: Any = None) -> NDArray[Any]:
        z = block_info[None]["array-location"][0][0]
        read.append(z)
        image = np.zeros((1, 50, 60), dtype=np.uint16)
        image[0, 10:30, 10:30] = 3 if 20 < z < 80 else 0
        return image

    lazy = da.map_blocks(plane, chunks=((1,) * 100, (50,), (60,)), dtype=np.uint16)
    read.clear()
    assert looks_like_labels(lazy)
    assert len(set(read)) <= 7
    assert looks_like_labels(da.from_array(np.asarray(lazy)[None, :, None]))


# --- Real images --------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_real_segmentations_are_labels_and_real_light_is_not(real_data):
    segmentations = [
        *real_data.glob("hipsc_*/*_labels.ome.tif"),
        *real_data.glob("hipsc_*/*_mask.ome.tif"),
        *real_data.glob("wtc11_single_cell/*.tiff"),
        *sorted(real_data.glob("hela3d/*_cell.ome.tif"))[::8],
        *sorted(real_data.glob("hela3d/*_nucleus.ome.tif"))[::8],
    ]
    light = sorted(real_data.glob("hela3d/*_protein.ome.tif"))[::4]
    assert len(segmentations) > 30
    assert len(light) > 20
    for path in segmentations:
        assert all(looks_like_labels(volume) for volume in read_image(path).data), path
    for path in light:
        assert not any(looks_like_labels(volume) for volume in read_image(path).data), path


# --- Checked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_keep_their_type_in_native_order(dtype):
    labels = np.array([[[0, 1, 5]]], dtype=dtype)
    got = checked_labels(labels, "cells.tif")
    assert got.dtype == np.dtype(dtype).newbyteorder("=")
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, labels)


@pytest.mark.parametrize("dtype", ["u4", "u8", "i8", ">u8", "f8"])
def test_labels_above_two_thousand_million_are_kept(dtype):
    labels = np.array([[[0, 3_000_000_001, 3_000_000_002]]], dtype=dtype)
    got = checked_labels(labels, "cells.tif")
    assert got.dtype.kind in "iu"
    assert got.ravel().tolist() == [0, 3_000_000_001, 3_000_000_002]


def test_bool_and_whole_floats_become_integers():
    assert checked_labels(np.array([[[True, False]]]), "a").dtype == np.uint8
    assert checked_labels(np.array([[[0.0, 7.0]]], dtype=">f4"), "a").dtype == np.int32


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([0.0, 0.5]), "holds intensities, not labels"),
        (np.array([0.0, np.nan]), "NaN or infinite"),
        (np.array([0.0, np.inf]), "NaN or infinite"),
        (np.array([0, -1], dtype=np.int16), "negative labels"),
        (np.array([0.0, -1.0]), "negative labels"),
        (np.array([0, 1j]), "complex128 values"),
        (np.array([0.0, 2.0**60]), "cannot count to"),
    ],
)
def test_what_is_no_label_is_refused_in_one_sentence(values, says):
    with pytest.raises(ValueError, match=says) as refused:
        checked_labels(values[None, None], "cells.tif")
    assert str(refused.value).startswith("cells.tif holds")
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


# --- Stains that are given as labels ------------------------------------------------------------------

HIPSC = ("hipsc_tomm20_field", "hipsc_lamp1_field", "hipsc_30_cells")
REAL = [
    *(f"{field}/{what}_labels.ome.tif" for field in HIPSC for what in ("cell", "nucleus")),
    *(f"hela3d/Mit_{number}_{what}.ome.tif" for number in (31, 33) for what in ("cell", "nucleus")),
]


@pytest.mark.parametrize("file", REAL)
@pytest.mark.parametrize("step", [1, 4, 12])
def test_real_labels_are_never_taken_for_a_stain(file, step):
    path = Path(__file__).parents[3] / "shared" / "data" / file
    if not path.is_file():
        pytest.skip(f"shared/data/{file} is not here")
    labels = read_image(path).data[0][:: max(step // 4, 1), ::step, ::step]
    assert not looks_like_intensities(labels)
    assert not looks_like_intensities(np.where(labels == 0, 200, labels))


@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_stains_of_whole_numbers_are_told(fields, stain, bits):
    image = fields[0.4].channels[stain]
    scaled = image / image.max() * (2**bits - 1)
    assert looks_like_intensities(scaled.astype(np.uint16))


@pytest.mark.parametrize("levels", [4, 20, 255])
def test_smooth_grey_levels_are_told(fields, levels):
    smooth = ndimage.gaussian_filter(fields[0.4].channels["dna"].astype(float), 2)
    assert looks_like_intensities((smooth / smooth.max() * levels).astype(np.uint8))


def test_what_is_not_clear_is_no_stain(fields):
    cells = fields[0.4].cell_labels
    for unclear in (np.zeros_like(cells), np.ones_like(cells), cells, cells > 0, (cells > 0) + (cells == 2)):
        assert not looks_like_intensities(unclear.astype(np.uint16))
    columns = np.broadcast_to(np.arange(200) // 10, (5, 100, 200))
    assert not looks_like_intensities(columns + 1)
    dots = np.zeros((5, 100, 200), np.uint16)
    dots[:, ::3, ::3] = np.arange(34 * 67).reshape(34, 67)
    assert not looks_like_intensities(dots)
