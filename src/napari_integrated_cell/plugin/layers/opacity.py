"""Opacity of additive layers: lower the more of them are shown, and lower in 3D than in 2D."""

from __future__ import annotations

from weakref import WeakSet

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from napari_integrated_cell.plugin.layers.marks import mark_of

_BRIGHT = 2  # up to this many structures have full opacity
_following: WeakSet[ViewerModel] = WeakSet()


def opacities(together: int) -> tuple[float, float]:
    """Return the opacity of each of several structures that are shown together, in 2D and in 3D.

    In a plane, few structures overlap. Through a volume, every ray meets nearly all of them at their brightest, and
    their sum would be white.
    """
    share = min(1.0, _BRIGHT / together)
    return share**0.5, share


def opacity_in(viewer: ViewerModel, of_layer: tuple[float, float]) -> float:
    """Return the opacity for the viewer's present display, 2D or 3D."""
    return of_layer[viewer.dims.ndisplay == 3]


def follow_display(viewer: ViewerModel) -> None:
    """Change the opacity of layers when the viewer changes between 2D and 3D.

    This concerns layers that have both opacities in their metadata, under ``"opacity"``, until the user sets another.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari gives plugins a new proxy each time
    if viewer not in _following:
        _following.add(viewer)
        viewer.dims.events.ndisplay.connect(lambda event: _follow(viewer))


def untouched_opacity(layer: Layer, viewer: ViewerModel) -> bool:
    """Return whether the user has left the layer's opacity as it was."""
    return _is(layer, viewer.dims.ndisplay == 3)


def _follow(viewer: ViewerModel) -> None:
    for layer in viewer.layers:
        if _is(layer, viewer.dims.ndisplay != 3):
            layer.opacity = opacity_in(viewer, mark_of(layer)["opacity"])


def _is(layer: Layer, in_3d: bool) -> bool:
    """Return whether the layer has its opacity for 2D, or for 3D."""
    of_layer = mark_of(layer).get("opacity")
    return of_layer is not None and bool(np.isclose(layer.opacity, of_layer[in_3d]))
