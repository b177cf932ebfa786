"""The voxel size of a layer, or three fields to give it where the layer has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_integrated_cell.plugin.layers import VoxelSize, micrometres_per_unit, voxel_size_of

if TYPE_CHECKING:
    from napari.layers import Layer


class VoxelSizeField(QWidget):
    """Edge lengths (Z, Y, X) in µm, prefilled from a layer, and asked for where it states none."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edges = [_edge(axis) for axis in "ZYX"]
        self._remark = QLabel()
        self._remark.setWordWrap(True)
        fields = QHBoxLayout()
        fields.setContentsMargins(0, 0, 0, 0)
        for edge in self._edges:
            fields.addWidget(edge)
            edge.valueChanged.connect(lambda _: self.changed.emit())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(fields)
        layout.addWidget(self._remark)
        self.show_layer(None)

    @property
    def value(self) -> VoxelSize | None:
        """In µm; None while an edge is not given."""
        z, y, x = (edge.value() for edge in self._edges)
        return (z, y, x) if min(z, y, x) > 0 else None

    @value.setter
    def value(self, voxel_size: VoxelSize | None) -> None:
        before = self.value
        for edge, length in zip(self._edges, voxel_size or (0.0, 0.0, 0.0), strict=True):
            edge.blockSignals(True)
            edge.setValue(length)
            edge.blockSignals(False)
        if self.value != before:
            self.changed.emit()

    def show_layer(self, layer: Layer | None) -> None:
        """Prefill from a layer; say what it leaves open."""
        stated = voxel_size_of(layer) if layer is not None else None
        remark = ""
        if layer is not None and stated is None:
            remark = f"⚠ {layer.name!r} states no voxel size: give it here."
        elif layer is not None and micrometres_per_unit(layer) is None:
            remark = f"{layer.name!r} states no unit: its scale is taken as µm."
        self._remark.setText(remark)
        self._remark.setVisible(bool(remark))
        self.value = stated


def _edge(axis: str) -> QDoubleSpinBox:
    edge = QDoubleSpinBox()
    edge.setRange(0.0, 100.0)
    edge.setDecimals(4)
    edge.setSingleStep(0.01)
    edge.setSpecialValueText("?")
    edge.setPrefix(f"{axis} ")
    edge.setToolTip(f"Edge of a voxel along {axis} in µm. Prefilled from the layer's scale and unit.")
    edge.setAccessibleName(f"Voxel size along {axis} in µm")
    edge.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    edge.setMinimumWidth(60)
    return edge
