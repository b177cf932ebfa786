"""Mean, standard deviation and single draws of a structure as layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.colormaps import Colormap

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.plugin.layers.display import (
    channel_colormap,
    contrast_limits,
    label_of,
    show_volume,
)
from napari_integrated_cell.plugin.layers.marks import MARK, mark_of
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.signals import Connections, OwnChanges
from napari_integrated_cell.plugin.variation.actions import change, scrub
from napari_integrated_cell.plugin.variation.state import DEVIATION, DRAW, MEAN, VariationRequest, VariedShape
from napari_integrated_cell.variation.structure_variation import StructureVariation
from napari_integrated_cell.vocabulary import structure as structure_named

Limits = tuple[float, float]


class VariationLayers:
    """The layers of a session's measured variation, found by their metadata, never by name.

    A structure's mean and deviation have a layer each, which is hidden when another structure is shown; all draws share
    one. A layer that is hidden or removed leaves ``session.variation.request.shown``.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._drawing = OwnChanges()
        self._hold = Connections()

    def open(self) -> None:
        """Show what was measured, and follow the state."""
        events = self._session.variation.events
        self._hold.connect(
            (events.found, self.draw),
            (events.request, self._request_changed),
            (self._viewer.layers.events.removed, self._removed),
        )
        for layer in self._layers():
            self._listen(layer)
        self.draw()

    def close(self) -> None:
        """Stop following. The layers stay."""
        self._hold.close()

    def layer(self, figure: str, structure: str = "") -> Image | None:
        """Return the layer of a structure's mean or deviation in the present shape, or the layer of single draws."""
        return next((layer for layer in self._layers() if self._is(layer, figure, structure)), None)

    def draw(self, *_: Any) -> None:
        """Show the chosen structure."""
        session = self._session
        request, shape = session.variation.request, session.variation.shape
        found = session.variation.found.get(request.looked_at)
        with self._drawing:
            for layer in self._layers():
                figure, structure = mark_of(layer)["figure"], mark_of(layer)["structure"]
                ours = figure == DRAW or layer is self.layer(figure, structure)
                if ours and structure == request.looked_at and layer.visible != (figure in request.shown):
                    layer.visible = figure in request.shown
            if found is None or shape is None:
                return
            for figure in (MEAN, DEVIATION):
                if figure in request.shown:
                    self._show_figure(shape, found, figure)
        scrub(session, self.show_draw)

    def show_draw(self, shape: VariedShape, structure: str, index: int, volume: Floats) -> None:
        """Show one draw, in the layer of the draw before."""
        session = self._session
        found = session.variation.found.get(structure)
        wanted = shape is session.variation.shape and DRAW in session.variation.request.shown
        if found is None or not wanted:
            return
        # All draws have the same contrast, so that their differences are visible.
        top = max(float(np.percentile(shape.as_shown(found.mean + 2 * found.deviation), 99.9)), 1e-3)
        with self._drawing:
            self._show(shape, found, DRAW, f"draw {index}", shape.as_shown(volume), (0.0, top), draw=index)

    def _show_figure(self, shape: VariedShape, found: StructureVariation, figure: str) -> None:
        volume = shape.as_shown(found.mean if figure == MEAN else found.deviation)
        layer = self.layer(figure, found.structure)
        if (
            layer is not None
            and mark_of(layer).get("score") == found.score
            and layer.data.shape == volume.shape
        ):
            return
        top = max(float(np.percentile(volume, 99.9)), 1e-3)
        limits = contrast_limits(volume) if figure == MEAN else (0.0, top)
        words = "mean" if figure == MEAN else "standard deviation"
        self._show(shape, found, figure, f"{words} of {found.n} draws", volume, limits, score=found.score)

    def _show(
        self,
        shape: VariedShape,
        found: StructureVariation,
        figure: str,
        words: str,
        volume: Floats,
        limits: Limits,
        **about: Any,
    ) -> None:
        structure = found.structure
        before = self.layer(figure, structure)
        name, colormap = f"{label_of(structure)} · {words} · {shape.name}", _colormap(structure, figure)
        if before is not None and mark_of(before)["structure"] != structure:
            # Contrast that the user has set belongs to the other structure.
            before.metadata[MARK] = {**mark_of(before), "contrast_limits": before.contrast_limits}
            before.colormap = colormap
        layer = show_volume(
            self._viewer,
            before,
            np.array(volume),
            name=name,
            colormap=colormap,
            limits=limits,
            place=shape.place,
            voxel_size=shape.model.config.voxel_size,
            mark={
                "run": self._run(figure),
                "figure": figure,
                "structure": structure,
                "model": shape.model.name,
                "n": found.n,
                "seed": shape.seed,
                **about,
            },
        )
        if before is None:
            self._listen(layer)
        if layer.name != name:
            layer.name = name
        layer.visible = True

    # ---------------------------------------------------------------- actions of the user

    def _request_changed(self, now: VariationRequest, before: VariationRequest) -> None:
        if now.looked_at != before.looked_at and before.looked_at:
            with self._drawing:
                for figure in (MEAN, DEVIATION):
                    layer = self.layer(figure, before.looked_at)
                    if layer is not None:
                        layer.visible = False
        if (now.looked_at, now.draw, now.shown) != (before.looked_at, before.draw, before.shown):
            self.draw()

    def _listen(self, layer: Image) -> None:
        self._hold.connect((layer.events.visible, self._eye))

    def _eye(self, event: Any) -> None:
        layer, shown = event.source, self._session.variation.request.shown
        if not self._drawing and self._is_looked_at(layer):
            figure = mark_of(layer)["figure"]
            change(self._session, shown=shown | {figure} if layer.visible else shown - {figure})

    def _removed(self, event: Any) -> None:
        if self._is_looked_at(event.value):
            figure = mark_of(event.value)["figure"]
            if self.layer(figure, mark_of(event.value)["structure"]) is None:
                change(self._session, shown=self._session.variation.request.shown - {figure})

    def _is_looked_at(self, layer: Any) -> bool:
        mark = mark_of(layer)
        return mark.get("structure") == self._session.variation.request.looked_at and mark.get(
            "run"
        ) == self._run(mark.get("figure", ""))

    def _is(self, layer: Image, figure: str, structure: str) -> bool:
        mark = mark_of(layer)
        return mark["run"] == self._run(figure) and (figure == DRAW or mark["structure"] == structure)

    def _run(self, figure: str) -> str:
        """Return the key of the layers of one figure in the present shape. Draws have one key for all shapes."""
        shape = self._session.variation.shape
        whose = "" if shape is None or figure == DRAW else shape.name
        return f"{self._session.key}/variation/{figure}/{whose}"

    def _layers(self) -> list[Image]:
        ours = f"{self._session.key}/variation/"
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and str(mark_of(layer).get("run", "")).startswith(ours)
        ]


def _colormap(structure: str, figure: str) -> Colormap:
    """Return the structure's colormap. That of a deviation ends in white, to distinguish it from the mean."""
    if figure != DEVIATION:
        return channel_colormap(structure)
    entry = structure_named(structure)
    colours = ["#000000", entry.colour, "#ffffff"]
    return Colormap(colours, name=f"{entry.label} deviation (integrated cell)")
