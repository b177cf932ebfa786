"""Table that compares the measured shape of a group of cells with that of all other cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_integrated_cell.latent.groups import Comparison

_HEADERS = ("Mean", "Selected", "Others", "Diff., σ")
_WIDEST = 2.0  # standard deviations that fill a bar
_LARGER, _SMALLER = QColor("#ff8c42"), QColor("#4c9bff")
_DIFFERENCE = 3


class GroupShape(QTableWidget):
    """Table of the means of measured columns, in a group and in the other cells, and of their difference."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADERS), parent)
        self.setHorizontalHeaderLabels(_HEADERS)
        self.setAccessibleName("Measured shape of the selected cells")
        self.setToolTip(
            "Shape measured on the segmentations, not by the model: the mean of the selected cells, the mean of all\n"
            "other cells, and their difference in standard deviations of all cells (σ)."
        )
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_DIFFERENCE, QHeaderView.ResizeMode.Stretch)
        self.setItemDelegateForColumn(_DIFFERENCE, _Bar(self))
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)
        self.setFont(font)
        header.setFont(font)
        self.hide()

    def show_comparison(self, comparison: Sequence[Comparison]) -> None:
        """Show another comparison. The table is hidden if it is empty."""
        self.setVisible(bool(comparison))
        self.setRowCount(len(comparison))
        for row, found in enumerate(comparison):
            unit = f", {found.measure.unit}" if found.measure.unit else ""
            words = (
                f"{found.measure.label}{unit}",
                _number(found.group[0]),
                _number(found.rest[0]),
                f"{found.difference:+.2f}" if isfinite(found.difference) else "",
            )
            for column, word in enumerate(words):
                item = QTableWidgetItem(word)
                item.setData(Qt.ItemDataRole.UserRole, found.difference)
                if column == _DIFFERENCE:
                    item.setTextAlignment(int(Qt.AlignmentFlag.AlignCenter))
                if 0 < column < _DIFFERENCE:
                    mean, spread = (found.group, found.rest)[column - 1]
                    item.setToolTip(f"{_number(mean)} ± {_number(spread)} (standard deviation)")
                    item.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
                self.setItem(row, column, item)
            self.setRowHeight(row, 22)
        header = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(header + 22 * len(comparison) + 4)


class _Bar(QStyledItemDelegate):
    """Draws a number over a bar: from the middle to the right if it is positive, to the left if negative."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        difference = index.data(Qt.ItemDataRole.UserRole)
        if difference is not None and isfinite(difference):
            box = QRectF(option.rect).adjusted(2, 4, -2, -4)
            length = min(abs(difference) / _WIDEST, 1.0) * box.width() / 2
            middle = box.center().x()
            colour = QColor(_LARGER if difference > 0 else _SMALLER)
            colour.setAlpha(150)
            left = middle if difference > 0 else middle - length
            painter.fillRect(QRectF(left, box.top(), length, box.height()), colour)
        super().paint(painter, option, index)


def _number(value: float) -> str:
    if not isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
