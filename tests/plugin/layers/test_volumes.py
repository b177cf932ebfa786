"""Layers as images: what they show, their voxel size, and the place of a volume over them. No window."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Points

from napari_integrated_cell.plugin.layers.place import image_frame_of
from napari_integrated_cell.plugin.layers.volumes import (
    data_to_world,
    grid_shape,
    is_volume,
    voxel_size_of,
    why_no_volume,
    world_to_index,
)

BOX = np.zeros((3, 4, 5), np.uint8)


def test_layers_that_are_no_volumes_are_refused_in_words():
    rgb = Image(np.zeros((3, 4, 5, 3), np.uint8), rgb=True, name="overview")
    flat = Image(np.zeros((4, 5)), name="slice")
    points = Points(np.zeros((1, 3)), name="clicks")
    predicted = Image(BOX, name="ZO-1", metadata={"napari_integrated_cell": {"run": "x", "structure": "ZO1"}})
    photo = Image(np.zeros((4, 5, 3), np.uint8), rgb=True, name="photo")
    assert why_no_volume(photo) == "'photo' is a flat colour picture (RGB): choose a volume (Z, Y, X)."
    for layer, word in ((rgb, "RGB"), (flat, "2 dimensions"), (points, "Points"), (predicted, "predicted")):
        assert not is_volume(layer)
        assert word in why_no_volume(layer)
        assert layer.name in why_no_volume(layer)


def test_voxel_size_of_a_layer():
    assert voxel_size_of(Image(BOX)) is None
    assert voxel_size_of(Image(BOX, scale=(0.3, 0.1, 0.1))) == (0.3, 0.1, 0.1)
    assert voxel_size_of(Image(BOX, scale=(300, 100, 100), units=("nm",) * 3)) == (0.3, 0.1, 0.1)
    assert voxel_size_of(Image(BOX, scale=(1, 1, 1), units=("µm",) * 3)) == (1, 1, 1)
    assert voxel_size_of(Image(BOX, scale=(0.3, 100, 0.1), units=("µm", "nm", "µm"))) == (0.3, 0.1, 0.1)
    stretched = Image(BOX, scale=(0.3, 0.1, 0.1), affine=np.diag([2, 2, 2, 1]), units=("µm",) * 3)
    assert voxel_size_of(stretched) == (0.6, 0.2, 0.2)


lengths = st.floats(0.05, 2.0)
shifts = st.floats(-50, 50)


@given(
    scale=st.tuples(lengths, lengths, lengths),
    translate=st.tuples(shifts, shifts, shifts),
    move=st.tuples(shifts, shifts, shifts),
    angle=st.floats(-180, 180),
    index=st.tuples(*(st.integers(0, n - 1) for n in BOX.shape)),
)
def test_micrometres_in_an_image_lie_over_its_voxels(scale, translate, move, angle, index):
    """Whatever a layer's transforms, the µm of a voxel are mapped to where napari shows the voxel."""
    affine = np.eye(4)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    affine[1:3, 1:3] = [[c, -s], [s, c]]
    affine[:3, 3] = move
    layer = Image(BOX, scale=scale, translate=translate, affine=affine)
    np.testing.assert_allclose(
        data_to_world(layer) @ [*index, 1], [*layer.data_to_world(index), 1], atol=1e-9
    )
    for voxel_size in (scale, (0.5, 0.25, 0.25)):  # the second is not the layer's scale: typed in by the user
        micrometres = np.array(index) * voxel_size
        world = image_frame_of(layer, voxel_size).to_world @ [*micrometres, 1]
        np.testing.assert_allclose(world[:3], layer.data_to_world(index), atol=1e-8)


def test_axes_of_length_1_do_not_count():
    layer = Image(BOX[None, None], scale=(1, 1, 0.3, 0.1, 0.1), translate=(7, 7, 1, 2, 3), units=("µm",) * 5)
    assert is_volume(layer)
    assert grid_shape(layer) == BOX.shape
    assert voxel_size_of(layer) == (0.3, 0.1, 0.1)
    assert image_frame_of(layer, (0.3, 0.1, 0.1)).units == layer.units[2:]
    np.testing.assert_allclose(data_to_world(layer)[:3, 3], (1, 2, 3))
    viewer = ViewerModel()
    viewer.add_layer(layer)
    assert world_to_index(layer, (7, 7, 1.6, 2.1, 3.2), viewer.layers.units) == (2, 1, 2)
    assert not is_volume(Image(np.zeros((2, *BOX.shape))))


def test_a_click_is_measured_in_the_viewer_s_unit():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((30, 40, 50)), scale=(0.3, 0.1, 0.1), units=("µm",) * 3)
    assert world_to_index(layer, (3.0, 2.0, 1.0), viewer.layers.units) == (10, 20, 10)
    viewer.add_image(BOX, units=("nm",) * 3)  # now the viewer counts in nm
    assert world_to_index(layer, (3000.0, 2000.0, 1000.0), viewer.layers.units) == (10, 20, 10)
    assert world_to_index(layer, (-3000.0, 0, 0), viewer.layers.units) is None
