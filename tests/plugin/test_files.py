"""Files to layers and layers to files."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import fields
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.plugin.layers.contents import Content, look_at
from napari_integrated_cell.plugin.layers.roles import guess_layers
from napari_integrated_cell.plugin.layers.roles import shows as shows_as
from napari_integrated_cell.plugin.layers.volumes import volume_of, voxel_size_of
from napari_integrated_cell.plugin.reader import read
from napari_integrated_cell.plugin.writer import write_layers

VOXEL = (0.29, 0.108333, 0.108333)


def opened(path) -> list[Layer]:
    return [Layer.create(*data) for data in read(str(path))]


def shows(layer: Layer) -> str | None:
    return shows_as(layer, isinstance(layer, Labels))


def content_of(layer: Layer) -> Content:
    return look_at(volume_of(layer), isinstance(layer, Labels))


def stack(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, (5, 12, 14), dtype=np.uint16)


def test_channels_come_with_colours_units_and_names(tmp_path):
    path = write_ome_tiff(
        tmp_path / "field.ome.tif", {"CMDRP": stack(1), "H3342": stack(2), "GFP": stack(3)}, VOXEL
    )
    layers = opened(path)
    assert [type(layer) for layer in layers] == [Image] * 3
    assert [shows(layer) for layer in layers] == ["membrane", "dna", None]
    for layer in layers:
        np.testing.assert_allclose(voxel_size_of(layer), VOXEL)
        assert [str(u) for u in layer.units] == ["micrometer"] * 3
        assert layer.axis_labels == ("z", "y", "x")
        assert "field" in layer.name
    np.testing.assert_array_equal(layers[1].data, stack(2))
    np.testing.assert_allclose(layers[0].colormap.colors[-1][:3], (1, 0, 1))  # membrane is magenta


def test_segmentations_come_as_labels(tmp_path):
    labels = np.zeros((5, 12, 14), np.uint8)
    labels[1:4, 2:9, 3:9] = 7
    for name, what in (("cell_labels", "cells"), ("nucleus_labels", "nuclei")):
        (layer,) = opened(write_ome_tiff(tmp_path / f"{name}.ome.tif", {"Channel:0": labels}, VOXEL))
        assert isinstance(layer, Labels)
        assert shows(layer) == what
        np.testing.assert_array_equal(layer.data, labels)


def test_a_broken_file_is_one_sentence(tmp_path):
    path = tmp_path / "broken.ome.tif"
    path.write_bytes(b"II*\0 this is no image")
    with pytest.raises((ValueError, OSError)) as told:
        read(str(path))
    assert "broken.ome.tif" in str(told.value)


def test_a_crop_that_states_its_own_voxel_size_keeps_it(tmp_path):
    from napari_integrated_cell.simulation import write_dataset

    write_dataset(tmp_path, 1, seed=3, voxel_size=0.8)
    layers = opened(tmp_path / "crop_raw" / "1_raw.ome.tif")
    assert [shows(layer) for layer in layers][:2] == ["dna", "membrane"]
    for layer in layers:
        np.testing.assert_allclose(voxel_size_of(layer), (0.8, 0.8, 0.8))


@pytest.mark.real_data
def test_a_real_crop_of_the_dataset_opens_with_names_and_voxel_size(real_data):
    (path,) = (real_data / "wtc11_single_cell").glob("crop_seg*.tiff")
    layers = opened(path)
    assert len(layers) == 5
    assert all(isinstance(layer, Labels) for layer in layers)
    assert {voxel_size_of(layer) for layer in layers} == {(0.108333,) * 3}
    guess = guess_layers(layers, [], content_of)
    assert guess.cells.name.startswith("membrane_segmentation ·")
    assert guess.nuclei.name.startswith("dna_segmentation ·")


def test_layers_are_written_with_names_and_voxel_size(tmp_path):
    viewer = ViewerModel()
    place = {"scale": (290, 108.333, 108.333), "units": ("nm",) * 3}
    viewer.add_image(stack(), name="membrane", **place)
    viewer.add_labels((stack() > 2000).astype(np.uint8), name="cells", **place)
    path = tmp_path / "out.ome.tif"
    assert write_layers(str(path), [layer.as_layer_data_tuple() for layer in viewer.layers]) == [str(path)]
    layers = opened(path)
    assert [fields(layer)["channel"] for layer in layers] == ["membrane", "cells"]
    np.testing.assert_array_equal(layers[0].data, stack())
    np.testing.assert_allclose(voxel_size_of(layers[0]), VOXEL)


def test_a_layer_on_another_grid_is_written_where_it_lies(tmp_path):
    """A coarse, turned layer with one bright spot: in the file the spot is where the viewer showed it."""
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((10, 30, 40), np.float32), name="membrane", scale=(0.5, 0.2, 0.2), units=("µm",) * 3
    )
    data = np.zeros((9, 9, 9), np.float32)
    data[4, 4, 4] = 1
    affine = np.eye(4)
    affine[1:3, 1:3] = [[0, -1], [1, 0]]
    affine[:3, 3] = (0.5, 5.0, 2.0)
    viewer.add_image(data, name="TOM20", scale=(0.6,) * 3, affine=affine, units=("µm",) * 3)
    spot = viewer.layers["TOM20"].data_to_world((4, 4, 4))
    path = tmp_path / "out.ome.tif"
    write_layers(str(path), [layer.as_layer_data_tuple() for layer in viewer.layers])
    written = opened(path)[1]
    assert written.data.shape == image.data.shape
    centre = np.average(np.argwhere(written.data > 0), axis=0, weights=written.data[written.data > 0])
    np.testing.assert_allclose(written.data_to_world(centre), spot, atol=0.15)


def test_two_layers_of_one_name_stay_two_channels(tmp_path):
    viewer = ViewerModel()
    data = [Image(stack(i), name="dna", scale=VOXEL).as_layer_data_tuple() for i in range(2)]
    del viewer
    path = tmp_path / "out.ome.tif"
    write_layers(str(path), data)
    assert [fields(layer)["channel"] for layer in opened(path)] == ["dna", "dna (2)"]


def test_what_cannot_be_written_is_said(tmp_path):
    rgb = Image(np.zeros((5, 6, 7, 3), np.uint8), rgb=True, name="overview").as_layer_data_tuple()
    with pytest.raises(ValueError, match="RGB"):
        write_layers(str(tmp_path / "a.ome.tif"), [rgb])
    with pytest.raises(ValueError, match="no voxel size"):
        write_layers(str(tmp_path / "a.ome.tif"), [Image(stack(), name="x").as_layer_data_tuple()])
    with pytest.raises(ValueError, match="No layer"):
        write_layers(str(tmp_path / "a.ome.tif"), [])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="folder"):
        write_layers(
            str(tmp_path / "none" / "a.ome.tif"), [Image(stack(), scale=VOXEL).as_layer_data_tuple()]
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sample", "n_cells"), [("interphase_cell", 1), ("mitotic_cell", 1), ("field_of_cells", 9)]
)
def test_samples_say_that_they_are_simulated(sample, n_cells):
    from napari_integrated_cell.plugin import samples

    layers = [Layer.create(*data) for data in getattr(samples, sample)()]
    assert all("simulated" in layer.name for layer in layers)
    assert all(fields(layer)["simulated"] for layer in layers)
    assert all(voxel_size_of(layer) for layer in layers)
    guess = guess_layers(layers, [], content_of)
    assert None not in (guess.membrane, guess.dna, guess.cells, guess.nuclei)
    assert len(np.unique(guess.cells.data)) - 1 == n_cells
