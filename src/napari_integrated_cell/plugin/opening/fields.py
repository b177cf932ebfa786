"""Fields of the dialog "Open image with choices": names of channels, and the edges of a voxel."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_integrated_cell.cell import checked_voxel_size
from napari_integrated_cell.imaging.formats.sizes import StatedSize
from napari_integrated_cell.plugin.widgets.column import grid, row, stack
from napari_integrated_cell.plugin.widgets.inputs import described, text_label

_MOST_NAMES = 12
_PER_ROW = 4
_INCOMPLETE = "The voxel size needs three numbers in µm (Z, Y, X): fill all three, or none."


class ChannelNames(QWidget):
    """One line for the name of each channel. Many channels keep the names that they have."""

    def __init__(self) -> None:
        super().__init__()
        self.edits: list[QLineEdit] = []
        self._shown: tuple[str, ...] = ()
        self._grid = grid(self)

    @property
    def value(self) -> tuple[str, ...] | None:
        """The names; None if none was changed."""
        names = tuple(edit.text().strip() or edit.placeholderText() for edit in self.edits)
        return names if names != self._shown else None

    def show_names(self, names: tuple[str, ...]) -> None:
        """Show the names that a file gives."""
        self._shown = names if len(names) <= _MOST_NAMES else ()
        for edit in self.edits:
            self._grid.removeWidget(edit)
            edit.deleteLater()
        self.edits = []
        for i, name in enumerate(self._shown):
            edit = described(
                QLineEdit(name), f"Channel {i}", f"Name of channel {i}, for example membrane or DNA."
            )
            edit.setPlaceholderText(name)
            self.edits.append(edit)
            self._grid.addWidget(edit, i // _PER_ROW, i % _PER_ROW)


class VoxelEdges(QWidget):
    """Three lines for the edges Z, Y, X of a voxel, in µm, prefilled with what the file states.

    Signals: ``changed``.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.edits = [
            described(QLineEdit(), f"Voxel size in {axis}, in µm", f"Edge of a voxel along {axis}, in µm.")
            for axis in "ZYX"
        ]
        self._found = text_label()
        self._prefilled = ["", "", ""]
        for edit in self.edits:
            edit.textEdited.connect(lambda _: self.changed.emit())
        letters = [QLabel(axis) for axis in "ZYX"]
        for letter, edit in zip(letters, self.edits, strict=True):
            letter.setBuddy(edit)
        pairs = zip(letters, ((edit, 1) for edit in self.edits), strict=True)
        stack(self, row(*(part for pair in pairs for part in pair)), self._found)

    @property
    def value(self) -> tuple[float, float, float] | None:
        """The size; None if it is what the file states, or is not complete."""
        texts = [edit.text().strip() for edit in self.edits]
        return checked_voxel_size(texts) if all(texts) and texts != self._prefilled else None

    @property
    def problem(self) -> str:
        """A sentence about a size that cannot be used; empty for a sound one, and for an empty field."""
        texts = [edit.text().strip() for edit in self.edits]
        if texts == self._prefilled or not any(texts):
            return ""
        try:
            return _INCOMPLETE if self.value is None else ""
        except ValueError as error:
            return str(error)

    def show_stated(self, size: StatedSize | None) -> None:
        """Show what a file states."""
        values = size.values if size is not None else (None,) * 3
        self._prefilled = [f"{value:.6g}" if value is not None else "" for value in values]
        for edit, text in zip(self.edits, self._prefilled, strict=True):
            edit.setText(text)
        found = size is not None and (size.doubtful or None in size.values)
        self._found.setText(f"The file {size.found}." if size is not None and found else "")
        self._found.setVisible(bool(found))
