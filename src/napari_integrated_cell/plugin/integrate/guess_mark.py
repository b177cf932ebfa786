"""A remark that two layers were guessed from what they show, with a button that exchanges them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import button

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo


class GuessMark(QWidget):
    """Shown while the layers of two roles are the guessed ones, in either order.

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
        self._guessed: list[Layer | None] = []
        self._by_look = (False, False)
        self.remark = QLabel(wordWrap=True)
        self.swap = button("Swap", f"Exchange {titles[0]} and {titles[1]}.", self._exchange)
        layout = row((self.remark, 1), self.swap)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self.hide()

    def mark(self, guessed: tuple[bool, bool]) -> None:
        """Remember which of the present layers were guessed from what they show."""
        self._guessed = [combo.layer for combo in self._combos] if any(guessed) else []
        self._by_look = guessed
        self.refresh()

    def refresh(self) -> None:
        """Say whether the layers are the guessed ones. Hide the remark if other layers were chosen."""
        present = [combo.layer for combo in self._combos]
        if not all(any(one is other for other in self._guessed) for one in present):
            self._guessed = []
        first, second = self._guessed or (None, None)
        if first is not second and None not in self._guessed and present[0] is second and present[1] is first:
            text = f"⚠ {' and '.join(self._titles)} look exchanged: the layers show it the other way round."
        else:
            titles = [title for title, one in zip(self._titles, self._by_look, strict=True) if one]
            verb = "are" if len(titles) > 1 or titles == ["Nuclei"] or titles == ["Cells"] else "is"
            text = f"{' and '.join(titles)} {verb} guessed from what the layers show."
        self.remark.setText(text)
        self.setVisible(bool(self._guessed))

    def _exchange(self) -> None:
        self._on_swap()
        one, other = (combo.layer for combo in self._combos)
        self._combos[0].layer, self._combos[1].layer = other, one
