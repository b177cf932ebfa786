"""Images and segmentations on one grid, as data for napari layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from napari_integrated_cell.plugin.layers.display import channel_colormap, image_limits
from napari_integrated_cell.plugin.layers.marks import MARK

LayerData = tuple[Any, dict[str, Any], str]


def cell_layers(
    name: str,
    images: Mapping[str, NDArray[Any]],
    segmentations: Mapping[str, NDArray[Any]],
    voxel_size: tuple[float, float, float],
    *,
    mark: Mapping[str, Any],
    opacity: float = 1.0,
    limits_of: Callable[[NDArray[Any]], tuple[float, float]] = image_limits,
) -> list[LayerData]:
    """Return hidden layers of segmentations, and over them visible layers of images in their channels' colours.

    Parameters
    ----------
    name : str
        What they show, for the layers' names.
    images : mapping of str to array, (Z, Y, X)
        By channel.
    segmentations : mapping of str to array of int, (Z, Y, X)
        ``"cells"`` and ``"nuclei"``.
    voxel_size : tuple of float
        (Z, Y, X), in µm.
    mark : mapping
        What to keep in the layers' metadata.
    opacity : float
        Of the images.
    limits_of : callable
        Returns the contrast limits of an image.
    """

    def about(shows: str) -> dict[str, Any]:
        return {
            "name": f"{shows} · {name}",
            "scale": voxel_size,
            "units": ("µm",) * 3,
            "axis_labels": ("z", "y", "x"),
            "metadata": {MARK: {**mark, "shows": shows}},
        }

    layers: list[LayerData] = [
        (labels, {**about(what), "visible": False}, "labels") for what, labels in segmentations.items()
    ]
    for channel, image in images.items():
        look = {"colormap": channel_colormap(channel), "blending": "additive", "opacity": opacity}
        layers.append((image, {**about(channel), **look, "contrast_limits": limits_of(image)}, "image"))
    return layers
