"""A strip of the stages' landmarks with their pictures. Those on the way are numbered."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from qtpy.QtCore import QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QToolButton, QWidget

from napari_integrated_cell.model.latent import Landmark
from napari_integrated_cell.plugin.widgets.column import grid
from napari_integrated_cell.vocabulary import stage

_COLUMNS = 4
_ICON = QSize(56, 64)
_ON_THE_WAY = "#3fd0ff"
_BADGE = 16  # pixels


class StageStrip(QWidget):
    """A button for each landmark. A button between the two ends adds its stage to the walk or removes it."""

    toggled = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = grid(self, across=2, down=2)
        self.buttons: dict[str, QToolButton] = {}
        self._pictures: dict[str, QPixmap] = {}
        self._landmarks: Sequence[Landmark] = ()

    def show_landmarks(self, landmarks: Sequence[Landmark]) -> None:
        """Make a button for each landmark, in this order."""
        for button in self.buttons.values():
            self._grid.removeWidget(button)
            button.deleteLater()
        self.buttons, self._pictures, self._landmarks = {}, {}, tuple(landmarks)
        for i, mark in enumerate(landmarks):
            picture = QPixmap()
            picture.loadFromData(mark.thumbnail)
            button = QToolButton(toolButtonStyle=Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setText("\n".join(textwrap.wrap(stage(mark.stage).label, 12)))
            button.setIconSize(_ICON)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            font = button.font()
            font.setPointSizeF(font.pointSizeF() * 0.8)
            button.setFont(font)
            button.clicked.connect(lambda _, name=mark.stage: self.toggled.emit(name))
            self._grid.addWidget(button, i // _COLUMNS, i % _COLUMNS, Qt.AlignmentFlag.AlignTop)
            self.buttons[mark.stage], self._pictures[mark.stage] = button, picture
        for column in range(_COLUMNS):
            self._grid.setColumnStretch(column, 1)
        heights = [button.sizeHint().height() for button in self.buttons.values()]
        for button in self.buttons.values():
            button.setMinimumHeight(max(heights))
        self.setVisible(bool(landmarks))

    def show_way(self, way: Sequence[str], choosable: Sequence[str]) -> None:
        """Number the stages that the walk goes through.

        Parameters
        ----------
        way : sequence of str
            All stops that are stages, in order.
        choosable : sequence of str
            The stages that can be added or removed.
        """
        for mark in self._landmarks:
            name, button = mark.stage, self.buttons[mark.stage]
            number = way.index(name) + 1 if name in way else None
            button.setChecked(number is not None)
            button.setEnabled(name in choosable or number is not None)
            button.setIcon(_icon(self._pictures[name], number))
            label = stage(name).label
            what = "not on the way" if number is None else f"stop {number} of {len(way)}"
            button.setAccessibleName(f"{label}, {what}")
            cells = f"medoid of {mark.n_held_out if mark.among == 'held-out' else mark.n_cells} cells"
            choice = "\nPress to add it to the walk, or to remove it." if name in choosable else ""
            note = f"\n{mark.note}" if mark.note else ""
            button.setToolTip(f"{label}: {what}. Landmark: {mark.cell_id}, {cells}.{note}{choice}")


def _icon(picture: QPixmap, number: int | None) -> QIcon:
    """Return a landmark's picture: with a frame and a number on the way, else faint."""
    pixmap = QPixmap(_ICON)
    pixmap.fill(QColor("transparent"))
    painter = QPainter(pixmap)
    painter.setOpacity(0.35 if number is None else 1.0)
    if picture.isNull():
        painter.fillRect(pixmap.rect(), QColor("#404040"))
    else:
        fitted = picture.scaled(
            _ICON, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        painter.drawPixmap(
            (_ICON.width() - fitted.width()) // 2, (_ICON.height() - fitted.height()) // 2, fitted
        )
    if number is not None:
        painter.setPen(QPen(QColor(_ON_THE_WAY), 2))
        painter.drawRect(pixmap.rect().adjusted(1, 1, -1, -1))
        badge = QRect(0, 0, _BADGE, _BADGE)
        painter.fillRect(badge, QColor(_ON_THE_WAY))
        painter.setPen(QColor("black"))
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, str(number))
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Disabled)
    return icon
