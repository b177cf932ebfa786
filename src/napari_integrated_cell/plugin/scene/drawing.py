"""Draw a layer whose voxels have changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


def draw_again(viewer: ViewerModel, layer: Image) -> None:
    """Draw what was written into ``layer.data``, without events, thumbnail or extent.

    If the drawn slice shares its memory with the data, its pixels go directly to the canvas. napari's ``refresh`` also
    computes the transforms of the layer and draws the list of layers, which takes as long as drawing the canvas.
    napari has no public function for this. If its private attributes are missing, the layer is refreshed.
    """
    node = _node(viewer, layer)
    pixels = getattr(layer, "_data_view", None)
    if node is None or not isinstance(pixels, np.ndarray) or not np.shares_memory(pixels, layer.data):
        layer.refresh(thumbnail=False, highlight=False, extent=False)
        return
    node.set_data(pixels)
    node.update()


def _node(viewer: ViewerModel, layer: Image) -> Any:
    """Return the vispy node of a layer; None if there is no window, or napari keeps it elsewhere."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    drawn = getattr(canvas, "layer_to_visual", {}).get(layer)
    return getattr(drawn, "node", None)
