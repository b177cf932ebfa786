"""The voxel size of a layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_integrated_cell.cell import checked_voxel_size
from napari_integrated_cell.plugin.layers.volumes import VoxelSize, micrometres_per_unit, voxel_size_of

if TYPE_CHECKING:
    from napari.layers import Layer


class VoxelSizeField(QWidget):
    """A field for the voxel size (Z, Y, X) in µm, filled from a layer if the layer states it."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = QLineEdit()
        self.edit.setPlaceholderText("Z, Y, X in µm")
        self.edit.setToolTip(
            "Edge lengths of a voxel, Z, Y, X, in µm: prefilled from the layer's scale and unit.\n"
            "For example 0.29, 0.108, 0.108."
        )
        self.edit.setAccessibleName("Voxel size, Z, Y, X, in µm")
        self.edit.textChanged.connect(lambda _: self.changed.emit())
        self._remark = QLabel()
        self._remark.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit)
        layout.addWidget(self._remark)
        self.show_layer(None)

    @property
    def remark(self) -> str:
        """A remark on the layer's voxel size; empty if there is none."""
        return self._remark.text()

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
