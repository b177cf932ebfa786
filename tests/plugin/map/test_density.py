"""The density image against a histogram that is counted point by point. No window."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_integrated_cell.plugin.map.density import density_image


@given(seed=st.integers(0, 99), n=st.integers(0, 60), rows=st.integers(1, 7), columns=st.integers(1, 7))
def test_a_pixel_has_the_mean_colour_of_its_points_and_more_of_them_make_it_more_opaque(
    seed, n, rows, columns
):
    draw = np.random.default_rng(seed)
    corner, pixel = (-1.0, 2.0), (0.5, 0.25)
    # In the middles of pixels, so that rounding does not decide. Some are outside the image.
    cells = draw.integers(-1, 8, (n, 2))
    points = ((cells + 0.5) * pixel + corner).astype(np.float32)
    rgb = draw.integers(0, 256, (n, 3), dtype=np.uint8)
    image = density_image(points, rgb, corner, pixel, (rows, columns))
    assert image.shape == (rows, columns, 4)
    counts, alphas = [], []
    for row in range(rows):
        for column in range(columns):
            inside = (cells == (column, row)).all(1)
            drawn = image[row, column]
            if not inside.any():
                assert drawn[3] == 0
                continue
            np.testing.assert_allclose(drawn[:3], rgb[inside].mean(0), atol=0.51)
            counts.append(inside.sum())
            alphas.append(drawn[3])
    assert all(alpha >= 80 for alpha in alphas), "one cell is visible"
    order = np.argsort(counts)
    assert (np.diff(np.array(alphas, int)[order])[np.diff(np.array(counts)[order]) > 0] > 0).all()


def test_200_000_points_take_a_fraction_of_a_second():
    """Not a benchmark: a guard against drawing point by point."""
    draw = np.random.default_rng(0)
    points = draw.normal(size=(200_000, 2)).astype(np.float32)
    rgb = draw.integers(0, 256, (200_000, 3), dtype=np.uint8)
    started = time.process_time()
    for _ in range(5):
        density_image(points, rgb, (-8.0, -8.0), (0.05, 0.05), (320, 320))
    assert (time.process_time() - started) / 5 < 0.1
