"""Resample into the box and back: one interpolation each way, without aliasing; posed channels."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_cells import BOX, CANONICAL, MIDDLE, angles, drawn, mirrors, placement
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_resampling import plain_resample
from scipy import ndimage

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.footprint import rotation
from napari_integrated_cell.imaging.intensity import above_background, dilated, scaled_to_one
from napari_integrated_cell.imaging.pose import (
    MASK_TOLERANCE,
    Box,
    Pose,
    pose_of,
    posed_channels,
    posed_references,
    posed_structure,
    to_box,
    to_image,
)
from napari_integrated_cell.imaging.rendering import render_references
from napari_integrated_cell.imaging.resampling import grid_affine, resample


@given(angle=angles, mirrored=mirrors)
@settings(deadline=None, max_examples=10)
def test_a_point_goes_where_the_affine_says_and_back(angle, mirrored):
    cell = drawn(placement(angle, mirrored, MIDDLE), offset=(1, 20, 30), shape=(20, 120, 110))
    pose = pose_of(cell, BOX)
    spot = np.zeros(cell.shape)
    index = (9, 52, 47)
    spot[index] = 1
    spot = ndimage.gaussian_filter(spot, [1.0 / v for v in cell.voxel_size])
    um = (np.add(index, cell.offset)) * cell.voxel_size
    posed = to_box(spot, cell.voxel_size, pose, offset=cell.offset)
    expected = (pose.to_box @ [*um, 1])[:3]
    np.testing.assert_allclose(np.array(ndimage.center_of_mass(posed)) * BOX.voxel_size, expected, atol=0.05)
    # As a napari layer with the box's scale and this affine, that place lies over the point again.
    np.testing.assert_allclose((pose.layer_affine @ [*expected, 1])[:3], um, atol=1e-9)
    back = to_image(posed, pose, cell.shape, cell.voxel_size, offset=cell.offset)
    np.testing.assert_allclose(ndimage.center_of_mass(back), index, atol=0.25)


@given(angle=angles, mirrored=mirrors)
@settings(deadline=None, max_examples=10)
def test_there_and_back_again(angle, mirrored):
    cell = drawn(placement(angle, mirrored, MIDDLE), offset=(0, 2, 3), shape=(23, 145, 146))
    pose = pose_of(cell, BOX)
    noise = np.random.default_rng(0).normal(size=cell.shape)
    smooth = ndimage.gaussian_filter(noise, [1.0 / v for v in cell.voxel_size]).astype(np.float32)
    posed = to_box(smooth, cell.voxel_size, pose, offset=cell.offset)
    back = to_image(posed, pose, cell.shape, cell.voxel_size, offset=cell.offset)
    assert back.shape == cell.shape
    assert back.dtype == np.float32
    assert np.corrcoef(back[cell.cell_mask], smooth[cell.cell_mask])[0, 1] > 0.95


shapes = st.tuples(*[st.integers(1, 24)] * 3)
voxel_sizes = st.tuples(*[st.floats(0.1, 0.7)] * 3)


@given(
    shapes=st.tuples(shapes, shapes),
    voxels=st.tuples(voxel_sizes, voxel_sizes),
    angle=st.floats(-np.pi, np.pi),
    mirrored=mirrors,
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
    order=st.sampled_from([0, 1]),
    dark=st.sampled_from([0, 0.9, 0.99]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=150)
def test_resampling_is_that_of_the_general_affine(shapes, voxels, angle, mirrored, shift, order, dark, seed):
    (source_shape, target_shape), (source_voxel, target_voxel) = shapes, voxels
    source_grid, target_grid = grid_affine(source_voxel, (3, 5, 7)), grid_affine(target_voxel, (0, 0, 0))
    turn = np.eye(4)
    turn[1:3, 1:3] = np.diag([-1 if m else 1 for m in mirrored]) @ rotation(angle)
    middle = [
        grid @ [*(np.array(n) - 1) / 2, 1]
        for grid, n in ((source_grid, source_shape), (target_grid, target_shape))
    ]
    turn[:3, 3] = middle[1][:3] - turn[:3, :3] @ middle[0][:3] + shift
    rng = np.random.default_rng(seed)
    image = rng.random((2, *source_shape)) * (rng.random((2, *source_shape)) >= dark)
    both = resample(image, source_grid, turn, target_grid, target_shape, order)
    assert both.shape == (2, *target_shape)
    assert both.dtype == np.float32
    for ours, channel in zip(both, image, strict=True):
        alone = resample(channel, source_grid, turn, target_grid, target_shape, order)
        np.testing.assert_allclose(ours, alone, atol=1e-6 if order else 0)
        plain = plain_resample(channel, source_grid, turn, target_grid, target_shape, order)
        if order:
            np.testing.assert_allclose(ours, plain, atol=1e-5)
        else:
            # Half-way between two voxels, rounding errors decide which one is the nearest.
            to_source = np.linalg.inv(turn @ source_grid) @ target_grid
            places = np.einsum("ij,jzyx->izyx", to_source[:3, :3], np.indices(target_shape))
            places += to_source[:3, 3].reshape(3, 1, 1, 1)
            half_way = (np.abs(places % 1 - 0.5) < 1e-6).any(axis=0)
            np.testing.assert_array_equal(ours[~half_way], plain[~half_way])


def test_an_affine_that_tilts_z_is_refused():
    tilted = np.eye(4)
    tilted[0, 2] = 0.1
    with pytest.raises(ValueError, match="tilts the Z axis"):
        resample(np.ones((3, 4, 5)), np.eye(4), tilted, np.eye(4), (3, 4, 5))


def test_labels_keep_their_values():
    cell = drawn(CANONICAL)
    labels = np.where(cell.cell_mask, 7, 0) + np.where(cell.nucleus_mask, 5, 0)
    posed = to_box(labels, cell.voxel_size, pose_of(cell, BOX), order=0)
    assert set(np.unique(posed)) == {0, 7, 12}
    assert (posed > 0).sum() * 0.5**3 == pytest.approx(cell.volume, rel=0.05)


def test_shrinking_does_not_alias():
    """Stripes finer than the box's voxels become grey, and no light is lost."""
    cell = drawn(CANONICAL, voxel_size=(0.2, 0.2, 0.2), shape=(46, 185, 185))
    stripes = np.zeros(cell.shape)
    stripes[..., ::2] = 1
    pose = pose_of(cell, BOX)
    posed = to_box(stripes, cell.voxel_size, pose)
    core = to_box(ndimage.binary_erosion(cell.cell_mask, iterations=5), cell.voxel_size, pose) > 0.99
    assert np.abs(posed[core] - 0.5).max() < 0.1
    blob = cell.channels["dna"]
    assert to_box(blob, cell.voxel_size, pose).sum() * 0.5**3 == pytest.approx(blob.sum() * 0.2**3, rel=0.01)


