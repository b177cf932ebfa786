"""How opaque layers are whose light adds up: less the more of them are shown, and less in 3D than in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from napari_integrated_cell.plugin.layers.marks import mark_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_BRIGHT = 2  # so many structures are shown at full opacity
_following: WeakSet[ViewerModel] = WeakSet()


def opacities(together: int) -> tuple[float, float]:
    """Of each of so many structures shown at once, in a plane and in 3D.

    In a plane few structures meet. Through a volume every ray meets nearly all of them, each at its brightest: what
    adds up to a picture in a plane adds up to white.
    """
    share = min(1.0, _BRIGHT / together)
    return share**0.5, share


def opacity_in(viewer: ViewerModel, of_layer: tuple[float, float]) -> float:
    """That of the two, in a plane and in 3D, which the viewer's present display asks for."""
    return of_layer[viewer.dims.ndisplay == 3]


def follow_display(viewer: ViewerModel) -> None:
    """Let layers change with the viewer's display, from now on.

    Those do that have both opacities in their metadata, under ``"opacity"``, until the user sets another.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins are handed a proxy, another one each time
    if viewer not in _following:
        _following.add(viewer)
        viewer.dims.events.ndisplay.connect(lambda event: _follow(viewer))


def untouched_opacity(layer: Layer, viewer: ViewerModel) -> bool:
    """Whether the layer is as opaque as it was made."""
    return _is(layer, viewer.dims.ndisplay == 3)


def _follow(viewer: ViewerModel) -> None:
    in_3d = viewer.dims.ndisplay == 3
    for layer in viewer.layers:
        if _is(layer, not in_3d):
            layer.opacity = mark_of(layer)["opacity"][in_3d]


def _is(layer: Layer, in_3d: bool) -> bool:
    """Whether the layer is as opaque as it is to be in a plane, or in 3D."""
    of_layer = mark_of(layer).get("opacity")
    return of_layer is not None and bool(np.isclose(layer.opacity, of_layer[in_3d]))
