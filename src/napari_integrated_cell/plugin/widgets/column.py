"""The column of a dock: groups with titles that scroll vertically, and rows of widgets in them."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

_ROOM = 6  # the scroll bar's margin in napari's themes, which its size hint does not include


def stack(
    parent: QWidget, *parts: QWidget | QLayout, margin: int = 0, tall: QWidget | None = None
) -> QVBoxLayout:
    """Lay parts out in a widget from top to bottom. ``tall`` takes the remaining height."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(margin, margin, margin, margin)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part, int(part is tall))
        else:
            layout.addLayout(part)
    return layout


def row(*parts: QWidget | tuple[QWidget, int]) -> QHBoxLayout:
    """Lay widgets out from left to right. Those with a number share the remaining width in this ratio."""
    layout = QHBoxLayout()
    for part in parts:
        layout.addWidget(*part if isinstance(part, tuple) else (part,))
    return layout


def grid(parent: QWidget | None = None, *, across: int = -1, down: int = -1) -> QGridLayout:
    """Return a grid without margins. ``across`` and ``down`` are its spacings in pixels, -1 for those of the style."""
    layout = QGridLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(across)
    layout.setVerticalSpacing(down)
    return layout


def titled(title: str, *parts: QWidget | QLayout) -> QGroupBox:
    """Return a frame with a title and a column of parts."""
    group = QGroupBox(title)
    stack(group, *parts, margin=6)
    return group


class Column(QScrollArea):
    """A scroll area that is at least as wide as its content. Qt's own would hide a part of it.

    Parameters
    ----------
    parts : QWidget or QLayout
        From top to bottom.
    tall : QWidget, optional
        The widget that takes the remaining height; empty space below the last one if left out.
    """

    def __init__(self, *parts: QWidget | QLayout, tall: QWidget | None = None) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        layout = stack(content, *parts, margin=2, tall=tall)
        if tall is None:
            layout.addStretch(1)
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:
        """Return the width of the content and the scroll bar, and a small height."""
        content, bar = self.widget(), self.verticalScrollBar()
        width = content.minimumSizeHint().width() if content is not None else 0
        return QSize(width + bar.sizeHint().width() + _ROOM, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Update the width when the content has changed."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)
