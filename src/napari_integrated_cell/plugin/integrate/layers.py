"""Predicted structures as layers, over the cell that they were predicted for."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.plugin.layers.display import (
    bring_into_view,
    channel_colormap,
    contrast_limits,
    label_of,
    show_volume,
)
from napari_integrated_cell.plugin.layers.marks import MARK, mark_of, result_layers
from napari_integrated_cell.plugin.layers.opacity import opacities
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
    layer = show_volume(
        viewer,
        result_layers(viewer, run).get(name),
        volume,
        name=f"{label_of(name)} · {cell_name}",
        colormap=channel_colormap(name),
        limits=contrast_limits(volume),
        place=place,
        voxel_size=voxel_size,
        mark={"run": run, "structure": name, **about},
        opacity=opacities(together),
    )
    bring_into_view(viewer, layer)
    return layer


def note(viewer: ViewerModel, run: str, **about: Any) -> None:
    """Add to the metadata of a run's layers."""
    for layer in result_layers(viewer, run).values():
        layer.metadata[MARK] = {**mark_of(layer), **about}
