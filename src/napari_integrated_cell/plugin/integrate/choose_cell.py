"""Choose the layers and the cell in them."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QSpinBox, QWidget

from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.integrate.picking import Picking, label_at
from napari_integrated_cell.plugin.integrate.request import CellRequest
from napari_integrated_cell.plugin.integrate.voxel_size import VoxelSizeField
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.place import image_frame_of
from napari_integrated_cell.plugin.layers.volumes import (
    grid_shape,
    guess_layers,
    is_volume,
    volume_of,
    why_no_volume,
    world_to_index,
)
from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import button, described

_ROLES: dict[str, tuple[str, type, str, str]] = {
    "membrane": (
        "Membrane",
        Image,
        "none (render from segmentation)",
        "The stain of the cell's outline: the paper's reference channel x^r, membrane.\n"
        "Without one it is rendered from the cell segmentation.",
    ),
    "dna": (
        "DNA",
        Image,
        "none (render from segmentation)",
        "The stain of the nucleus or chromosomes: the paper's reference channel x^r, DNA.\n"
        "Without one it is rendered from the nucleus segmentation.",
    ),
    "cells": (
        "Cells",
        Labels,
        "none (find the cell at the click)",
        "Segmentation of the cells, one label for each.\n"
        "Without one, the cell you click is found by a seeded watershed.",
    ),
    "nuclei": (
        "Nuclei",
        Labels,
        "none (find in the DNA layer)",
        "Segmentation of the nuclei, with the labels of their cells.\n"
        "Without one, the nucleus is found by a threshold on the DNA layer inside the cell.",
    ),
}


class CellChooser(QWidget):
    """Choose layers, and a cell by its label or by a click. Layers are guessed from selection, names and metadata."""

    changed = Signal()
    clicked = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._by_hand: set[str] = set()
        self._point: tuple[int, int, int] | None = None
        self._combos: dict[str, LayerCombo] = {}
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        for role, (title, kind, none, tip) in _ROLES.items():
            combo = described(LayerCombo(viewer, partial(_is_volume_of, kind), none), title, tip)
            combo.chosen.connect(self._layers_changed)
            combo.chosen_by_hand.connect(partial(self._by_hand.add, role))
            form.addRow(title, combo)
            self._combos[role] = combo
        self.label = described(QSpinBox(), "Label of the cell", "The cell's label in the Cells layer.")
        self.label.setMaximum(0)
        self.label.setKeyboardTracking(False)
        self.label.valueChanged.connect(lambda _: self.changed.emit())
        tip = "While this is pressed, a click in the canvas chooses the cell under the cursor."
        self.pick = button("&Click the cell", tip)
        self.pick.setCheckable(True)
        form.addRow("Label", row((self.label, 1), (self.pick, 1)))
        self.voxel_size = VoxelSizeField()
        self.voxel_size.changed.connect(self.changed)
        form.addRow("Voxel size", self.voxel_size)
        self._picking = Picking(viewer, self._take_click)
        self.pick.toggled.connect(self._picking.listen)
        self._source: Any = None
        self._labelled: Any = None
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
        layers = [getattr(layer, "__wrapped__", layer) for layer in self._viewer.layers]
        selected = [layer for layer in layers if layer in self._viewer.layers.selection]
        guessed = guess_layers(layers, selected)
        for role, combo in self._combos.items():
            found = getattr(guessed, role)
            if role not in self._by_hand and found is not None:
                combo.layer = found

    def request(self, structure: Any = None) -> CellRequest:
        """Return the cell that is chosen.

        Parameters
        ----------
        structure : Layer, optional
            The layer for the channel ``"structure"``.

        Raises
        ------
        ValueError
            If no layer is chosen, their sizes differ, or the voxel size is not known.
        """
        source = self.source
        if source is None:
            active = getattr(self._viewer.layers.selection, "active", None)
            if active is not None and not is_volume(active):
                raise ValueError(why_no_volume(active))
            raise ValueError("No layer is chosen: open an image or a segmentation of cells, (Z, Y, X).")
        for layer in [*self.layers, structure]:
            if layer is not None and grid_shape(layer) != grid_shape(source):
                raise ValueError(
                    f"{layer.name!r} has {grid_shape(layer)} voxels but {source.name!r} has "
                    f"{grid_shape(source)}: choose layers of one image."
                )
        voxel_size = self.voxel_size.value
        if voxel_size is None:
            raise ValueError(f"The voxel size of {source.name!r} is not known: give it in µm, (Z, Y, X).")
        chosen = {role: combo.layer for role, combo in self._combos.items()}
        channels = {role: chosen[role] for role in ("membrane", "dna")} | {"structure": structure}
        return CellRequest(
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

    def close_down(self) -> None:
        """Stop listening to the viewer."""
        self._picking.listen(False)

    def _layers_changed(self) -> None:
        source = self.source
        if source is not self._source:
            self._source, self._point = source, None
            self.voxel_size.show_layer(source)
        cells = self._combos["cells"].layer
        if cells is not self._labelled:
            self._labelled = cells
            self._offer_labels(cells)
        self.changed.emit()

    def _offer_labels(self, cells: Any) -> None:
        self.label.setEnabled(cells is not None)
        with QSignalBlocker(self.label):
            self.label.setMaximum(int(volume_of(cells).max()) if cells is not None else 0)
            if cells is not None and not self.label.value():
                selected = int(cells.selected_label)
                there = bool((volume_of(cells) == selected).any())
                self.label.setValue(selected if there else self.label.maximum())

    def _take_click(self, press: Any) -> None:
        cells, source = self._combos["cells"].layer, self.source
        if cells is not None:
            label = label_at(cells, press, self._viewer.layers.units)
            if label:
                self._choose(label, None)
            else:
                show_warning(f"There is no cell of {cells.name!r} where you clicked.")
        elif len(press.dims_displayed) == 3:
            show_warning("Without a segmentation a cell is found at a click in 2D: leave the 3D view for it.")
        elif source is not None:
            index = world_to_index(source, press.position, self._viewer.layers.units)
            if index is None:
                show_warning(f"You clicked outside {source.name!r}.")
            else:
                self._choose(None, index)

    def _choose(self, label: int | None, point: tuple[int, int, int] | None) -> None:
        self._point = point
        before = self.label.value()
        if label is not None:
            self.label.setValue(label)
        if self.label.value() == before:
            self.changed.emit()
        self.clicked.emit()


def _is_volume_of(kind: type, layer: Any) -> bool:
    return is_volume(layer) and isinstance(layer, kind)


def _array(layer: Any) -> Any:
    return volume_of(layer) if layer is not None else None
