"""Contrast limits are finite, whatever an image holds."""

from __future__ import annotations

import numpy as np
import pytest

from napari_integrated_cell.plugin.layers.display import image_limits


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_limits_come_from_the_finite_values(broken):
    volume = np.random.default_rng(0).uniform(100, 900, (8, 40, 40)).astype(np.float32)
    sound = image_limits(volume)
    volume[..., :4] = broken
    assert image_limits(volume) == pytest.approx(sound, rel=0.1)


def test_an_image_without_a_finite_value_has_limits_too():
    assert image_limits(np.full((4, 8, 8), np.nan, np.float32)) == (0.0, 1.0)
