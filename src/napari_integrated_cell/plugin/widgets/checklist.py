"""A checklist of structures, with their colours."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget

from napari_integrated_cell.plugin.widgets.column import row, stack
from napari_integrated_cell.plugin.widgets.inputs import button, described
from napari_integrated_cell.vocabulary import STRUCTURES

_SWATCH = 14


class StructureChecklist(QWidget):
    """A list of all structures with check boxes. Structures that the model does not know are disabled."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = described(
            QListWidget(), "Structures", "The structures to predict. The space key ticks the current one."
        )
        self._list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._list.setIconSize(QSize(_SWATCH, _SWATCH))
        for entry in STRUCTURES:
            item = QListWidgetItem(swatch(entry.colour), f"{entry.label}  ({entry.organelle})")
            item.setData(Qt.ItemDataRole.UserRole, entry.name)
            item.setToolTip(f"{entry.label} marks {entry.organelle} (gene {entry.gene}).")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked)
            self._list.addItem(item)
        row_height = max(self._list.sizeHintForRow(0), 18)
        self._list.setFixedHeight(row_height * 6 + 2 * self._list.frameWidth())
        self._list.itemChanged.connect(lambda _: self.changed.emit())
        everything = button("&All", "Tick every structure.", lambda: self.tick(None))
        nothing = button("&None", "Tick no structure.", lambda: self.tick(()))
        stack(self, self._list, row(everything, nothing))

    @property
    def ticked(self) -> list[str]:
        """The names of the ticked structures, in the order of the paper."""
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in self._items()
            if item.checkState() == Qt.CheckState.Checked and item.flags() & Qt.ItemFlag.ItemIsEnabled
        ]

    def tick(self, names: Sequence[str] | None) -> None:
        """Tick these structures and no others; None ticks all."""
        with QSignalBlocker(self._list):
            for item in self._items():
                on = names is None or item.data(Qt.ItemDataRole.UserRole) in names
                item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        self.changed.emit()

    def offer(self, known: Sequence[str] | None) -> None:
        """Disable structures that a model does not know; None enables all."""
        with QSignalBlocker(self._list):
            for item in self._items():
                there = known is None or item.data(Qt.ItemDataRole.UserRole) in known
                flags = item.flags()
                item.setFlags(
                    flags | Qt.ItemFlag.ItemIsEnabled if there else flags & ~Qt.ItemFlag.ItemIsEnabled
                )
        self.changed.emit()

    def _items(self) -> list[QListWidgetItem]:
        items = (self._list.item(row) for row in range(self._list.count()))
        return [item for item in items if item is not None]


def swatch(colour: str | QColor) -> QIcon:
    """Return an icon with a square of a colour."""
    pixmap = QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(QColor(colour))
    painter = QPainter(pixmap)
    painter.setPen(QColor("#808080"))
    painter.drawRect(0, 0, _SWATCH - 1, _SWATCH - 1)
    painter.end()
    return QIcon(pixmap)
