"""The layers of a scene: one a channel, whose data change in place and whose contrast does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_integrated_cell.plugin.layers.display import bring_into_view, channel_colormap, label_of
from napari_integrated_cell.plugin.layers.marks import MARK, result_layers
from napari_integrated_cell.plugin.scene.drawing import draw_again
from napari_integrated_cell.vocabulary import REFERENCE_NAMES, STRUCTURE_NAMES

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.session import Session

Floats = NDArray[np.float32]

DIFFERENCE = "difference"
"""Marks the difference layer among the scene's."""

_LESS, _MORE = "#2b8cff", "#ff9d2b"  # told apart by the colour-blind, and black where nothing has changed


class SceneLayers:
    """A scene's layers in a viewer, found by what they carry, never by name.

    Eye and tick box are one: a layer that is hidden or removed leaves ``session.scene.shown``.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._run = f"{session.key}/position"
        self._ours: dict[str, Floats] = {}
        self._drawing = False
        self._hold = ExitStack()

    @property
    def by_channel(self) -> dict[str, Image]:
        """The layers there are."""
        return result_layers(self._viewer, self._run)

    def open(self) -> None:
        """Listen to what the user does to the layers."""
        for event, hear in (
            (self._viewer.layers.events.removed, self._removed),
            (self._session.scene.events.shown, self._hide),
            (self._session.scene.events.difference, self._hide),
        ):
            event.connect(hear)
            self._hold.callback(event.disconnect, hear)
        for layer in self.by_channel.values():
            layer.events.visible.connect(self._eye)

    def close(self) -> None:
        """Listen no longer; the layers stay."""
        self._hold.close()
        for layer in self.by_channel.values():
            layer.events.visible.disconnect(self._eye)

    # ---------------------------------------------------------------- what is wanted

    def wanted(self, model: IntegratedCell) -> list[str]:
        """The channels shown that the model knows."""
        return [c for c in channels_of(model) if c in self._session.scene.shown]

    def compared(self, model: IntegratedCell) -> str:
        """The channel whose difference to the start is shown; empty where none is."""
        channel = self._session.scene.difference
        return channel if channel in channels_of(model) else ""

    # ---------------------------------------------------------------- drawing

    def show(
        self,
        volumes: Mapping[str, Floats],
        limits: Mapping[str, tuple[float, float]],
        of_start: Mapping[str, Floats],
        model: IntegratedCell,
    ) -> None:
        """Show volumes (Z, Y, X) by channel, and how one of them differs from the start's."""
        with self._our_own_doing():
            for channel in self.wanted(model):
                if channel in volumes:
                    self._show(channel, volumes[channel], limits[channel], model)
            compared = self.compared(model)
            if compared in volumes and compared in of_start:
                top = limits[compared][1] / 2
                difference = volumes[compared] - of_start[compared]
                layer = self._show(DIFFERENCE, difference, (-top, top), model)
                name = f"{label_of(compared)} · difference to the start"
                mark = layer.metadata[MARK]
                if mark.get("compares") != compared:
                    layer.name, layer.contrast_limits = name, (-top, top)
                    layer.metadata[MARK] = {**mark, "compares": compared}
            self._hide()

    def settle(self) -> None:
        """Tell napari and whoever listens that the data have changed, which drawing in place does not."""
        with self._our_own_doing():
            for layer in self.by_channel.values():
                if layer.visible:
                    layer.data = layer.data

    def place(self) -> None:
        """Move the layers to where the session says that the box lies."""
        place = self._session.scene.place
        for layer in self.by_channel.values():
            layer.affine, layer.units, layer.axis_labels = place.affine, place.units, place.axis_labels
            bring_into_view(self._viewer, layer)

    def _show(
        self, channel: str, volume: Floats, limits: tuple[float, float], model: IntegratedCell
    ) -> Image:
        layer, ours = self.by_channel.get(channel), self._ours.get(channel)
        if layer is None:
            layer = self._add(channel, volume, limits, model)
        elif ours is not None and layer.data is ours and ours.shape == volume.shape:
            ours[...] = volume  # thumbnail, extents and news follow at rest
            draw_again(self._viewer, layer)
        else:
            layer.data = np.array(volume)  # its own, to be written into
            layer.scale = (model.config.voxel_size,) * 3
        made_by = _made_by(model)
        if (
            not made_by.items() <= layer.metadata[MARK].items()
        ):  # another model's images have another brightness
            layer.contrast_limits = limits
            layer.metadata[MARK] = {**layer.metadata[MARK], **made_by, "contrast_limits": list(limits)}
        self._ours[channel] = layer.data
        if not layer.visible:
            layer.visible = True
        return layer

    def _add(self, channel: str, volume: Floats, limits: tuple[float, float], model: IntegratedCell) -> Image:
        place = self._session.scene.place
        layer = self._viewer.add_image(
            np.array(volume),
            name=f"{label_of(channel)} · latent explorer",
            colormap=_colormap(channel),
            blending="additive",
            interpolation2d="linear",
            contrast_limits=limits,
            scale=(model.config.voxel_size,) * 3,
            affine=place.affine,
            units=place.units,
            axis_labels=place.axis_labels,
            metadata={
                MARK: {
                    "run": self._run,
                    "structure": channel,
                    "contrast_limits": list(limits),
                    **_made_by(model),
                }
            },
        )
        layer.events.visible.connect(self._eye)
        bring_into_view(self._viewer, layer)
        return layer

    # ---------------------------------------------------------------- what the user does to the layers

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
        """Hide at once what is not shown any more; what is newly shown comes with its volume."""
        with self._our_own_doing():
            for channel, layer in self.by_channel.items():
                if channel == DIFFERENCE:
                    if layer.visible and not self._session.scene.difference:
                        layer.visible = False
                elif layer.visible and channel not in self._session.scene.shown:
                    layer.visible = False

    @contextmanager
    def _our_own_doing(self) -> Iterator[None]:
        before, self._drawing = self._drawing, True
        try:
            yield
        finally:
            self._drawing = before


def channels_of(model: IntegratedCell | None) -> tuple[str, ...]:
    """What can be shown at a position; before a model is open, what the vocabulary knows."""
    if model is None:
        return (*REFERENCE_NAMES, *STRUCTURE_NAMES)
    return (*model.config.references, *model.config.structures)


def _made_by(model: IntegratedCell) -> dict[str, Any]:
    return {"model": model.name, "simulated": bool(model.card.get("simulated"))}


def _colormap(channel: str) -> Colormap:
    if channel == DIFFERENCE:
        return Colormap([_LESS, "#000000", _MORE], name="difference (integrated cell)")
    return channel_colormap(channel)
