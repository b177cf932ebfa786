"""The voxel size of the chosen layers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_integrated_cell.cell import checked_voxel_size
from napari_integrated_cell.plugin.layers.volumes import VoxelSize, micrometres_per_unit, voxel_size_of
from napari_integrated_cell.plugin.widgets.column import stack
from napari_integrated_cell.plugin.widgets.inputs import button, described

_ALIKE = 0.01  # sizes that differ by less are rounded differently


class VoxelSizeField(QWidget):
    """A field for the voxel size (Z, Y, X) in µm. It shows what the layers state until the user types another size.

    Signals: ``changed`` with every change, and ``given`` with the size when the user has typed one.
    """

    changed = Signal()
    given = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = described(
            QLineEdit(placeholderText="Z, Y, X in µm"),
            "Voxel size, Z, Y, X, in µm",
            "Edge lengths of a voxel, Z, Y, X, in µm: prefilled from the layers' scale and unit.\n"
            "For example 0.29, 0.108, 0.108. Layers that state no size get the one you type.",
        )
        self._source: Layer | None = None
        self._typed = False
        self.edit.textChanged.connect(lambda _: self.changed.emit())
        self.edit.textEdited.connect(self._type)
        self.edit.editingFinished.connect(self._give)
        self._remark = QLabel(wordWrap=True)
        tip = "Write the size to the layers of this image that state none, so that all layers lie on each other."
        self.write = button("Set voxel size", tip, self._give_shown)
        stack(self, self.edit, self._remark, self.write)
        self.show_layers([])

    @property
    def remark(self) -> str:
        """A remark on a doubtful size; empty if there is none."""
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
        self._typed = voxel_size is not None
        self._write(voxel_size)

    def show_layers(self, layers: Sequence[Layer]) -> None:
        """Fill the field from the first layer that states a size, with a remark if that size is doubtful.

        A size that was typed stays, unless the first layer is another one.
        """
        source = layers[0] if layers else None
        if source is not self._source:
            self._source, self._typed = source, False
        stated = [(layer, size) for layer in layers if (size := voxel_size_of(layer)) is not None]
        with_unit = [pair for pair in stated if micrometres_per_unit(pair[0]) is not None]
        best = next(iter(with_unit or stated), None)
        silent = [layer for layer in layers if voxel_size_of(layer) is None] if best is not None else []
        remark = _remark_on(best, with_unit, silent)
        self.write.setVisible(bool(silent))
        self._remark.setText(remark)
        self._remark.setVisible(bool(remark))
        if not self._typed:
            self._write(best[1] if best else None)

    def _write(self, voxel_size: VoxelSize | None) -> None:
        text = ", ".join(f"{length:.6g}" for length in voxel_size or ())
        if text != self.edit.text():
            self.edit.setText(text)
            self.edit.setCursorPosition(0)  # a long size shows its beginning

    def _type(self, text: str) -> None:
        self._typed = bool(text.strip())

    def _give_shown(self) -> None:
        if self.value is not None:
            self.given.emit(self.value)

    def _give(self) -> None:
        if self._typed and self.value is not None:
            self.given.emit(self.value)


def _remark_on(
    best: tuple[Layer, VoxelSize] | None,
    others: Sequence[tuple[Layer, VoxelSize]],
    silent: Sequence[Layer],
) -> str:
    """Return what is doubtful about the best size. Without any, the dock refuses the cell and says why."""
    if best is None:
        return ""
    layer, size = best
    if micrometres_per_unit(layer) is None:
        return f"{layer.name!r} states no unit: its scale is taken as µm."
    for other, theirs in others:
        if not np.allclose(size, theirs, rtol=_ALIKE):
            listed = ", ".join(f"{length:.4g}" for length in theirs)
            return f"⚠ {other.name!r} states another size ({listed} µm) than {layer.name!r}: check which is right."
    if silent:
        names = " and ".join(repr(each.name) for each in silent)
        return f"{names} state{'s' if len(silent) == 1 else ''} no size; that of {layer.name!r} is used."
    return ""
