"""The column of a dock: groups with titles that scroll vertically."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QGroupBox, QScrollArea, QVBoxLayout, QWidget

_ROOM = 6  # the scroll bar's margin in napari's themes, which its size hint does not include


def titled(title: str, *widgets: QWidget) -> QGroupBox:
    """Return a frame with a title and a column of widgets."""
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    layout.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        layout.addWidget(widget)
    return group


class Column(QScrollArea):
    """A scroll area that is at least as wide as its content. Qt's own would hide a part of it.

    Parameters
    ----------
    widgets : QWidget
        From top to bottom.
    tall : QWidget, optional
        The widget that takes the remaining height; empty space below the last one if left out.
    """

    def __init__(self, *widgets: QWidget, tall: QWidget | None = None) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(2, 2, 2, 2)
        for widget in widgets:
            layout.addWidget(widget, int(widget is tall))
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
