"""Draw a layer whose voxels have changed in place, at the cost of its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


def draw_again(viewer: ViewerModel, layer: Image) -> None:
    """Draw what was written into ``layer.data``, and tell nobody: no news, no thumbnail, no extents.

    Where the slice that is drawn lies in that very memory, as it does of an array that is neither averaged nor
    converted, its pixels go straight to the canvas: what napari's ``refresh`` does besides, deriving the layer's
    transforms anew and drawing the whole list of layers, takes as long as the canvas itself. Nothing of napari's
    public interface does so; where its private one is another, the layer is refreshed.
    """
    node = _node(viewer, layer)
    pixels = getattr(layer, "_data_view", None)
    if node is None or not isinstance(pixels, np.ndarray) or not np.shares_memory(pixels, layer.data):
        layer.refresh(thumbnail=False, highlight=False, extent=False)
        return
    node.set_data(pixels)
    node.update()


def _node(viewer: ViewerModel, layer: Image) -> Any:
    """What draws the layer on the window's canvas; None where there is no window, or napari keeps it elsewhere."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    drawn = getattr(canvas, "layer_to_visual", {}).get(layer)
    return getattr(drawn, "node", None)
