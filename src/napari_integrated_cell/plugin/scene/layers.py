"""The layers of a scene: one for each channel. Their data change in place, their contrast stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.plugin.layers.display import (
    bring_into_view,
    channel_colormap,
    label_of,
    show_volume,
)
from napari_integrated_cell.plugin.layers.marks import MARK, result_layers
from napari_integrated_cell.plugin.scene.drawing import draw_again
from napari_integrated_cell.plugin.signals import Connections, OwnChanges
from napari_integrated_cell.vocabulary import REFERENCE_NAMES, STRUCTURE_NAMES

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session


DIFFERENCE = "difference"
"""The channel name of the difference layer."""

_LESS, _MORE = "#2b8cff", "#ff9d2b"  # the colour-blind can distinguish them; no change is black


class SceneLayers:
    """The layers of a scene in a viewer, found by their metadata, never by name.

    A layer that the user hides or removes leaves ``session.scene.shown``.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._run = f"{session.key}/position"
        self._ours: dict[str, Floats] = {}
        self._drawing = OwnChanges()
        self._hold = Connections()

    @property
    def by_channel(self) -> dict[str, Image]:
        """The layers by channel."""
        return result_layers(self._viewer, self._run)

    def open(self) -> None:
        """Start to follow what the user does with the layers."""
        self._hold.connect(
            (self._viewer.layers.events.removed, self._removed),
            (self._session.scene.events.shown, self._hide),
            (self._session.scene.events.difference, self._hide),
        )
        for layer in self.by_channel.values():
            layer.events.visible.connect(self._eye)

    def close(self) -> None:
        """Stop following. The layers stay."""
        self._hold.close()
        for layer in self.by_channel.values():
            layer.events.visible.disconnect(self._eye)

    # ---------------------------------------------------------------- channels to decode

    def wanted(self, model: IntegratedCell) -> list[str]:
        """Return the shown channels that the model knows."""
        return [c for c in channels_of(model) if c in self._session.scene.shown]

    def compared(self, model: IntegratedCell) -> str:
        """Return the channel whose difference to the start is shown; empty if there is none."""
        channel = self._session.scene.difference
        return channel if channel in channels_of(model) else ""

    # ---------------------------------------------------------------- drawing

    def show(
        self,
        volumes: Mapping[str, Floats],
        limits: Mapping[str, tuple[float, float]],
        at_start: Mapping[str, Floats],
        model: IntegratedCell,
    ) -> None:
        """Show volumes (Z, Y, X) by channel, and the difference of one of them to the start."""
        with self._drawing:
            for channel in self.wanted(model):
                if channel in volumes:
                    self._show(channel, volumes[channel], limits[channel], model)
            compared = self.compared(model)
            if compared in volumes and compared in at_start:
                top = limits[compared][1] / 2
                difference = volumes[compared] - at_start[compared]
                layer = self._show(DIFFERENCE, difference, (-top, top), model)
                name = f"{label_of(compared)} · difference to the start"
                mark = layer.metadata[MARK]
                if mark.get("compares") != compared:
                    layer.name, layer.contrast_limits = name, (-top, top)
                    layer.metadata[MARK] = {**mark, "compares": compared}
            self._hide()

    def settle(self) -> None:
        """Tell napari that the data have changed. Drawing in place emits no event."""
        with self._drawing:
            for layer in self.by_channel.values():
                if layer.visible:
                    layer.data = layer.data

    def place(self) -> None:
        """Move the layers to the session's place."""
        place = self._session.scene.place
        for layer in self.by_channel.values():
            layer.affine, layer.units, layer.axis_labels = place.affine, place.units, place.axis_labels
            bring_into_view(self._viewer, layer)

    def _show(
        self, channel: str, volume: Floats, limits: tuple[float, float], model: IntegratedCell
    ) -> Image:
        layer, ours = self.by_channel.get(channel), self._ours.get(channel)
        if layer is None:
            layer = show_volume(
                self._viewer,
                None,
                np.array(volume),
                name=f"{label_of(channel)} · latent explorer",
                colormap=_colormap(channel),
                limits=limits,
                place=self._session.scene.place,
                voxel_size=model.config.voxel_size,
                mark={"run": self._run, "structure": channel, **_made_by(model)},
            )
            layer.events.visible.connect(self._eye)
        elif ours is not None and layer.data is ours and ours.shape == volume.shape:
            ours[...] = volume  # `settle` tells napari
            draw_again(self._viewer, layer)
        else:
            layer.data = np.array(volume)  # a copy to write into
            layer.scale = (model.config.voxel_size,) * 3
        made_by = _made_by(model)
        if not made_by.items() <= layer.metadata[MARK].items():  # another model has another brightness
            layer.contrast_limits = limits
            layer.metadata[MARK] = {**layer.metadata[MARK], **made_by, "contrast_limits": list(limits)}
        self._ours[channel] = layer.data
        if not layer.visible:
            layer.visible = True
        return layer

    # ---------------------------------------------------------------- the user hides and removes layers

    def _eye(self, event: Any) -> None:
        if self._drawing:
            return
        mark, shown = event.source.metadata[MARK], self._session.scene.shown
        channel = mark["structure"]
        if channel == DIFFERENCE:
            self._session.scene.difference = mark.get("compares", "") if event.source.visible else ""
        elif event.source.visible:
            self._session.scene.shown = (*(c for c in shown if c != channel), channel)
        else:
            self._session.scene.shown = tuple(c for c in shown if c != channel)

    def _removed(self, event: Any) -> None:
        mark = event.value.metadata.get(MARK, {})
        if mark.get("run") != self._run:
            return
        event.value.events.visible.disconnect(self._eye)
        channel = mark["structure"]
        self._ours.pop(channel, None)
        if channel == DIFFERENCE:
            self._session.scene.difference = ""
        else:
            self._session.scene.shown = tuple(c for c in self._session.scene.shown if c != channel)

    def _hide(self, *_: Any) -> None:
        """Hide the channels that are not shown any more. New channels appear with their volume."""
        with self._drawing:
            for channel, layer in self.by_channel.items():
                if channel == DIFFERENCE:
                    if layer.visible and not self._session.scene.difference:
                        layer.visible = False
                elif layer.visible and channel not in self._session.scene.shown:
                    layer.visible = False


def channels_of(model: IntegratedCell | None) -> tuple[str, ...]:
    """Return the channels of a model, or those of the vocabulary if no model is open."""
    if model is None:
        return (*REFERENCE_NAMES, *STRUCTURE_NAMES)
    return (*model.config.references, *model.config.structures)


def _made_by(model: IntegratedCell) -> dict[str, Any]:
    return {"model": model.name, "simulated": bool(model.card.get("simulated"))}


def _colormap(channel: str) -> Colormap:
    if channel == DIFFERENCE:
        return Colormap([_LESS, "#000000", _MORE], name="difference (integrated cell)")
    return channel_colormap(channel)
