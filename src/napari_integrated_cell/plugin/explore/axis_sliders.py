"""The sliders of a latent space."""

from __future__ import annotations

import time

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_integrated_cell.latent.axis_effects import quantities
from napari_integrated_cell.latent.projection import SHAPE
from napari_integrated_cell.plugin.explore import actions
from napari_integrated_cell.plugin.explore.axis_slider import AxisSlider
from napari_integrated_cell.plugin.layers.display import label_of
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets import column
from napari_integrated_cell.plugin.widgets.inputs import button, combo, described
from napari_integrated_cell.vocabulary import STRUCTURES

_TOGETHER = 1.0  # seconds: key presses on one axis within this time are one move to undo
_HELD_BACK = 100  # ms that a moved row waits at most, so that it is painted together with the canvas
_WALK, _PAUSE = "R&andom walk", "P&ause the walk"  # keys that napari's menus do not use


class AxisSliders(QWidget):
    """Show the explored axes, and move the session's position along them."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._offered: tuple[object, ...] = ()
        self._drawn: tuple[object, ...] = ()
        self._moving = False
        self._last: tuple[int, float] | None = None
        self._colour = "#888888"
        self.rows: list[AxisSlider] = []
        self._paint = QTimer(self, singleShot=True, interval=_HELD_BACK)
        self._paint.timeout.connect(self.paint_rows)
        self._build()
        self.redraw()

    # ---------------------------------------------------------------- widgets

    def _build(self) -> None:
        session = self._session
        self.space = combo(
            "Latent space",
            "The latent space of the sliders: cell and nuclear shape (z^r), or the variation of one structure in a\n"
            "cell of that shape (z^s).",
            characters=12,
            choose=self._choose_space,
        )
        self.basis = combo(
            "Kind of axes",
            "Principal axes of the training cells (PCA), sorted by variance, or the raw latent dimensions.",
            {True: "principal axes", False: "raw dimensions"},
            characters=14,
            choose=lambda principal: actions.change(session, principal=principal, query=""),
        )
        self.count = described(QSpinBox(minimum=1, maximum=1), "Number of sliders", "Number of sliders.")
        self.search = described(
            QLineEdit(placeholderText="find axes: 3, 17, 40-45", clearButtonEnabled=True),
            "Find axes",
            "Show only these axes: numbers and ranges. Empty: all, from the first.",
        )
        self.effects = QCheckBox("What &changes along each axis")
        self.effects.setToolTip(
            "Decode a few cells along each axis through the start, and draw how cell volume, nucleus volume,\n"
            "height, elongation and the eccentricity of the nucleus change; for z^s, the structure's intensity."
        )
        tip = "Change the cell randomly along the axes that are not locked. Press again to pause."
        self.walk = button(_WALK, tip)
        self.walk.setCheckable(True)
        tip = "Set all axes of this space that are not locked back to the start."
        self.back = button("&Reset axes", tip, lambda: actions.reset(session))
        self.none = QLabel("No axis has such a number.")

        form = QFormLayout()
        form.addRow("Space", self.space)
        form.addRow("Axes", column.row((self.basis, 1), self.count))
        form.addRow("Find", self.search)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(3)
        buttons = column.row(self.walk, self.back)
        column.stack(self, form, self.effects, self.none, self._rows, buttons)

        self.count.valueChanged.connect(lambda n: actions.change(session, count=n))
        self.search.textChanged.connect(lambda text: actions.change(session, query=text))
        self.effects.toggled.connect(lambda on: actions.change(session, effects=on))
        self.walk.toggled.connect(lambda on: actions.change(session, walking=on))

    def set_colour(self, text: str) -> None:
        """Set the colour of text and lines."""
        self._colour = text
        for row in self.rows:
            row.effect.set_colour(text)

    # ---------------------------------------------------------------- drawing the session

    def redraw(self) -> None:
        """Show the axes of the session."""
        session, explore = self._session, self._session.explore
        self._offer_spaces()
        axes = actions.axes_of(session)
        self.setEnabled(axes is not None)
        if axes is None:
            return
        principal = explore.principal and actions.has_principal(session, explore.space)
        for widget in (self.count, self.search, self.effects, self.walk):
            widget.blockSignals(True)
        self.basis.setCurrentIndex(0 if principal else 1)
        self.basis.setEnabled(actions.has_principal(session, explore.space))
        self.count.setRange(1, len(axes))
        self.count.setValue(explore.count)
        self.count.setSuffix(f" of {len(axes)}")
        if self.search.text() != explore.query:
            self.search.setText(explore.query)
        self.effects.setChecked(explore.effects)
        self.walk.setChecked(explore.walking)
        self.walk.setText(_PAUSE if explore.walking else _WALK)
        for widget in (self.count, self.search, self.effects, self.walk):
            widget.blockSignals(False)

        chosen = self.chosen
        self.none.setVisible(not chosen)
        while len(self.rows) < len(chosen):
            self._add_row()
        drawn = (axes, tuple(chosen))
        if drawn != self._drawn:
            self._drawn, self._last = drawn, None
            for i, row in enumerate(self.rows):
                if i < len(chosen):
                    axis = chosen[i]
                    share = None if axes.shares is None else float(axes.shares[axis])
                    row.show_axis(axis, axes.names[axis], share, axes.unit)
                row.setVisible(i < len(chosen))
        known = actions.effects_of(session, chosen) if explore.effects else {}
        for row, axis in zip(self.rows, chosen, strict=False):
            row.show_locked(axis in explore.held)
            row.effect.setVisible(explore.effects)
            row.effect.show_effect(known.get(axis), quantities(explore.space))
        self.redraw_position()

    def paint_rows(self) -> None:
        """Paint the rows that wait for the canvas."""
        self._paint.stop()
        for row in self.rows:
            if not row.updatesEnabled():
                row.setUpdatesEnabled(True)

    def redraw_position(self) -> None:
        """Show the values of the position."""
        session = self._session
        axes, position = actions.axes_of(session), session.scene.position
        if axes is None or position is None:
            return
        if not self._moving:
            self._last = None
        values = axes.values(actions.vector(session, position, session.explore.space))
        for row, axis in zip(self.rows, self.chosen, strict=False):
            row.show_value(float(values[axis]))

    @property
    def chosen(self) -> list[int]:
        """The axes that are shown, one for each row."""
        axes, explore = actions.axes_of(self._session), self._session.explore
        return [] if axes is None else axes.found(explore.query)[: explore.count]

    def _offer_spaces(self) -> None:
        model, explore = self._session.model, self._session.explore
        known = () if model is None else model.config.structures
        if known != self._offered or not self.space.count():
            self._offered = tuple(known)
            self.space.clear()
            self.space.addItem("cell and nuclear shape (z^r)", SHAPE)
            marks = {s.name: f": {s.organelle}" for s in STRUCTURES}
            for name in known:
                self.space.addItem(f"{label_of(name)}{marks.get(name, '')} (z^s)", name)
        self.space.setCurrentIndex(max(self.space.findData(explore.space), 0))

    def _add_row(self) -> None:
        row = AxisSlider()
        row.effect.set_colour(self._colour)
        row.moving.connect(lambda: self._hold_back(row))
        row.moved.connect(self._moved)
        row.released.connect(self._let_go)
        row.reset.connect(lambda axis: actions.reset(self._session, axis))
        row.locked.connect(lambda axis, on: actions.lock(self._session, axis, on))
        self.rows.append(row)
        self._rows.addWidget(row)

    # ---------------------------------------------------------------- what the user does

    def _choose_space(self, space: str) -> None:
        session = self._session
        actions.change(session, space=space, query="")
        if space != SHAPE and space not in session.scene.shown:
            session.scene.shown = (*session.scene.shown, space)  # else its sliders would show nothing

    def _hold_back(self, row: AxisSlider) -> None:
        # Qt composes the whole window again for every widget that is painted beside a canvas. This can take as long
        # as decoding, so the moved row is painted together with the canvas.
        if row.updatesEnabled():
            row.setUpdatesEnabled(False)
            self._paint.start()

    def _moved(self, axis: int, value: float) -> None:
        now = time.monotonic()
        dragged = any(row.slider.isSliderDown() for row in self.rows)
        again = (
            self._last is not None and self._last[0] == axis and (dragged or now - self._last[1] < _TOGETHER)
        )
        if self._session.explore.walking:
            actions.change(self._session, walking=False)
        self._last, self._moving = (axis, now), True
        actions.move(self._session, axis, value, remember=not again)
        self._moving = False

    def _let_go(self) -> None:
        self._last = None
