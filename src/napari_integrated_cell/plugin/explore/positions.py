"""Buttons for positions: undo and redo, the clipboard, kept positions and their tables."""

from __future__ import annotations

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QWidget

from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.explore import actions
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets.column import grid
from napari_integrated_cell.plugin.widgets.inputs import button, combo

_TABLES = "Tables of positions (*.csv);;All files (*)"


class Positions(QWidget):
    """Show the kept positions, and whether a move can be undone."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._drawn: tuple[object, ...] = (None,)
        self.undo = button("&Undo", "Undo the last move (Ctrl+Z).", session.scene.undo)
        self.redo = button("Re&do", "Redo the move that was undone (Ctrl+Shift+Z).", session.scene.redo)
        self.copy = button("Cop&y", "Copy the position to the clipboard, as JSON.", self._copy)
        self.paste = button("Past&e", "Go to the position on the clipboard.", self._paste)
        tip = "Type a name to keep the position under, or choose a kept position to go there."
        self.kept = combo("Kept positions", tip, choose=self._go)
        self.kept.setEditable(True)
        self.kept.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        edit = self.kept.lineEdit()
        assert edit is not None
        edit.setPlaceholderText("name")
        self.keep = button(
            "&Keep",
            "Keep the position under this name.",
            lambda: actions.keep(session, self.kept.currentText()),
        )
        tip = "Save the kept positions as a table (.csv), or the present one if none is kept."
        self.save = button("&Save…", tip, self._save)
        self.open = button("&Open…", "Open a table of positions (.csv).", self._open)
        layout = grid(self)
        for column, each in enumerate((self.undo, self.redo, self.copy, self.paste)):
            each.setMinimumWidth(30)
            layout.addWidget(each, 0, column)
        layout.addWidget(self.kept, 1, 0, 1, 3)
        layout.addWidget(self.keep, 1, 3)
        layout.addWidget(self.save, 2, 0, 1, 2)
        layout.addWidget(self.open, 2, 2, 1, 2)
        self.redraw()

    def redraw(self) -> None:
        """Show the session's state."""
        session = self._session
        here = session.scene.position is not None
        self.undo.setEnabled(session.scene.can_undo)
        self.redo.setEnabled(session.scene.can_redo)
        for each in (self.copy, self.paste, self.keep, self.save, self.open):
            each.setEnabled(here)
        kept = session.explore.kept
        if kept is not self._drawn[0]:
            self._drawn = (kept,)
            text = self.kept.currentText()
            self.kept.clear()
            for position in kept:
                self.kept.addItem(position.name, position)
            self.kept.setCurrentIndex(self.kept.findText(text))
            self.kept.setEditText(text)

    def _go(self, position: Position | None) -> None:
        if position is not None:
            self._session.scene.go_to(position)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if self._session.scene.position is not None and clipboard is not None:
            clipboard.setText(actions.copied(self._session))

    def _paste(self) -> None:
        clipboard = QApplication.clipboard()
        text = clipboard.text() if clipboard is not None else ""
        with refusals_shown():
            actions.paste(self._session, text)

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save positions", "positions.csv", _TABLES)
        if path:
            with refusals_shown():
                show_info(f"Saved {actions.save(self._session, path)}.")

    def _open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open positions", "", _TABLES)
        if path:
            with refusals_shown():
                actions.open_table(self._session, path)
