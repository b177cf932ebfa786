"""The voxel size of a layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_integrated_cell.cell import checked_voxel_size
from napari_integrated_cell.plugin.layers.volumes import VoxelSize, micrometres_per_unit, voxel_size_of
from napari_integrated_cell.plugin.widgets.column import stack
from napari_integrated_cell.plugin.widgets.inputs import described

if TYPE_CHECKING:
    from napari.layers import Layer


class VoxelSizeField(QWidget):
    """A field for the voxel size (Z, Y, X) in µm, filled from a layer if the layer states it."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = described(
            QLineEdit(placeholderText="Z, Y, X in µm"),
            "Voxel size, Z, Y, X, in µm",
            "Edge lengths of a voxel, Z, Y, X, in µm: prefilled from the layer's scale and unit.\n"
            "For example 0.29, 0.108, 0.108.",
        )
        self.edit.textChanged.connect(lambda _: self.changed.emit())
        self._remark = QLabel(wordWrap=True)
        stack(self, self.edit, self._remark)
        self.show_layer(None)

    @property
    def value(self) -> VoxelSize | None:
        """The voxel size in µm; None while it is incomplete."""
        try:
            return checked_voxel_size(re.split(r"[\s,;×x]+", self.edit.text().strip()))
        except ValueError:
            return None

    @value.setter
    def value(self, voxel_size: VoxelSize | None) -> None:
        self.edit.setText(", ".join(f"{length:.6g}" for length in voxel_size or ()))

    def show_layer(self, layer: Layer | None) -> None:
        """Fill the field from a layer, with a remark on what the layer does not state."""
        stated = voxel_size_of(layer) if layer is not None else None
        remark = ""
        if layer is not None and stated is None:
            remark = f"⚠ {layer.name!r} states no voxel size: give it here."
        elif layer is not None and micrometres_per_unit(layer) is None:
            remark = f"{layer.name!r} states no unit: its scale is taken as µm."
        self._remark.setText(remark)
        self._remark.setVisible(bool(remark))
        self.value = stated
