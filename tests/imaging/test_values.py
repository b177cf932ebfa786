"""NaN, infinite and constant channels are found and named."""

from __future__ import annotations

import numpy as np
import pytest

from napari_integrated_cell.imaging.values import finite, replacement


def channel(dtype: type = np.float32) -> np.ndarray:
    """Mostly 100, with something bright."""
    volume = np.full((5, 20, 30), 100, dtype)
    volume += np.random.default_rng(0).integers(0, 3, volume.shape).astype(dtype)
    volume[2, 5:10, 5:10] = 900
    return volume


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_broken_voxels_become_the_background_and_are_counted(broken):
    volume = channel()
    volume[..., :3] = broken
    mended, note = finite(volume, "dna of a.tif")
    assert np.isfinite(mended).all()
    assert 100 <= mended[0, 0, 0] <= 102
    np.testing.assert_array_equal(mended[..., 3:], volume[..., 3:])
    assert "dna of a.tif is NaN or infinite in 10.0% of its voxels" in note


def test_sound_channels_are_returned_as_they_are():
    for dtype in (np.float32, np.uint16, np.int8):
        volume = channel(np.float32).clip(0, 120).astype(dtype)
        assert finite(volume, "dna") == (volume, "") or finite(volume, "dna")[0] is volume


def test_more_than_half_broken_is_refused_by_name():
    volume = channel()
    volume[..., :20] = np.nan
    with pytest.raises(ValueError, match="channel dna is NaN or infinite in 67% of its voxels"):
        finite(volume, "dna")


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_channel_is_refused_by_name(value, dtype):
    with pytest.raises(ValueError, match=f"channel membrane of a.tif is {value} everywhere"):
        finite(np.full((3, 4, 5), value, dtype), "membrane of a.tif")


def test_a_channel_of_nan_and_one_value_is_refused():
    volume = np.zeros((3, 4, 5), np.float32)
    volume[0, 0] = np.nan
    with pytest.raises(ValueError, match="0 everywhere"):
        finite(volume, "dna")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("check", [finite, replacement])
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(("dtype", "top"), [(np.float64, 1e300), (np.float64, -1e39), (np.float32, 3e38)])
def test_values_that_are_too_large_are_refused_by_name(check, broken, dtype, top):
    volume = channel(dtype)
    volume[2, 5, 5] = top
    if broken:
        volume[..., :3] = np.nan
    with pytest.raises(
        ValueError, match=r"channel dna of a\.tif has values from .* too large to compute with"
    ):
        check(volume, "dna of a.tif")
