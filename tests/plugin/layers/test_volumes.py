"""Layers as images: what they show, their voxel size, and the place of a volume over them. No window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points

from napari_integrated_cell.plugin.layers.place import image_frame_of
from napari_integrated_cell.plugin.layers.volumes import (
    data_to_world,
    guess_layers,
    is_volume,
    looks_like_segmentation,
    shows,
    voxel_size_of,
    why_no_volume,
    world_to_index,
)

BOX = np.zeros((3, 4, 5), np.uint8)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("CMDRP", Image, "membrane"),
        ("Ch1 Hoechst 33342", Image, "dna"),
        ("TOMM20-mEGFP", Image, "TOM20"),
        ("brightfield", Image, None),
        ("cell_labels", Labels, "cells"),
        ("membrane_segmentation · crop_seg", Labels, "cells"),
        ("membrane_segmentation_roof · crop_seg", Labels, None),
        ("struct_segmentation · crop_seg", Labels, None),
        ("nucleus_labels", Labels, "nuclei"),
        ("dna_segmentation", Labels, "nuclei"),
        ("tomm20_mask", Labels, "TOM20"),
    ],
)
def test_what_a_layer_shows(name, kind, expected):
    assert shows(kind(BOX, name=name)) == expected


def test_metadata_says_more_than_the_name():
    layer = Image(BOX, name="channel 3", metadata={"napari_integrated_cell": {"shows": "dna"}})
    assert shows(layer) == "dna"


def test_segmentations_are_told_by_name_and_type():
    assert looks_like_segmentation("cell_labels", BOX)
    assert looks_like_segmentation("dna_segmentation", BOX)
    assert not looks_like_segmentation("cell_labels", BOX.astype(float))
    assert not looks_like_segmentation("GFP", BOX)


def test_layers_that_are_no_volumes_are_refused_in_words():
    rgb = Image(np.zeros((3, 4, 5, 3), np.uint8), rgb=True, name="overview")
    flat = Image(np.zeros((4, 5)), name="slice")
    points = Points(np.zeros((1, 3)), name="clicks")
    predicted = Image(BOX, name="ZO-1", metadata={"napari_integrated_cell": {"run": "x", "structure": "ZO1"}})
    for layer, word in ((rgb, "RGB"), (flat, "2 dimensions"), (points, "Points"), (predicted, "predicted")):
        assert not is_volume(layer)
        assert word in why_no_volume(layer)
        assert layer.name in why_no_volume(layer)


def test_guess_follows_the_selected_image():
    viewer = ViewerModel()
    small = {n: viewer.add_image(BOX, name=n) for n in ("membrane", "dna")}
    large = {n: viewer.add_image(np.zeros((6, 7, 8)), name=f"big {n}") for n in ("membrane", "dna")}
    cells = viewer.add_labels(BOX, name="cells")
    everything = list(viewer.layers)
    guess = guess_layers(everything, [large["dna"]])
    assert (guess.membrane, guess.dna, guess.cells) == (large["membrane"], large["dna"], None)
    guess = guess_layers(everything, [small["dna"]])
    assert (guess.membrane, guess.dna, guess.cells) == (small["membrane"], small["dna"], cells)
    assert guess_layers([], []).membrane is None


def test_voxel_size_of_a_layer():
    assert voxel_size_of(Image(BOX)) is None
    assert voxel_size_of(Image(BOX, scale=(0.3, 0.1, 0.1))) == (0.3, 0.1, 0.1)
    assert voxel_size_of(Image(BOX, scale=(300, 100, 100), units=("nm",) * 3)) == (0.3, 0.1, 0.1)
    assert voxel_size_of(Image(BOX, scale=(1, 1, 1), units=("µm",) * 3)) == (1, 1, 1)
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


def test_a_click_is_measured_in_the_viewer_s_unit():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((30, 40, 50)), scale=(0.3, 0.1, 0.1), units=("µm",) * 3)
    assert world_to_index(layer, (3.0, 2.0, 1.0), viewer.layers.units) == (10, 20, 10)
    viewer.add_image(BOX, units=("nm",) * 3)  # now the viewer counts in nm
    assert world_to_index(layer, (3000.0, 2000.0, 1000.0), viewer.layers.units) == (10, 20, 10)
    assert world_to_index(layer, (-3000.0, 0, 0), viewer.layers.units) is None
