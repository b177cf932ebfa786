"""Writer: layers become the channels of one OME-TIFF, with names and voxel size."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.plugin.layers.cell_layers import LayerData
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.volumes import (
    data_to_world,
    grid_shape,
    micrometres_per_unit,
    volume_of,
    voxel_size_of,
    why_no_volume,
)


def write_layers(path: str, layer_data: list[LayerData]) -> list[str]:
    """Write Image and Labels layers as the channels of one OME-TIFF.

    Layers on one grid are written as they are. If grids differ, for example those of an image and of a predicted
    structure, all layers are resampled on the grid of the first layer that is not a prediction.

    Raises
    ------
    ValueError
        If no layer is selected, a layer is not a volume, or the voxel size is unknown.
    OSError
        If the file cannot be written.
    """
    layers = [_layer(data) for data in layer_data]
    if not layers:
        raise ValueError("No layer is selected: select the layers to save.")
    target = next((layer for layer in layers if "run" not in mark_of(layer)), layers[0])
    voxel_size = voxel_size_of(target)
    if voxel_size is None:
        raise ValueError(f"{target.name!r} states no voxel size: set its layer's scale and units first.")
    volumes: dict[str, NDArray[Any]] = {}
    for layer in layers:
        volumes[_free(layer.name, volumes)] = _on_grid(layer, target)
    marks = [mark_of(layer) for layer in layers]
    models = sorted({str(mark["model"]) for mark in marks if "model" in mark})
    notes = [f"Structures predicted by the model {', '.join(models)}."] if models else []
    if any(mark.get("simulated") for mark in marks):
        notes.append("Simulated cell.")
    assert volume_of(target).ndim == 3
    return [str(write_ome_tiff(path, volumes, voxel_size, description=" ".join(notes)))]


def _layer(data: LayerData) -> Layer:
    layer = Layer.create(*data)
    if volume_of(layer).ndim != 3 or getattr(layer, "rgb", False):
        raise ValueError(why_no_volume(layer))
    return layer


def _on_grid(layer: Layer, target: Layer) -> NDArray[Any]:
    """Return a layer's volume on the grid of another layer. It is resampled once, if the grids differ."""
    volume = np.asarray(volume_of(layer))
    ratio = np.divide(micrometres_per_unit(target) or (1.0,) * 3, micrometres_per_unit(layer) or (1.0,) * 3)
    to_layer = np.linalg.inv(data_to_world(layer)) @ np.diag([*ratio, 1.0]) @ data_to_world(target)
    if np.allclose(to_layer, np.eye(4), atol=1e-6) and volume.shape == grid_shape(target):
        return volume
    labels = isinstance(layer, Labels)
    return ndimage.affine_transform(
        volume if labels else volume.astype(np.float32),
        to_layer[:3, :3],
        to_layer[:3, 3],
        output_shape=grid_shape(target),
        order=0 if labels else 1,
    )


def _free(name: str, taken: dict[str, Any]) -> str:
    """Return a channel name that is not taken yet."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
