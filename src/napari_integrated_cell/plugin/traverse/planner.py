"""Widget for the plan of a walk: start, stages, end, path and pace."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QFormLayout, QGroupBox, QSpinBox, QWidget

from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.traverse.plan import change_plan, stages_on_offer, stages_on_the_way
from napari_integrated_cell.plugin.traverse.stage_strip import StageStrip
from napari_integrated_cell.plugin.traverse.state import CELL
from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import combo, described, offer
from napari_integrated_cell.vocabulary import stage

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
        tip = "Where the walk starts: the landmark of a stage, or the z^r of the active cell."
        self.start = combo("From", tip, choose=lambda name: change_plan(session, start=name, through=None))
        tip = "The stage where the walk ends: its landmark, the medoid of its cells' z^r."
        self.end = combo("To", tip, choose=lambda name: change_plan(session, end=name, through=None))
        self.strip = StageStrip()
        tip = "Frames from each stop to the next. The paper's walk has ten."
        self.steps = described(QSpinBox(minimum=1, maximum=200), "Frames from stop to stop", tip)
        tip = "An even pace, or one that slows down at every stop (easing)."
        self.easing = combo("Pace", tip, _EASINGS, choose=lambda name: change_plan(session, easing=name))
        self.path = combo(
            "Path",
            "How z^r goes from stop to stop (section 3.4.6): its length and every hyperspherical angle change\n"
            "evenly; or its direction follows a great circle; or a straight line, which passes through regions\n"
            "with few cells.",
            _PATHS,
            choose=lambda name: change_plan(session, path=name),
        )
        self.form = QFormLayout(self)
        self.form.setContentsMargins(6, 6, 6, 6)
        self.form.addRow("From", self.start)
        self.form.addRow("To", self.end)
        self.form.addRow(self.strip)
        self.form.addRow("Frames per step", row(self.steps, (self.easing, 1)))
        self.form.addRow("Path", self.path)
        self.strip.toggled.connect(self._toggle_stage)
        self.steps.valueChanged.connect(lambda steps: change_plan(session, steps=steps))
        self.draw()

    def draw(self) -> None:
        """Show the session's state."""
        session, plan, model = self._session, self._session.traverse.plan, self._session.model
        stages = [] if model is None else [mark.stage for mark in model.landmarks]
        active = session.integrate.cell
        cell = "Active cell" if active is None else f"Active cell: {active.name}"
        labels = {name: stage(name).label for name in dict.fromkeys([*stages, plan.start, plan.end]) if name}
        offer(self.start, {CELL: cell, **labels}, plan.start)
        offer(self.end, labels, plan.end)
        offer(self.easing, _EASINGS, plan.easing)
        offer(self.path, _PATHS, plan.path)
        with QSignalBlocker(self.steps):
            self.steps.setValue(plan.steps)
        if list(self.strip.buttons) != stages:
            self.strip.show_landmarks(() if model is None else model.landmarks)
        self._draw_way()

    def _draw_way(self) -> None:
        plan, model = self._session.traverse.plan, self._session.model
        if model is None:
            return
        start = [] if plan.start == CELL else [plan.start]
        self.strip.show_way([*start, *stages_on_the_way(plan, model), plan.end], stages_on_offer(plan, model))

    def _toggle_stage(self, name: str) -> None:
        model, plan = self._session.model, self._session.traverse.plan
        if model is None:
            return
        through = stages_on_the_way(plan, model)
        if name in stages_on_offer(plan, model):
            chosen = [stage for stage in through if stage != name] if name in through else [*through, name]
            change_plan(self._session, through=tuple(chosen))
        self._draw_way()  # set a button that cannot be changed back to its state