def test_enlarging_does_not_blur():
    cell = drawn(CANONICAL, voxel_size=(0.5, 0.5, 0.5), shape=(18, 74, 74))
    pose = Pose(np.eye(4), Box((18, 74, 74), 0.5), 0, (False, False), (1, 1), 2, 0, (1, 1, 1), (0, 0, 0))
    image = cell.channels["TOM20"].astype(np.float32)
    np.testing.assert_array_equal(to_box(image, cell.voxel_size, pose), image)
    np.testing.assert_array_equal(to_image(image, pose, cell.shape, cell.voxel_size), image)


def test_bad_volumes_are_refused():
    pose = pose_of(drawn(CANONICAL), BOX)
    with pytest.raises(ValueError, match="2 dimensions"):
        to_box(np.zeros((4, 4)), (1, 1, 1), pose)
    with pytest.raises(ValueError, match="pose's box"):
        to_image(np.zeros((4, 4, 4)), pose, (4, 4, 4), (1, 1, 1))
    with pytest.raises(ValueError, match="voxel size"):
        to_box(np.zeros((4, 4, 4)), (1, 0, 1), pose)
    with pytest.raises(ValueError, match="no channel 'ZO1'; its channels are: membrane, dna, TOM20"):
        posed_structure(drawn(CANONICAL), "ZO1", pose)


@pytest.mark.parametrize("box", [(0, 4, 4), (4, 4)])
def test_a_box_needs_three_positive_numbers_of_voxels(box):
    with pytest.raises(ValueError, match="three positive"):
        Box(box)


