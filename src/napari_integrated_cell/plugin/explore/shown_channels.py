"""The channels that are shown at the position, and the channel that is compared with the start."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QWidget

from napari_integrated_cell.plugin.layers.display import label_of
from napari_integrated_cell.plugin.scene.layers import channels_of
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets.checklist import swatch
from napari_integrated_cell.plugin.widgets.column import grid, row, stack
from napari_integrated_cell.plugin.widgets.inputs import described
from napari_integrated_cell.vocabulary import STRUCTURES, colour_of

_COLUMNS = 3


class ShownChannels(QWidget):
    """Check boxes for ``session.scene.shown``, and a list for ``session.scene.difference``."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.boxes: dict[str, QCheckBox] = {}
        self._grid = grid(across=4, down=0)
        self.difference = described(
            QComboBox(),
            "Difference to the start",
            "A layer with the difference to the start: orange is more, blue is less.",
        )
        self.difference.activated.connect(
            lambda i: setattr(session.scene, "difference", self.difference.itemData(i))
        )
        stack(self, self._grid, row(QLabel("Difference to the start"), (self.difference, 1)))
        self.redraw()

    def redraw(self) -> None:
        """Show the session's state."""
        session = self._session
        channels = channels_of(session.model)
        if channels != tuple(self.boxes):
            self._offer(channels)
        for name, box in self.boxes.items():
            with QSignalBlocker(box):
                box.setChecked(name in session.scene.shown)
        self.difference.setCurrentIndex(max(self.difference.findData(session.scene.difference), 0))

    def _offer(self, channels: tuple[str, ...]) -> None:
        marks = {s.name: s.organelle for s in STRUCTURES}
        for box in self.boxes.values():
            self._grid.removeWidget(box)
            box.deleteLater()
        self.boxes = {}
        self.difference.clear()
        self.difference.addItem("none", "")
        for i, name in enumerate(channels):
            box = QCheckBox(label_of(name))
            box.setIcon(swatch(colour_of(name)))
            what = f"{label_of(name)} ({marks[name]})" if name in marks else label_of(name)
            box.setToolTip(f"Show {what} at the position. Only what is shown is decoded.")
            box.toggled.connect(lambda on, name=name: self._tick(name, on))
            self._grid.addWidget(box, i // _COLUMNS, i % _COLUMNS)
            self.boxes[name] = box
            self.difference.addItem(swatch(colour_of(name)), label_of(name), name)

    def _tick(self, name: str, on: bool) -> None:
        others = tuple(c for c in self._session.scene.shown if c != name)
        self._session.scene.shown = (*others, name) if on else others
