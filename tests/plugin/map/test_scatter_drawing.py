"""The scatter's pixels against a literal drawing, and what the colours of the map mean. No window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_integrated_cell.plugin.map import scatter_drawing
from napari_integrated_cell.plugin.map.colouring import (
    UNKNOWN,
    colourable,
    coloured,
    gradient,
    stage_colour,
    title_of,
)
from napari_integrated_cell.plugin.map.scatter_drawing import View, stamped, ticks
from napari_integrated_cell.vocabulary import STAGE_NAMES, structure

VIEWS = st.builds(
    View,
    x=st.floats(-3, 3),
    y=st.floats(-3, 3),
    across=st.floats(0.01, 0.5),
    up=st.floats(0.01, 0.5),
    width=st.integers(5, 60),
    height=st.integers(5, 60),
)


@settings(max_examples=60, deadline=None)
@given(view=VIEWS, x=st.floats(-9, 9), y=st.floats(-9, 9), factor=st.floats(0.2, 5))
def test_the_plane_and_the_picture_belong_together(view, x, y, factor) -> None:
    pixel = view.to_pixels((x, y))
    np.testing.assert_allclose(view.to_plane(pixel), (x, y), atol=1e-6)
    # Zooming leaves the point under the cursor where it is; panning moves everything by as many pixels.
    np.testing.assert_allclose(view.zoomed(factor, *pixel).to_pixels((x, y)), pixel, atol=1e-5)
    np.testing.assert_allclose(view.panned(7, -3).to_pixels((x, y)), pixel + np.array((7, -3)), atol=1e-6)
    # A wider window shows the same part of the plane.
    larger = view.resized(view.width * 2, view.height * 3)
    np.testing.assert_allclose(larger.to_plane((0, 0)), view.to_plane((0, 0)), atol=1e-6)
    np.testing.assert_allclose(
        larger.to_plane((larger.width, larger.height)), view.to_plane((view.width, view.height)), atol=1e-6
    )
    # So does another picture that is put onto it.
    assert View(width=7, height=11).onto(view.part).part == pytest.approx(view.part)


def test_upwards_is_up_and_all_points_fit() -> None:
    points = np.array([[-2, 1], [5, 9], [0, 4]], np.float32)
    view = View(width=200, height=100).around(points)
    pixels = view.to_pixels(points)
    assert pixels[1, 1] < pixels[0, 1], "a larger y is higher up"
    assert (pixels > 0).all()
    assert (pixels < (200, 100)).all()
    assert pixels[:, 0].min() < 20, "and they fill the picture"
    one = View(width=50, height=50).around(points[:1])
    np.testing.assert_allclose(one.to_pixels(points[0]), (25, 25), atol=1e-3)
    assert View(width=50, height=50).around(points[:0]).across > 0


def literally(view, x, y, colours, diameter):
    """A point after the other, a pixel after the other."""
    picture = np.zeros((view.height, view.width), np.uint32)
    reach = int(diameter / 2)
    for (column, row), colour in zip(view.to_pixels(np.stack([x, y], 1)), colours, strict=True):
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                at = int(np.floor(row)) + i, int(np.floor(column)) + j
                inside = 0 <= at[0] < view.height and 0 <= at[1] < view.width
                if i * i + j * j <= (diameter / 2) ** 2 + 0.25 and inside:
                    picture[at] = colour
    return picture


@settings(max_examples=60, deadline=None)
@given(
    view=VIEWS, diameter=st.sampled_from([1.0, 3.0, 4.5, 9.0]), seed=st.integers(0, 99), n=st.integers(0, 12)
)
def test_points_are_stamped_as_a_literal_drawing_does(view, diameter, seed, n) -> None:
    draw = np.random.default_rng(seed)
    # In the middles of pixels, so that no rounding decides; some outside the picture.
    pixels = draw.integers(-8, 68, (n, 2)) + 0.5
    x, y = view.to_plane(pixels).astype(np.float32).T
    view = View(view.x, view.y, view.across, view.up, view.width, view.height)
    colours = draw.integers(1, 2**32, n, dtype=np.uint32)
    drawn = stamped(view, np.ascontiguousarray(x), np.ascontiguousarray(y), colours, diameter)
    expected = literally(view, x, y, colours, diameter)
    np.testing.assert_array_equal(drawn > 0, expected > 0)
    assert set(np.unique(drawn)) - {0} <= set(colours.tolist())
    if n == 1:
        np.testing.assert_array_equal(drawn, expected)


def test_more_points_than_pixels_cover_what_they_would_cover_one_by_one(monkeypatch) -> None:
    draw = np.random.default_rng(1)
    view = View(width=40, height=30).around(np.array([[-3, -3], [3, 3]], np.float32))
    points = draw.normal(size=(5000, 2)).astype(np.float32)
    x, y = np.ascontiguousarray(points.T)
    colours = draw.integers(1, 2**32, 5000, dtype=np.uint32)
    drawn = stamped(view, x, y, colours, 3.0)
    np.testing.assert_array_equal(drawn > 0, literally(view, x, y, colours, 3.0) > 0)


def test_the_nearest_point_is_the_one_seen_nearest() -> None:
    view = View(across=0.1, up=1.0, width=100, height=100)  # a pixel is ten times as much upwards
    points = np.array([[0.5, 0.0], [0.0, 3.0]], np.float32)
    column, row = view.to_pixels((0.0, 0.0))
    assert view.nearest(points, column, row, 9) == 1, "3 pixels away, the other one 5"
    assert view.nearest(points, column, row, 2) == -1
    assert view.nearest(points[:0], column, row, 9) == -1


@settings(max_examples=80, deadline=None)
@given(low=st.floats(-1e4, 1e4), size=st.floats(1e-3, 1e4))
def test_ticks_are_few_round_and_inside(low, size) -> None:
    found = ticks(low, low + size)
    assert len(found) <= 7
    slack = 1e-6 * (abs(low) + size)
    assert all(low - slack <= value <= low + size + slack for value in found)
    assert len(found) >= 1
    assert ticks(1.0, 1.0) == []


def test_200_000_points_are_drawn_within_a_fraction_of_the_time_of_a_frame() -> None:
    """Not a benchmark: a guard against a redraw that goes point by point."""
    import time

    draw = np.random.default_rng(0)
    points = draw.normal(size=(200_000, 2)).astype(np.float32)
    view = View(width=360, height=320).around(points)
    x, y = np.ascontiguousarray(points.T)
    colours = draw.integers(1, 2**32, len(points), dtype=np.uint32)
    size = scatter_drawing.diameter_for(len(points))
    stamped(view, x, y, colours, size)
    started = time.process_time()
    for _ in range(10):
        stamped(view, x, y, colours, size)
    assert (time.process_time() - started) / 10 < 0.033


# Colours.


TABLE = pd.DataFrame(
    {
        "cell_id": ["a", "b", "c", "d", "e", "f", "g", "h"],
        "structure": ["TOM20", "TOM20", None, "gene X", "gene Y", "TOM20", "TOM20", "gene X"],
        "stage": [
            "interphase",
            "metaphase",
            "metaphase",
            "interphase",
            None,
            "interphase",
            "prophase-1",
            "M4M5",
        ],
        "cell_volume": [1.0, 2.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0],
        "constant": [1] * 8,
        "edge": [True, False] * 4,
        "row": range(8),
    }
)


def test_columns_that_tell_cells_apart_are_offered_stage_and_structure_first() -> None:
    assert colourable(TABLE) == ["stage", "structure", "cell_volume", "edge"]
    assert title_of("cell_volume") == "Cell volume (µm³)"
    assert title_of("this_index") == "This index"


def test_stages_and_structures_have_the_vocabularys_order_and_colours() -> None:
    by_stage = coloured(TABLE, "stage")
    assert [c.label for c in by_stage.classes] == ["Interphase", "Prophase 1", "Metaphase", "M4M5", "unknown"]
    assert [c.n for c in by_stage.classes] == [3, 1, 2, 1, 1]
    assert tuple(by_stage.colours[1]) == stage_colour("metaphase")
    assert tuple(by_stage.colours[4]) == UNKNOWN
    assert len({stage_colour(name) for name in STAGE_NAMES}) == len(STAGE_NAMES)
    by_structure = coloured(TABLE, "structure")
    colour = structure("TOM20").colour
    assert "#{:02x}{:02x}{:02x}".format(*by_structure.colours[0]) == colour
    assert len({c.colour for c in by_structure.classes}) == 4, "genes of no known colour get one each"
    for entry in by_stage.classes:
        said = TABLE["stage"].isna() if entry.value is None else TABLE["stage"] == entry.value
        assert {tuple(c) for c in by_stage.colours[said]} == {entry.colour}


def test_numbers_go_along_the_colormap_and_missing_ones_are_grey() -> None:
    colouring = coloured(TABLE, "cell_volume")
    assert colouring.span is not None
    low, high = colouring.span
    assert 1 <= low < high <= 7
    np.testing.assert_array_equal(colouring.colours[[0, 7]], gradient(2))
    assert tuple(colouring.colours[2]) == UNKNOWN


def test_a_column_that_is_not_there_colours_all_cells_alike() -> None:
    assert len(np.unique(coloured(TABLE, "nothing").colours, axis=0)) == 1
    assert len(coloured(TABLE, None).colours) == len(TABLE)
    flat = coloured(pd.DataFrame({"height": [2.0, 2.0]}), "height")
    assert flat.colours.shape == (2, 3)
    nothing = coloured(pd.DataFrame({"height": [np.nan, np.nan]}), "height")
    assert {tuple(c) for c in nothing.colours} == {UNKNOWN}


@pytest.mark.parametrize("n", [1, 40])
def test_many_classes_share_colours_rather_than_fail(n) -> None:
    table = pd.DataFrame({"plate": [str(i) for i in range(n)] * 8})
    assert len(coloured(table, "plate").classes) == n
