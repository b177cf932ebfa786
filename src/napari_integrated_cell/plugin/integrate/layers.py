"""Predicted structures as layers, over the cell that they were predicted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.plugin.layers.display import (
    add_volume,
    bring_into_view,
    channel_colormap,
    contrast_limits,
    label_of,
)
from napari_integrated_cell.plugin.layers.marks import MARK, mark_of, result_layers
from napari_integrated_cell.plugin.layers.opacity import (
    follow_display,
    opacities,
    opacity_in,
    untouched_opacity,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_integrated_cell.plugin.layers.place import Place


def show_structure(
    viewer: ViewerModel,
    name: str,
    volume: Floats,
    *,
    run: str,
    cell_name: str,
    place: Place,
    voxel_size: float,
    about: dict[str, Any],
    together: int = 1,
) -> Image:
    """Show one predicted structure, in the layer that the same run made before or in a new one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    name : str
        The structure.
    volume : array of float32, (Z, Y, X)
        In the model's box, in [0, 1].
    run : str
        The key that finds the layer again.
    cell_name : str
        For the layer's name.
    place : Place
        Where the box lies.
    voxel_size : float
        Of the box, in µm.
    about : dict
        What else to keep in the layer's metadata.
    together : int
        Number of structures that are shown at once. Additive layers sum up, so more structures are fainter.
    """
    limits = contrast_limits(volume)
    opacity = opacities(together)
    mark = {"run": run, "structure": name, "contrast_limits": list(limits), "opacity": opacity, **about}
    layer = result_layers(viewer, run).get(name)
    follow_display(viewer)
    if layer is None:
        title, shown_opacity = f"{label_of(name)} · {cell_name}", opacity_in(viewer, opacity)
        return add_volume(
            viewer, volume, title, channel_colormap(name), limits, place, voxel_size, mark, shown_opacity
        )
    untouched = np.allclose(layer.contrast_limits, mark_of(layer)["contrast_limits"])
    layer.data = volume
    layer.scale, layer.affine, layer.units = (voxel_size,) * 3, place.affine, place.units
    layer.contrast_limits_range = (0.0, max(1.0, float(limits[1])))
    if untouched:  # keep what the user has set
        layer.contrast_limits = limits
    if untouched_opacity(layer, viewer):
        layer.opacity = opacity_in(viewer, opacity)
    layer.metadata[MARK] = mark
    bring_into_view(viewer, layer)
    return layer


def note(viewer: ViewerModel, run: str, **about: Any) -> None:
    """Add to the metadata of a run's layers."""
    for layer in result_layers(viewer, run).values():
        layer.metadata[MARK] = {**mark_of(layer), **about}
