"""Layers as images: what a layer shows, its voxel size and its transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.plugin.layers.marks import mark_of

VoxelSize = tuple[float, float, float]


def is_volume(layer: Layer) -> bool:
    """Return whether a layer is a (Z, Y, X) image or segmentation, and not a prediction of this plugin.

    Axes of length 1 before Z, for example a single time point, do not count.
    """
    return (
        isinstance(layer, Image | Labels)
        and volume_of(layer).ndim == 3
        and not getattr(layer, "rgb", False)
        and "run" not in mark_of(layer)
    )


def why_no_volume(layer: Layer) -> str:
    """Return a sentence that says why a layer cannot be used."""
    if not isinstance(layer, Image | Labels):
        return f"{layer.name!r} is a {type(layer).__name__} layer: choose an Image or Labels layer."
    if getattr(layer, "rgb", False) and layer.ndim == 2:
        return f"{layer.name!r} is a flat colour picture (RGB): choose a volume (Z, Y, X)."
    if getattr(layer, "rgb", False):
        return f"{layer.name!r} is an RGB picture: split its channels into separate layers first."
    if volume_of(layer).ndim != 3:
        return f"{layer.name!r} has {layer.ndim} dimensions: choose a volume (Z, Y, X)."
    return f"{layer.name!r} is a predicted structure: choose the image it was predicted for."


def full_data(layer: Layer) -> Any:
    """Return a layer's data at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def volume_of(layer: Layer) -> Any:
    """Return a layer's (Z, Y, X) array at full resolution, without axes of length 1 before Z."""
    data = full_data(layer)
    while data.ndim > 3 and not getattr(layer, "rgb", False) and data.shape[0] == 1:
        data = data[0]
    return data


def grid_shape(layer: Layer) -> tuple[int, ...]:
    """Return the number of voxels (Z, Y, X) of a layer."""
    return tuple(int(n) for n in volume_of(layer).shape)


def micrometres_per_unit(layer: Layer) -> VoxelSize | None:
    """Return a layer's units (Z, Y, X) in µm; None if one of them is no unit of length."""
    units = layer.units[-3:]
    if not all(unit.is_compatible_with("micrometer") for unit in units):
        return None
    z, y, x = (float((1 * unit).to("micrometer").magnitude) for unit in units)
    return z, y, x


def voxel_size_of(layer: Layer) -> VoxelSize | None:
    """Return the voxel size (Z, Y, X) of a layer in µm; None if it states neither a unit nor a scale.

    A scale without a unit is read as µm, as is usual in the field.
    """
    edges = np.linalg.norm(data_to_world(layer)[:3, :3], axis=0)
    factors = micrometres_per_unit(layer)
    if factors is None and np.allclose(edges, 1):
        return None
    z, y, x = (float(e) for e in np.round(edges * (factors or (1.0, 1.0, 1.0)), 9))
    return z, y, x


def data_to_world(layer: Layer) -> Doubles:
    """Return the (4, 4) affine from a layer's indices (Z, Y, X) to its world, with scale, translation and affine."""
    # napari's public interface only transforms points. The origin and the unit steps give the affine.
    corners = np.vstack([np.zeros(3), np.eye(3)])
    before = (0,) * (layer.ndim - 3)
    images = np.array([layer.data_to_world((*before, *c))[-3:] for c in corners], dtype=float)
    affine = np.eye(4)
    affine[:3, 3] = images[0]
    affine[:3, :3] = (images[1:] - images[0]).T
    return affine


def world_to_index(layer: Layer, position: Any, viewer_units: Any) -> tuple[int, int, int] | None:
    """Return the (Z, Y, X) index of a layer's voxel at a position in the viewer's world; None outside the layer.

    The viewer's world has the smallest unit among its layers, which may differ from the layer's unit.
    """
    point = np.asarray(position, dtype=float)[-3:]
    if viewer_units:
        ratios = [
            float((1 * theirs).to(ours).magnitude) if theirs.is_compatible_with(ours) else 1.0
            for theirs, ours in zip(viewer_units[-3:], layer.units[-3:], strict=True)
        ]
        point = point * ratios
    before = layer.data_to_world((0,) * layer.ndim)[:-3]
    z, y, x = (int(i) for i in np.round(layer.world_to_data((*before, *point))[-3:]))
    inside = all(0 <= i < n for i, n in zip((z, y, x), grid_shape(layer), strict=True))
    return (z, y, x) if inside else None
