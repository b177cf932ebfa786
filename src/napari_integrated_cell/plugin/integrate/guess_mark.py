"""A remark that two layers were guessed from what they show or look exchanged, with a button that exchanges them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import button

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo


class GuessMark(QWidget):
    """Shown while the layers of two roles are guessed or look exchanged.

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
        self.remark = QLabel(wordWrap=True)
        self.swap = button("Swap", f"Exchange {titles[0]} and {titles[1]}.", self._exchange)
        layout = row((self.remark, 1), self.swap)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self.hide()

    def say(self, guessed: tuple[bool, bool], exchanged: bool) -> None:
        """Say which of the two layers are guessed from what they show, or that they look exchanged."""
        titles = [title for title, one in zip(self._titles, guessed, strict=True) if one]
        if exchanged:
            text = f"⚠ {' and '.join(self._titles)} look exchanged: the layers show it the other way round."
        elif titles:
            verb = "are" if len(titles) > 1 or titles == ["Nuclei"] or titles == ["Cells"] else "is"
            text = f"{' and '.join(titles)} {verb} guessed from what the layers show."
        else:
            text = ""
        self.remark.setText(text)
        self.setVisible(bool(text))

    def _exchange(self) -> None:
        self._on_swap()
        one, other = (combo.layer for combo in self._combos)
        self._combos[0].layer, self._combos[1].layer = other, one
