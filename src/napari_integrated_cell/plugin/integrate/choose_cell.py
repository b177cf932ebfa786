"""Choose the layers and the cell in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_integrated_cell.imaging.cropping import is_in_memory
from napari_integrated_cell.plugin.integrate.choose_layers import LayerChooser
from napari_integrated_cell.plugin.integrate.label_box import LabelBox
from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.integrate.mends import write_unit, write_voxel_size
from napari_integrated_cell.plugin.integrate.nuclei import offered_label
from napari_integrated_cell.plugin.integrate.picking import Picking, Press
from napari_integrated_cell.plugin.integrate.refusals import Refusal
from napari_integrated_cell.plugin.integrate.request import CellRequest
from napari_integrated_cell.plugin.integrate.voxel_size import VoxelSizeField
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.layers.place import image_frame_of
from napari_integrated_cell.plugin.layers.volumes import (
    VoxelSize,
    grid_shape,
    micrometres_per_unit,
    volume_of,
    world_to_index,
)
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets.inputs import button, described


class CellChooser(QWidget):
    """Choose layers, and a cell by its label or by a click."""

    changed = Signal()
    clicked = Signal()

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session, self._tasks = viewer, session, session.tasks
        self._point: tuple[int, int, int] | None = None
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self.roles = LayerChooser(viewer, session, form)
        self.label = described(LabelBox(), "Label of the cell", "The cell's label in the Cells layer.")
        self.label.valueChanged.connect(self._label_typed)
        tip = "Press this, then click a cell in the canvas. It stays pressed until a click has chosen a cell."
        self.pick = button("&Click the cell", tip)
        self.pick.setCheckable(True)
        form.addRow("Label", self.label)  # a label of ten digits needs the whole width
        form.addRow("", self.pick)
        self.voxel_size = VoxelSizeField()
        self.voxel_size.changed.connect(self.changed)
        self.voxel_size.given.connect(self._write_voxel_size)
        form.addRow("Voxel size", self.voxel_size)
        self._picking = Picking(viewer, self._take_click)
        self.pick.toggled.connect(self._picking.listen)
        self._waits = False  # whether the button was pressed for the user
        self.pick.clicked.connect(lambda _: setattr(self, "_waits", False))
        self._source: Any = None
        self._stains: list[Any] = []
        self._missed = False  # whether no cell was found at the point
        self._segmented: tuple[Any, Any] = (None, None)
        self._offered = True  # the label was not chosen by the user
        self.roles.changed.connect(self._layers_changed)
        self.roles.settled.connect(self._wait_for_click)
        self.roles.guess()

    def combo(self, role: str) -> LayerCombo:
        """Return the list of layers for ``"membrane"``, ``"dna"``, ``"cells"`` or ``"nuclei"``."""
        return self.roles.combo(role)

    @property
    def layers(self) -> list[Any]:
        """All chosen layers: membrane, DNA, cells and nuclei, as far as there are such."""
        return self.roles.layers

    def place_changed(self) -> None:
        """Show what the layers state now."""
        self.voxel_size.show_layers(self.layers)
        self.changed.emit()

    def data_changed(self, layer: Any) -> None:
        """Offer the layers that now can be used, and a label of new segmentations if none was chosen."""
        self.roles.refresh()
        if not self.label.value() or (self._offered and any(layer is one for one in self._segmented)):
            self._offer_labels()
            self._wait_for_click()
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
        layers = self.roles.checked(structure)
        voxel_size, source = self._voxel_size(), layers[0]
        chosen = {role: self.combo(role).layer for role in ("membrane", "dna", "cells", "nuclei")}
        channels = {role: chosen[role] for role in ("membrane", "dna")} | {"structure": structure}
        # The segmentation identifies the cell: with or without a stain, it is the same one.
        image_id = str((chosen["cells"] or source).unique_id)
        click = None if chosen["cells"] is not None else self._point
        request = CellRequest(
            channels={name: volume_of(layer) for name, layer in channels.items() if layer is not None},
            cells=_array(chosen["cells"]),
            nuclei=_array(chosen["nuclei"]),
            label=self.label.value() or None,
            point=self._point,
            voxel_size=voxel_size,
            image_frame=image_frame_of(source, voxel_size),
            image_id=image_id,
            simulated=any(bool(mark_of(layer).get("simulated")) for layer in layers),
            number=self._session.integrate.number_of(f"{image_id}/{click}") if click is not None else 1,
        )
        try:
            request.check()
        except Refusal as refusal:
            raise self.roles.with_mends(refusal) from None
        return request

    def cell_found(self, found: bool) -> None:
        """Take whether there is a cell at the point. If not, listen to the next click."""
        if found or self.combo("cells").layer is not None or self._point is None:
            found = True
        if found == self._missed:
            self._missed = not found
            self._wait_for_click()

    def stains(self) -> tuple[Any, Any, VoxelSize]:
        """Return the membrane and DNA layers and their voxel size.

        Raises
        ------
        Refusal
            If one of them is missing or cannot be used.
        """
        membrane, dna = self.combo("membrane").layer, self.combo("dna").layer
        if membrane is None or dna is None:
            raise self.roles.with_mends(Refusal("Segmenting needs a membrane and a DNA layer: choose both."))
        self.roles.checked()
        return membrane, dna, self._voxel_size()

    def close_down(self) -> None:
        """Stop listening to the viewer."""
        self._picking.listen(False)
        self.roles.close_down()
        self._tasks.cancel("click")

    def _voxel_size(self) -> VoxelSize:
        """Return the voxel size of the chosen layers.

        Raises
        ------
        Refusal
            If it is not known.
        """
        self.voxel_size.show_layers(self.layers)
        voxel_size = self.voxel_size.value
        if voxel_size is None:
            raise Refusal(
                f"The voxel size of {self.roles.source.name!r} is not known: give it in µm, (Z, Y, X).",
                "set voxel size",
            )
        return voxel_size

    def _layers_changed(self) -> None:
        source = self.roles.source
        if source is not self._source:
            # Both stains of a click are on one grid: an exchange changes nothing about the point.
            kept = source is not None and any(source is stain for stain in self._stains)
            self._source, self._point = source, self._point if kept else None
            self._missed = self._missed and kept
        self._stains = [self.combo("membrane").layer, self.combo("dna").layer]
        self.voxel_size.show_layers(self.layers)
        segmented = self.combo("cells").layer, self.combo("nuclei").layer
        new_cells, new_nuclei = (a is not b for a, b in zip(segmented, self._segmented, strict=True))
        self._segmented = segmented
        if new_cells or (new_nuclei and self._offered):
            self._offer_labels()
        self.changed.emit()

    def _write_voxel_size(self, voxel_size: VoxelSize) -> None:
        """Write a size to the layers of the same image that state none, and its unit to those that state no unit."""
        if self.roles.source is not None:
            grid = grid_shape(self.roles.source)
            layers = [layer for layer in self._viewer.layers if isinstance(layer, Image | Labels)]
            dims = self._viewer.dims
            shown = dims.current_step
            written = [layer for layer in layers if write_voxel_size(layer, voxel_size, grid)]
            written += [layer for layer in self.layers if write_unit(layer, voxel_size)]
            if written:
                dims.set_current_step(range(dims.ndim), shown)
                self._viewer.reset_view()

    def write_sizes(self) -> None:
        """Give the chosen layers that state no size or no unit those of the others.

        Else napari shows layers apart, and warns with each new layer that their units differ.
        """
        value = self.voxel_size.value
        stated = [layer for layer in self.layers if micrometres_per_unit(layer) is not None]
        if value is None or not stated or len(stated) == len(self.layers):
            return
        self._write_voxel_size(value)

    # ---------------------------------------------------------------- the cell

    def _offer_labels(self) -> None:
        """Choose a label of a segmentation in memory: that at the point, that of the user, or one with a nucleus."""
        cells, nuclei = self.combo("cells").layer, self.combo("nuclei").layer
        self.label.setEnabled(cells is not None)
        with QSignalBlocker(self.label):
            if cells is None or not is_in_memory(volume_of(cells)):
                self._offered = True
                self.label.setValue(0)
                return
            labels = volume_of(cells)
            clicked = int(labels[self._point]) if self._point is not None else 0
            if clicked:
                self._offered = False
                self.label.setValue(clicked)
            value = self.label.value()
            if self._offered or not 0 < value <= int(labels.max(initial=0)):
                self._offered = True
                seen = _array(nuclei)
                fits = seen is not None and is_in_memory(seen) and seen.shape == labels.shape
                selected = int(getattr(cells, "selected_label", 0))
                self.label.setValue(offered_label(labels, seen if fits else None, value, selected))

    def _wait_for_click(self) -> None:
        """Listen to clicks while only a click is missing."""
        stained = self.combo("membrane").layer is not None and self.combo("dna").layer is not None
        by_label = self.combo("cells").layer is not None and not self.label.value()
        chosen = self._point is not None and not self._missed
        by_point = self.combo("cells").layer is None and stained and not chosen
        if by_label or by_point:
            self._waits = self._waits or not self.pick.isChecked()
            self.pick.setChecked(True)
        elif self._waits:
            self._waits = False
            self.pick.setChecked(False)

    def _take_click(self, press: Press) -> None:
        cells, source = self.combo("cells").layer, self.roles.source
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
            show_warning(f"There is no cell of {self.combo('cells').currentText()!r} where you clicked.")

    def _choose(self, label: int, point: tuple[int, int, int] | None) -> None:
        with QSignalBlocker(self.label):
            self.label.setValue(label)
        self._point, self._offered, self._missed = point, False, False
        # One click chooses one cell, whoever has pressed the button: then clicks in the canvas change nothing.
        self._waits = False
        self.pick.setChecked(False)
        self.changed.emit()
        self.clicked.emit()

    def _label_typed(self) -> None:
        self._point, self._offered = None, False  # the point lies in another cell
        self.changed.emit()


def _label_along(cells: Labels, press: Press) -> int:
    """Return the first label along the line of sight of a press; 0 if there is none."""
    value = cells.get_value(
        press.position, view_direction=press.view_direction, dims_displayed=press.dims_displayed, world=True
    )
    return int(value or 0)


def _array(layer: Any) -> Any:
    return volume_of(layer) if layer is not None else None
