"""Buttons for positions: undo and redo, the clipboard, kept positions and their tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QGridLayout, QPushButton, QWidget

from napari_integrated_cell.plugin.explore import actions

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.session import Session

_TABLES = "Tables of positions (*.csv);;All files (*)"


class Positions(QWidget):
    """Show the kept positions, and whether a move can be undone."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._drawn: tuple[object, ...] = (None,)
        self.undo = self._button("&Undo", "Undo the last move (Ctrl+Z).", session.scene.undo)
        self.redo = self._button("Re&do", "Redo the move that was undone (Ctrl+Shift+Z).", session.scene.redo)
        self.copy = self._button("Cop&y", "Copy the position to the clipboard, as JSON.", self._copy)
        self.paste = self._button("Past&e", "Go to the position on the clipboard.", self._paste)
        self.kept = QComboBox()
        self.kept.setEditable(True)
        self.kept.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.kept.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.kept.setMinimumContentsLength(8)
        edit = self.kept.lineEdit()
        assert edit is not None
        edit.setPlaceholderText("name")
        self.kept.setToolTip("Type a name to keep the position under, or choose a kept position to go there.")
        self.kept.setAccessibleName("Kept positions")
        self.keep = self._button("&Keep", "Keep the position under this name.", self._keep)
        self.save = self._button(
            "&Save…",
            "Save the kept positions as a table (.csv), or the present one if none is kept.",
            self._save,
        )
        self.open = self._button("&Open…", "Open a table of positions (.csv).", self._open)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, button in enumerate((self.undo, self.redo, self.copy, self.paste)):
            grid.addWidget(button, 0, column)
        grid.addWidget(self.kept, 1, 0, 1, 3)
        grid.addWidget(self.keep, 1, 3)
        grid.addWidget(self.save, 2, 0, 1, 2)
        grid.addWidget(self.open, 2, 2, 1, 2)
        self.kept.activated.connect(self._go)
        self.redraw()

    def redraw(self) -> None:
        """Show the session's state."""
        session = self._session
        here = session.scene.position is not None
        self.undo.setEnabled(session.scene.can_undo)
        self.redo.setEnabled(session.scene.can_redo)
        for button in (self.copy, self.paste, self.keep, self.save, self.open):
            button.setEnabled(here)
        kept = session.explore.kept
        if kept is not self._drawn[0]:
            self._drawn = (kept,)
            text = self.kept.currentText()
            self.kept.clear()
            for position in kept:
                self.kept.addItem(position.name, position)
            self.kept.setCurrentIndex(self.kept.findText(text))
            self.kept.setEditText(text)

    def _button(self, text: str, tip: str, do: Callable[[], None]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setMinimumWidth(30)
        button.clicked.connect(lambda _: do())
        return button

    def _go(self, index: int) -> None:
        position = self.kept.itemData(index)
        if position is not None:
            self._session.scene.go_to(position)

    def _keep(self) -> None:
        actions.keep(self._session, self.kept.currentText())

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if self._session.scene.position is not None and clipboard is not None:
            clipboard.setText(actions.copied(self._session))

    def _paste(self) -> None:
        clipboard = QApplication.clipboard()
        text = clipboard.text() if clipboard is not None else ""
        self._try(lambda: actions.paste(self._session, text))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save positions", "positions.csv", _TABLES)
        if path:
            self._try(lambda: show_info(f"Saved {actions.save(self._session, path)}."))

    def _open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open positions", "", _TABLES)
        if path:
            self._try(lambda: actions.open_table(self._session, path))

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except (ValueError, OSError) as error:
            show_error(str(error))