def test_neighbours_are_masked_and_the_background_goes():
    """A crop shows the neighbours, as bright as the cell, over a camera's offset."""
    cell = drawn(CANONICAL, background=300.0)
    channels = {name: image.copy() for name, image in cell.channels.items()}
    far = ~dilated(cell.cell_mask, 1.0, cell.voxel_size)
    for image in channels.values():
        image[:, :20][far[:, :20]] = 1300.0
    crowded = Cell(channels, cell.cell_mask, cell.nucleus_mask, cell.voxel_size)
    pose = pose_of(cell, BOX)
    clean, crowd = posed_references(cell, pose), posed_references(crowded, pose)
    np.testing.assert_allclose(crowd, clean, atol=1e-6)
    assert clean.shape == (2, *BOX.shape)
    assert clean.dtype == np.float32
    assert clean.min() == 0
    assert [c.max() for c in clean] == [1, 1]
    cell_there = to_box(dilated(cell.cell_mask, 1.0, cell.voxel_size), cell.voxel_size, pose)
    assert not clean[:, cell_there == 0].any()


@pytest.mark.parametrize("stained", [True, False])
def test_channels_that_are_posed_together_are_those_of_the_whole_crop(stained):
    """Plain form: each channel by itself, masked and resampled with all of its crop."""
    cell = drawn(
        placement(0.7, (False, True), MIDDLE), offset=(1, 20, 30), shape=(23, 145, 146), background=80.0
    )
    kept = cell.channels if stained else {"TOM20": cell.channels["TOM20"]}
    cell = Cell(kept, cell.cell_mask, cell.nucleus_mask, cell.voxel_size, offset=cell.offset)
    rendered = render_references(cell)
    pose, names = pose_of(cell, BOX), ("dna", "TOM20", "membrane")
    together = posed_channels(cell, names, pose)
    grid = grid_affine(cell.voxel_size, cell.offset)
    for name, ours in zip(names, together, strict=True):
        image = above_background(cell.channels[name]) if name in cell.channels else rendered[name]
        masked = image * dilated(
            cell.nucleus_mask if name == "dna" else cell.cell_mask, MASK_TOLERANCE, cell.voxel_size
        )
        plain = scaled_to_one(plain_resample(masked, grid, pose.to_box, BOX.grid, BOX.shape))
        assert plain.max() == 1
        np.testing.assert_allclose(ours, plain, atol=1e-5)
    np.testing.assert_allclose(posed_references(cell, pose), together[[2, 0]], atol=1e-6)
    np.testing.assert_allclose(posed_structure(cell, "TOM20", pose), together[1], atol=1e-6)


def test_the_membrane_survives_its_mask():
    """The stain lies on both sides of the mask's edge: without dilation half of its light is cut."""
    cell = drawn(CANONICAL)
    pose = pose_of(cell, BOX)
    posed = posed_references(cell, pose)[0]
    bare = to_box(cell.channels["membrane"] * cell.cell_mask, cell.voxel_size, pose)
    assert posed.sum() * posed.max() > 1.3 * bare.sum() / 1000
    assert MASK_TOLERANCE == 0.3


def test_a_channel_that_is_missing_is_rendered():
    cell = drawn(CANONICAL)
    pose = pose_of(cell, BOX)
    stained = posed_references(cell, pose)
    only_dna = Cell({"dna": cell.channels["dna"]}, cell.cell_mask, cell.nucleus_mask, cell.voxel_size)
    none = Cell({}, cell.cell_mask, cell.nucleus_mask, cell.voxel_size)
    np.testing.assert_array_equal(posed_references(only_dna, pose)[1], stained[1])
    np.testing.assert_array_equal(posed_references(only_dna, pose)[0], posed_references(none, pose)[0])
    # Rendered and stained membranes are alike: one model takes both.
    assert np.corrcoef(posed_references(none, pose)[0].ravel(), stained[0].ravel())[0, 1] > 0.8


def test_hot_pixels_can_be_tolerated():
    cell = drawn(CANONICAL)
    channels = dict(cell.channels)
    channels["TOM20"] = cell.channels["TOM20"].copy()
    channels["TOM20"][12, 80, 90] = 1e6
    hot = Cell(channels, cell.cell_mask, cell.nucleus_mask, cell.voxel_size)
    pose = pose_of(cell, BOX)
    clean = posed_structure(cell, "TOM20", pose, ceiling=99.0)
    assert np.abs(posed_structure(hot, "TOM20", pose, ceiling=99.0) - clean).mean() < 0.01
    assert posed_structure(hot, "TOM20", pose).mean() < 0.1 * clean.mean()
    assert clean.max() == 1


def test_an_empty_channel_is_black_and_not_nan():
    cell = drawn(CANONICAL)
    dark = Cell({"membrane": np.full(cell.shape, 5)}, cell.cell_mask, cell.nucleus_mask, cell.voxel_size)
    assert not posed_references(dark, pose_of(dark, BOX))[0].any()
