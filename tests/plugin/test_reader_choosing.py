"""What is chosen first for the axes of a file, and the letters that the choice stands for. No window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import StatedSize
from napari_integrated_cell.imaging.stacks import why_no_stack
from napari_integrated_cell.plugin.opening.choosing import (
    axes_of,
    default_meaning,
    length_of,
    open_axes,
    scene_label,
)


def scene(axes: str, *shape: int, channels: int | None = None) -> ImageScene:
    """Return a scene of planes of 8 x 9 pixels."""
    return ImageScene(
        f"{axes}YX",
        (*shape, 8, 9),
        np.dtype(np.uint16),
        (),
        StatedSize(),
        lambda lazy: np.zeros((*shape, 8, 9), np.uint16),
        channels=channels,
    )


@pytest.mark.parametrize(
    ("given", "chosen", "axes"),
    [
        (scene("CZ", 2, 24), ["C", "Z"], None),
        (scene("TCZ", 5, 2, 24), ["T", "C", "Z"], None),
        (scene("TCZ", 24, 2, 1), ["Z", "C"], "ZCYX"),
        (scene("TCZ", 24, 1, 1), ["Z"], "ZYX"),
        (scene("TC", 2, 24), ["T", "Z"], "TZYX"),
        (scene("I", 24), ["Z"], "ZYX"),
        (scene("II", 24, 7), ["Z", "C"], "ZCYX"),
        (scene("IZ", 7, 24), ["C", "Z"], "CZYX"),
        (scene("I", 24, channels=2), ["CZ"], "CZYX"),
        (scene("I", 25, channels=2), ["Z"], "ZYX"),
    ],
)
def test_the_most_probable_meaning_is_chosen_and_makes_a_stack(given, chosen, axes):
    first = [default_meaning(given, i) for i in open_axes(given)]
    assert first == chosen
    assert axes_of(given, first) == axes
    assert why_no_stack(given, axes_of(given, first), "a.tif") is None


def test_channels_and_times_are_counted_as_chosen():
    series = scene("TCZ", 24, 2, 5)
    assert [length_of(series, ["T", "C", "Z"], axis) for axis in "TC"] == [24, 2]
    assert [length_of(series, ["C", "T", "Z"], axis) for axis in "TC"] == [2, 24]
    assert length_of(scene("I", 24, channels=3), ["ZC"], "C") == 3
    assert length_of(scene("Z", 24), ["Z"], "T") == 1


def test_a_flat_scene_stays_flat():
    flat = scene("TC", 2, 3)
    assert [default_meaning(flat, i) for i in open_axes(flat)] == ["T", "C"]
    assert "if T is really Z" in str(why_no_stack(flat, None, "a.tif"))
    assert "flat picture" in str(why_no_stack(scene("C", 3), None, "a.tif"))


def test_a_scene_is_labelled_with_what_it_holds():
    assert scene_label(1, "field", scene("CZ", 2, 24)) == "1: field (2 channels, 24 Z planes, 8 × 9)"
    assert scene_label(0, "flat", scene("Z", 1)) == "0: flat (8 × 9)"
