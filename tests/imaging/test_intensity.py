"""Background, scaling and masks of section 3.1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_integrated_cell.imaging.intensity import dilated, most_populous, within
from napari_integrated_cell.imaging.pose import normalise


@given(
    values=st.lists(st.integers(-50, 300), min_size=1, max_size=200),
    dtype=st.sampled_from([np.int16, np.int32, np.int64]),
)
def test_the_most_populous_integer_is_counted_exactly(values, dtype):
    image = np.array(values, dtype=dtype)
    unique, counts = np.unique(image, return_counts=True)
    assert most_populous(image) == unique[counts.argmax()]


def test_the_most_populous_float():
    rng = np.random.default_rng(0)
    background = rng.normal(100, 2, 20_000)
    bright = rng.uniform(100, 900, 5_000)
    assert most_populous(np.concatenate([background, bright, [1e7]])) == pytest.approx(100, abs=2)
    assert most_populous(np.concatenate([np.full(900, 0.25), rng.random(100)])) == 0.25
    assert most_populous(np.zeros((3, 3))) == 0
    assert most_populous(np.array([1e12, 1e12, 5e12])) == 1e12
    with pytest.raises(ValueError, match="empty"):
        most_populous(np.zeros(0))


def test_normalise_is_the_papers():
    rng = np.random.default_rng(1)
    image = rng.poisson(20, (8, 20, 20)).astype(np.uint16)
    image[:, 5:10, 5:10] += 200
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 4:12, 4:9] = True
    mode = np.bincount(image.ravel()).argmax()
    expected = np.clip(image.astype(float) - mode, 0, None)
    np.testing.assert_allclose(normalise(image), expected / expected.max(), rtol=1e-6)
    expected = expected * mask
    np.testing.assert_allclose(normalise(image, mask), expected / expected.max(), rtol=1e-6)
    assert normalise(image).dtype == np.float32
    assert not normalise(np.full((3, 3, 3), 7)).any()
    with pytest.raises(ValueError, match="one grid"):
        normalise(image, mask[1:])


@given(voxel=st.tuples(*[st.floats(0.08, 0.3)] * 3))
@settings(deadline=None, max_examples=10)
def test_a_mask_grows_by_micrometres(voxel):
    shape = tuple(int(np.ceil(9 / v)) for v in voxel)
    at = np.meshgrid(*[(np.arange(n) - n // 2) * v for n, v in zip(shape, voxel, strict=True)], indexing="ij")
    away = np.sqrt(sum(a**2 for a in at))
    bigger = dilated(away < 3, 0.3, voxel)
    assert bigger[away < 3].all()
    radius = (bigger.sum() * np.prod(voxel) * 3 / (4 * np.pi)) ** (1 / 3)
    assert 3.2 < radius < 3.38


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 150), st.integers(1, 30)),
    voxel_size=st.tuples(*[st.sampled_from([0.108333, 0.25, 0.29, 0.6])] * 3),
    distance=st.sampled_from([0.0, 0.3, 0.5]),
    share=st.sampled_from([0.0, 0.001, 0.01, 0.3]),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_dilated_mask_is_that_of_a_gaussian_of_the_whole_volume(shape, voxel_size, distance, share, seed):
    mask = np.random.default_rng(seed).random(shape) < share
    sigma = [distance / v for v in voxel_size]
    blurred = ndimage.gaussian_filter(mask.astype(float), sigma, mode="nearest", truncate=3)
    tail = 0.158655
    clear = np.abs(blurred - tail) > 1e-6  # else rounding errors decide
    np.testing.assert_array_equal(
        dilated(mask, distance, voxel_size)[clear], (mask | (blurred > tail))[clear]
    )


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    voxel_size=st.tuples(*[st.sampled_from([0.05, 0.1, 0.108333, 0.25, 0.29, 0.6])] * 3),
    distance=st.sampled_from([0.0, 0.2, 0.3, 0.5]),
    share=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_voxels_within_a_distance_are_those_of_a_distance_transform(shape, voxel_size, distance, share, seed):
    mask = np.random.default_rng(seed).random(shape) < share
    mask.flat[0] = True
    away = ndimage.distance_transform_edt(~mask, sampling=voxel_size)
    clear = (np.abs(away - distance) > 1e-9) | mask  # else rounding errors decide
    np.testing.assert_array_equal(within(mask, distance, voxel_size)[clear], (away <= distance)[clear])
