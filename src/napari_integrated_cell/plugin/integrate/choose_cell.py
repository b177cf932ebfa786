"""Choose the layers and the cell in them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.plugin.integrate.contents import Contents
from napari_integrated_cell.plugin.integrate.guess_mark import GuessMark
from napari_integrated_cell.plugin.integrate.label_box import LabelBox
from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.integrate.picking import Picking, Press
from napari_integrated_cell.plugin.integrate.refusals import Refusal, refusal_of
from napari_integrated_cell.plugin.integrate.request import CellRequest
from napari_integrated_cell.plugin.integrate.voxel_size import VoxelSizeField
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.place import image_frame_of
from napari_integrated_cell.plugin.layers.roles import guess_layers, holds_labels
from napari_integrated_cell.plugin.layers.volumes import (
    VoxelSize,
    grid_shape,
    is_volume,
    volume_of,
    voxel_size_of,
    world_to_index,
)
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import button, described

_STAINS, _SEGMENTATIONS = ("membrane", "dna"), ("cells", "nuclei")
_ROLES: dict[str, tuple[str, str, str]] = {
    "membrane": (
        "Membrane",
        "none (render from segmentation)",
        "The stain of the cell's outline: the paper's reference channel x^r, membrane.\n"
        "Without one it is rendered from the cell segmentation.",
    ),
    "dna": (
        "DNA",
        "none (render from segmentation)",
        "The stain of the nucleus or chromosomes: the paper's reference channel x^r, DNA.\n"
        "Without one it is rendered from the nucleus segmentation.",
    ),
    "cells": (
        "Cells",
        "none (find the cell at the click)",
        "Segmentation of the cells, one label for each: a Labels layer, or an image that holds labels.\n"
        "Without one, the cell you click is found by a seeded watershed.",
    ),
    "nuclei": (
        "Nuclei",
        "none (find in the DNA layer)",
        "Segmentation of the nuclei, with the labels of their cells.\n"
        "Without one, the nucleus is found by a threshold on the DNA layer inside the cell.",
    ),
}


class CellChooser(QWidget):
    """Choose layers, and a cell by its label or by a click.

    Layers are guessed from selection, types, names, metadata and from what they show.
    """

    changed = Signal()
    clicked = Signal()

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._tasks = viewer, session.tasks
        self._contents = Contents(session.tasks)
        self._by_hand: set[str] = set()
        self._point: tuple[int, int, int] | None = None
        self._combos: dict[str, LayerCombo] = {}
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        for role, (title, none, tip) in _ROLES.items():
            combo = described(LayerCombo(viewer, partial(self._accepts, role), none), title, tip)
            combo.chosen.connect(self._layers_changed)
            combo.chosen_by_hand.connect(partial(self._take_choice, role))
            self._combos[role] = combo
        self.guess_marks = {pair: self._guess_mark(pair) for pair in (_STAINS, _SEGMENTATIONS)}
        for pair, mark in self.guess_marks.items():
            for role in pair:
                form.addRow(_ROLES[role][0], self._combos[role])
            form.addRow(mark)
        self.label = described(LabelBox(), "Label of the cell", "The cell's label in the Cells layer.")
        self.label.valueChanged.connect(self._label_typed)
        tip = "While this is pressed, a click in the canvas chooses the cell under the cursor."
        self.pick = button("&Click the cell", tip)
        self.pick.setCheckable(True)
        form.addRow("Label", row((self.label, 1), (self.pick, 1)))
        self.voxel_size = VoxelSizeField()
        self.voxel_size.changed.connect(self.changed)
        self.voxel_size.given.connect(self._write_voxel_size)
        form.addRow("Voxel size", self.voxel_size)
        self._picking = Picking(viewer, self._take_click)
        self.pick.toggled.connect(self._picking.listen)
        self._waits = False  # whether the button was pressed for the user
        self.pick.clicked.connect(lambda _: setattr(self, "_waits", False))
        self._source: Any = None
        self._labelled: Any = None
        self._contents.changed.connect(self.refresh)
        self.guess()

    def combo(self, role: str) -> LayerCombo:
        """Return the list of layers for ``"membrane"``, ``"dna"``, ``"cells"`` or ``"nuclei"``."""
        return self._combos[role]

    @property
    def source(self) -> Any:
        """The layer on whose grid the cell lies, or None."""
        return next(iter(self.layers), None)

    @property
    def layers(self) -> list[Any]:
        """All chosen layers: membrane, DNA, cells and nuclei, as far as there are such."""
        return [combo.layer for combo in self._combos.values() if combo.layer is not None]

    def refresh(self) -> None:
        """Offer the viewer's present layers."""
        for role, combo in self._combos.items():
            before = combo.layer
            combo.refresh()
            if combo.layer is not before:
                self._by_hand.discard(role)  # the layer chosen by hand is gone
        self.guess()

    def guess(self) -> None:
        """Guess the layers that were not chosen by hand."""
        layers = self._all_layers()
        selected = [layer for layer in layers if layer in self._viewer.layers.selection]
        guessed = guess_layers(layers, selected, self._contents.of)
        free = [role for role in _ROLES if role not in self._by_hand]
        for role in free:
            found = getattr(guessed, role)
            if found is not None:
                self._combos[role].layer = found
        for pair, mark in self.guess_marks.items():
            if not self._by_hand & set(pair):
                mark.mark((pair[0] in guessed.by_look, pair[1] in guessed.by_look))
        self._wait_for_click()

    def place_changed(self) -> None:
        """Show what the layers state now."""
        self.voxel_size.show_layers(self.layers)
        self.changed.emit()

    def request(self, structure: Any = None) -> CellRequest:
        """Return the cell that is chosen.

        Parameters
        ----------
        structure : Layer, optional
            The layer for the channel ``"structure"``.

        Raises
        ------
        Refusal
            If something is missing or cannot be used.
        """
        source = self.source
        if source is None:
            raise self._no_layer()
        voxel_size = self._checked(structure)
        chosen = {role: combo.layer for role, combo in self._combos.items()}
        channels = {role: chosen[role] for role in _STAINS} | {"structure": structure}
        request = CellRequest(
            channels={name: volume_of(layer) for name, layer in channels.items() if layer is not None},
            cells=_array(chosen["cells"]),
            nuclei=_array(chosen["nuclei"]),
            label=self.label.value() or None,
            point=self._point,
            voxel_size=voxel_size,
            image_frame=image_frame_of(source, voxel_size),
            # The segmentation identifies the cell: with or without a stain, it is the same one.
            image_id=str((chosen["cells"] or source).unique_id),
            simulated=any(bool(mark_of(layer).get("simulated")) for layer in self.layers),
        )
        try:
            request.check()
        except Refusal as refusal:
            raise self._with_mends(refusal) from None
        return request

    def stains(self) -> tuple[Any, Any, VoxelSize]:
        """Return the membrane and DNA layers and their voxel size.

        Raises
        ------
        Refusal
            If one of them is missing or cannot be used.
        """
        membrane, dna = (self._combos[role].layer for role in _STAINS)
        if membrane is None or dna is None:
            raise self._with_mends(Refusal("Segmenting needs a membrane and a DNA layer: choose both."))
        return membrane, dna, self._checked()

    def close_down(self) -> None:
        """Stop listening to the viewer."""
        self._picking.listen(False)
        self._contents.changed.disconnect(self.refresh)
        self._tasks.cancel("contents")
        self._tasks.cancel("click")

    # ---------------------------------------------------------------- layers

    def _all_layers(self) -> list[Any]:
        return [getattr(layer, "__wrapped__", layer) for layer in self._viewer.layers]

    def _accepts(self, role: str, layer: Any) -> bool:
        if not is_volume(layer):
            return False
        return isinstance(layer, Image) if role in _STAINS else holds_labels(layer, self._contents.of)

    def _guess_mark(self, pair: tuple[str, str]) -> GuessMark:
        first, second = pair
        return GuessMark(
            (_ROLES[first][0], _ROLES[second][0]),
            (self._combos[first], self._combos[second]),
            lambda: self._by_hand.update(pair),
        )

    def _checked(self, structure: Any = None) -> VoxelSize:
        """Return the voxel size of the chosen layers, which fit together.

        Raises
        ------
        Refusal
            If they do not, or the size is not known.
        """
        source = self.source
        for layer in [*self.layers, structure]:
            if layer is not None and grid_shape(layer) != grid_shape(source):
                raise Refusal(
                    f"{layer.name!r} has {grid_shape(layer)} voxels but {source.name!r} has "
                    f"{grid_shape(source)}: choose layers of one image."
                )
        for layer in [*(self._combos[role].layer for role in _STAINS), structure]:
            if layer is not None and holds_labels(layer, self._contents.of):
                raise Refusal(
                    f"{layer.name!r} holds labels and no stain: choose another layer, or make labels of it.",
                    "make labels",
                    layer=layer,
                )
        self.voxel_size.show_layers(self.layers)
        voxel_size = self.voxel_size.value
        if voxel_size is None:
            raise Refusal(
                f"The voxel size of {source.name!r} is not known: give it in µm, (Z, Y, X).",
                "set voxel size",
            )
        return voxel_size

    def _no_layer(self) -> Refusal:
        """Return why no layer is chosen: the active layer cannot be used, or another one first needs an action."""
        refusals = [refusal_of(layer) for layer in self._unusable()]
        active = getattr(self._viewer.layers.selection, "active", None)
        best = sorted(refusals, key=lambda refusal: (not refusal.mends, refusal.layer is not active))
        if best and (best[0].mends or best[0].layer is active):
            return best[0]
        return Refusal("No layer is chosen: open an image or a segmentation of cells, (Z, Y, X).")

    def _with_mends(self, refusal: Refusal) -> Refusal:
        """Return a refusal with the action that makes more layers usable, if it has none and there is one."""
        for other in (refusal_of(layer) for layer in self._unusable()):
            if other.mends and not refusal.mends:
                return Refusal(str(refusal), *other.mends, layer=other.layer)
        return refusal

    def _unusable(self) -> list[Any]:
        """Return the visible layers that are no volumes, the topmost first."""
        return [
            layer
            for layer in self._all_layers()[::-1]
            if not is_volume(layer) and "run" not in mark_of(layer) and layer.visible
        ]

    def _layers_changed(self) -> None:
        source = self.source
        if source is not self._source:
            self._source, self._point = source, None
        self.voxel_size.show_layers(self.layers)
        cells = self._combos["cells"].layer
        if cells is not self._labelled:
            self._labelled = cells
            self._offer_labels(cells)
        for mark in self.guess_marks.values():
            mark.refresh()
        self.changed.emit()

    def _write_voxel_size(self, voxel_size: VoxelSize) -> None:
        """Write a size that was typed to the layers that state none."""
        unknown = [layer for layer in self.layers if voxel_size_of(layer) is None]
        for layer in unknown:
            layer.units = (*layer.units[:-3], *("µm",) * 3)
            layer.scale = (*layer.scale[:-3], *voxel_size)
        if unknown:
            self._viewer.reset_view()

    # ---------------------------------------------------------------- the cell

    def _offer_labels(self, cells: Any) -> None:
        """Choose a label of a segmentation in memory: that at the point, the selected, or the highest one."""
        self.label.setEnabled(cells is not None)
        with QSignalBlocker(self.label):
            if cells is None or not is_in_memory(volume_of(cells)):
                self.label.setValue(0)
                return
            labels = volume_of(cells)
            if self._point is not None:
                self.label.setValue(int(labels[self._point]))
            highest = int(labels.max(initial=0))
            if not 0 < self.label.value() <= highest:
                selected = int(getattr(cells, "selected_label", 0))
                self.label.setValue(selected if selected and (labels == selected).any() else highest)

    def _take_choice(self, role: str) -> None:
        self._by_hand.add(role)
        self._wait_for_click()

    def _wait_for_click(self) -> None:
        """Listen to clicks while only a click is missing."""
        chosen = {role for role, combo in self._combos.items() if combo.layer is not None}
        by_label = "cells" in chosen and not self.label.value()
        by_point = "cells" not in chosen and set(_STAINS) <= chosen and self._point is None
        if by_label or by_point:
            self._waits = self._waits or not self.pick.isChecked()
            self.pick.setChecked(True)
        elif self._waits:
            self._waits = False
            self.pick.setChecked(False)

    def _take_click(self, press: Press) -> None:
        cells, source = self._combos["cells"].layer, self.source
        if source is None:
            return
        layer = source if cells is None else cells
        if len(press.dims_displayed) == 3:
            if isinstance(cells, Labels):
                self._choose_label(_label_along(cells, press), None)
            else:
                show_warning("A cell is found at a click in 2D: leave the 3D view, or choose a Labels layer.")
            return
        index = world_to_index(layer, press.position, self._viewer.layers.units)
        if cells is None and index is None:
            show_warning(f"You clicked outside {layer.name!r}.")
        elif cells is None:
            self._choose(0, index)
        elif index is None:
            self._choose_label(0, None)
        elif is_in_memory(volume_of(cells)):
            self._choose_label(int(volume_of(cells)[index]), index)
        else:
            labels = volume_of(cells)
            self._tasks.start(
                "click",
                f"Reading the label in {cells.name}",
                lambda task: int(np.asarray(labels[index])),
                on_done=lambda label: self._choose_label(label, index),
            )

    def _choose_label(self, label: int, index: tuple[int, int, int] | None) -> None:
        if label:
            self._choose(label, index)
        else:
            show_warning(f"There is no cell of {self._combos['cells'].currentText()!r} where you clicked.")

    def _choose(self, label: int, point: tuple[int, int, int] | None) -> None:
        with QSignalBlocker(self.label):
            self.label.setValue(label)
        self._point = point
        self._wait_for_click()
        self.changed.emit()
        self.clicked.emit()

    def _label_typed(self) -> None:
        self._point = None  # it lies in another cell
        self.changed.emit()


def _label_along(cells: Labels, press: Press) -> int:
    """Return the first label along the line of sight of a press; 0 if there is none."""
    value = cells.get_value(
        press.position, view_direction=press.view_direction, dims_displayed=press.dims_displayed, world=True
    )
    return int(value or 0)


def _array(layer: Any) -> Any:
    return volume_of(layer) if layer is not None else None
