"""Widget for the plan of a walk: start, stages, end, path and pace."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QGroupBox, QHBoxLayout, QSpinBox, QWidget

from napari_integrated_cell.plugin.traverse.plan import stages_on_offer, stages_on_the_way
from napari_integrated_cell.plugin.traverse.stage_strip import StageStrip
from napari_integrated_cell.plugin.traverse.state import CELL
from napari_integrated_cell.vocabulary import stage

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.session import Session

_PATHS = {
    "radial": "Radial (as in the paper)",
    "great-circle": "Great circle",
    "straight": "Straight line",
}
_EASINGS = {"linear": "Even pace", "smooth": "Slower at every stop"}


class WalkPlanner(QGroupBox):
    """Show the session's plan of a walk over the model's landmarks, and change it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Walk", parent)
        self._session = session
        self.start = _combo(
            "From", "Where the walk starts: the landmark of a stage, or the z^r of the active cell."
        )
        self.end = _combo("To", "The stage where the walk ends: its landmark, the medoid of its cells' z^r.")
        self.strip = StageStrip()
        self.steps = QSpinBox()
        self.steps.setRange(1, 200)
        self.steps.setToolTip("Frames from each stop to the next. The paper's walk has ten.")
        self.steps.setAccessibleName("Frames from stop to stop")
        self.easing = _combo("Pace", "An even pace, or one that slows down at every stop (easing).", _EASINGS)
        self.path = _combo(
            "Path",
            "How z^r goes from stop to stop (section 3.4.6): its length and every hyperspherical angle change\n"
            "evenly; or its direction follows a great circle; or a straight line, which passes through regions\n"
            "with few cells.",
            _PATHS,
        )
        pace = QHBoxLayout()
        pace.addWidget(self.steps)
        pace.addWidget(self.easing, 1)
        self.form = QFormLayout(self)
        self.form.setContentsMargins(6, 6, 6, 6)
        self.form.addRow("From", self.start)
        self.form.addRow("To", self.end)
        self.form.addRow(self.strip)
        self.form.addRow("Frames per step", pace)
        self.form.addRow("Path", self.path)
        self.start.activated.connect(lambda _: self._plan(start=self.start.currentData(), through=None))
        self.end.activated.connect(lambda _: self._plan(end=self.end.currentData(), through=None))
        self.strip.toggled.connect(self._toggle_stage)
        self.steps.valueChanged.connect(lambda steps: self._plan(steps=steps))
        self.easing.activated.connect(lambda _: self._plan(easing=self.easing.currentData()))
        self.path.activated.connect(lambda _: self._plan(path=self.path.currentData()))
        self._hold = ExitStack()
        for event in (session.traverse.events.plan, session.events.model, session.integrate.events.cell):
            event.connect(self.draw)
            self._hold.callback(event.disconnect, self.draw)
        self.draw()

    def close_down(self) -> None:
        """Stop listening to the session."""
        self._hold.close()

    def draw(self) -> None:
        """Show the session's state."""
        session, plan, model = self._session, self._session.traverse.plan, self._session.model
        stages = [] if model is None else [mark.stage for mark in model.landmarks]
        cell = (
            "Active cell" if session.integrate.cell is None else f"Active cell: {session.integrate.cell.name}"
        )
        labels = {name: stage(name).label for name in dict.fromkeys([*stages, plan.start, plan.end]) if name}
        _fill(self.start, {CELL: cell, **labels}, plan.start)
        _fill(self.end, labels, plan.end)
        _fill(self.easing, _EASINGS, plan.easing)
        _fill(self.path, _PATHS, plan.path)
        self.steps.blockSignals(True)
        self.steps.setValue(plan.steps)
        self.steps.blockSignals(False)
        if list(self.strip.buttons) != stages:
            self.strip.show_landmarks(() if model is None else model.landmarks)
        self._draw_way()

    def _draw_way(self) -> None:
        plan, model = self._session.traverse.plan, self._session.model
        if model is None:
            return
        start = [] if plan.start == CELL else [plan.start]
        self.strip.show_way([*start, *stages_on_the_way(plan, model), plan.end], stages_on_offer(plan, model))

    def _plan(self, **changed: Any) -> None:
        self._session.traverse.plan = replace(self._session.traverse.plan, **changed)

    def _toggle_stage(self, name: str) -> None:
        model, plan = self._session.model, self._session.traverse.plan
        if model is None:
            return
        through = stages_on_the_way(plan, model)
        if name in stages_on_offer(plan, model):
            chosen = [stage for stage in through if stage != name] if name in through else [*through, name]
            self._plan(through=tuple(chosen))
        self._draw_way()  # set a button that cannot be changed back to its state


def _combo(name: str, tip: str, items: dict[str, str] | None = None) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tip)
    combo.setAccessibleName(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    _fill(combo, items or {}, None)
    return combo


def _fill(combo: QComboBox, items: dict[str, str], chosen: str | None) -> None:
    """Fill a combo box with labels by value, and choose one value."""
    if [(combo.itemData(i), combo.itemText(i)) for i in range(combo.count())] != list(items.items()):
        combo.clear()
        for data, text in items.items():
            combo.addItem(text, data)
    combo.setCurrentIndex(combo.findData(chosen))
