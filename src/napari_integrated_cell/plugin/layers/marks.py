"""The plugin's own entries in the metadata of a layer."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer

MARK = "napari_integrated_cell"
"""The key of this plugin in ``layer.metadata``."""


def mark_of(layer: Layer) -> dict[str, Any]:
    """Return what this plugin wrote into a layer's metadata; empty for other layers."""
    mark = layer.metadata.get(MARK, {})
    return mark if isinstance(mark, dict) else {}


def result_layers(viewer: ViewerModel, run: str | None = None) -> dict[str, Image]:
    """Return the layers of a run by structure, or those of all runs by run and structure.

    Layers are found by their metadata, never by name: the user may rename them.
    """
    marked = [(layer, mark_of(layer)) for layer in viewer.layers]
    return {
        mark["structure"] if run else f"{mark['run']}/{mark['structure']}": layer
        for layer, mark in marked
        if isinstance(layer, Image) and "run" in mark and (run is None or mark["run"] == run)
    }
