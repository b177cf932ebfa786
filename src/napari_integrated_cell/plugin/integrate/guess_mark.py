"""A remark that two layers were guessed from what they show or look exchanged, with a button that exchanges them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QLabel, QWidget

from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import button


class GuessMark(QWidget):
    """Shown while the layers of two roles are guessed, look exchanged or were swapped.

    Parameters
    ----------
    titles : tuple of str
        Of the two roles.
    combos : tuple of LayerCombo
        The lists of their layers.
    on_swap : callable
        Called before the layers are exchanged.
    """

    def __init__(
        self, titles: tuple[str, str], combos: tuple[LayerCombo, LayerCombo], on_swap: Callable[[], None]
    ) -> None:
        super().__init__()
        self._titles, self._combos, self._on_swap = titles, combos, on_swap
        self._swapped: tuple[Any, Any] | None = None  # the pair after a swap that was not undone
        self.remark = QLabel(wordWrap=True)
        self.swap = button("Swap", f"Exchange {titles[0]} and {titles[1]}.", self._exchange)
        layout = row((self.remark, 1), self.swap)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self.hide()

    def say(self, guessed: tuple[bool, bool], exchanged: bool) -> None:
        """Say which of the two layers are guessed from what they show, that they look exchanged, or were swapped."""
        titles = [title for title, one in zip(self._titles, guessed, strict=True) if one]
        if exchanged:
            text = f"⚠ {' and '.join(self._titles)} look exchanged: each layer shows what the other one should show."
        elif titles:
            verb = "are" if len(titles) > 1 or titles == ["Nuclei"] or titles == ["Cells"] else "is"
            text = f"{' and '.join(titles)} {verb} guessed from what the layers show."
        elif self._swapped == self._pair():
            text = f"{' and '.join(self._titles)} are swapped: press Swap again to undo it."
        else:
            text = ""
        self.remark.setText(text)
        self.setVisible(bool(text))

    def _pair(self) -> tuple[Any, Any]:
        """Return what identifies the two layers."""
        first, second = (getattr(combo.layer, "unique_id", None) for combo in self._combos)
        return first, second

    def _exchange(self) -> None:
        self._on_swap()
        before, layers = self._pair(), [combo.layer for combo in self._combos]
        self._swapped = None if self._swapped == before else before[::-1]
        for combo, layer in zip(self._combos, reversed(layers), strict=True):
            with QSignalBlocker(combo):  # both change at once: in between, one layer would be chosen twice
                combo.layer = layer
        self._combos[0].chosen.emit()
