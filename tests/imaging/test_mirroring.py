"""The four mirror images of a posed cell: flips are undone exactly, and mean and spread are those of four volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.mirroring import (
    MIRRORS,
    mean_and_spread,
    mirror_images,
    mirrored_back,
    relative_spreads,
)
from napari_integrated_cell.imaging.pose import Box, pose_of, posed_references

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def boxes_of_values(channels: int):
    return SHAPES.flatmap(
        lambda shape: hnp.arrays(np.float32, (channels, *shape), elements=st.floats(0, 1, width=32))
    )


@given(boxes_of_values(2))
def test_flips_are_undone_exactly_in_any_box(references):
    images = mirror_images(references)
    assert images.shape == (4, *references.shape)
    np.testing.assert_array_equal(mirrored_back(images), np.stack([references] * 4))


def test_the_four_are_none_y_x_and_both():
    image = np.arange(4.0).reshape(1, 2, 2)
    assert mirror_images(image)[:, 0].tolist() == [
        [[0, 1], [2, 3]],
        [[2, 3], [0, 1]],
        [[1, 0], [3, 2]],
        [[3, 2], [1, 0]],
    ]


@settings(max_examples=20)
@given(shape=st.tuples(st.integers(6, 12), st.integers(8, 24), st.integers(8, 24)), edge=st.floats(0.8, 2))
def test_a_mirror_image_is_what_another_flip_of_the_pose_gives(shape, edge):
    volumes = tiny_cells.volumes(0)
    cell = Cell({}, volumes["cell_mask"] > 0, volumes["nucleus_mask"] > 0, (1.0, 1.0, 1.0))
    box = Box(shape, edge)
    pose = pose_of(cell, box)
    images = mirror_images(posed_references(cell, pose))
    for axes, image in zip(MIRRORS, images, strict=True):
        mirror = np.eye(4)
        for axis in axes:
            mirror[axis + 3, axis + 3] = -1
            mirror[axis + 3, 3] = 2 * box.centre[axis]
        other = replace(pose, to_box=mirror @ pose.to_box)
        np.testing.assert_allclose(posed_references(cell, other), image, atol=1e-4)


@given(boxes_of_values(4))
def test_mean_and_spread_are_those_of_the_four_volumes_flipped_back(volumes):
    none, along_y, along_x, both = volumes
    back = (none, along_y[:, ::-1], along_x[:, :, ::-1], both[:, ::-1, ::-1])
    mean = sum(volume.astype(np.float64) for volume in back) / 4
    spread = np.sqrt(sum((volume - mean) ** 2 for volume in back) / 4)
    found = mean_and_spread(volumes)
    np.testing.assert_allclose(found[0], mean, atol=1e-6)
    np.testing.assert_allclose(found[1], spread, atol=1e-6)
    assert found[1].max() <= 0.5
    assert [array.dtype for array in found] == [np.float32] * 2


@given(boxes_of_values(1))
def test_four_predictions_that_agree_have_their_value_and_no_spread(volume):
    mean, spread = mean_and_spread(mirror_images(volume[0]))
    np.testing.assert_array_equal(mean, volume[0])
    assert not spread.any()


def test_other_than_four_images_are_refused():
    with pytest.raises(ValueError, match="3 images: give one for each of the four flips"):
        mirrored_back(np.zeros((3, 2, 2, 2)))


def test_a_relative_spread_is_a_share_of_the_light():
    light = np.full((2, 2, 2), 0.5, np.float32)
    found = relative_spreads({"a": light, "b": 0 * light}, {"a": light / 4, "b": 0 * light})
    assert found["a"] == pytest.approx(0.25)
    assert np.isnan(found["b"])
