"""A dock's column: titled groups, one above the other, that scroll up and down, never sideways."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QGroupBox, QScrollArea, QVBoxLayout, QWidget

_ROOM = 6  # napari's themes draw the scroll bar with a margin that its size hint does not count


def titled(title: str, *widgets: QWidget) -> QGroupBox:
    """Widgets one above the other, in a frame with a title."""
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    layout.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        layout.addWidget(widget)
    return group


class Column(QScrollArea):
    """Asks for the width its content needs; Qt's own scroll area is content with less, and hides the rest.

    Parameters
    ----------
    widgets : QWidget
        From top to bottom.
    tall : QWidget, optional
        The one of them that takes the height that is left; below the last when left out.
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
        """As wide as the content and the scroll bar, and hardly any height."""
        content, bar = self.widget(), self.verticalScrollBar()
        width = content.minimumSizeHint().width() if content is not None else 0
        return QSize(width + bar.sizeHint().width() + _ROOM, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask anew when the content's need has changed."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)
