"""Dock "Mitosis traversal": a walk through the stages of mitosis, or from a cell to a stage."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QLabel, QSpinBox

from napari_integrated_cell.plugin.signals import Connections
from napari_integrated_cell.plugin.traverse import actions, export
from napari_integrated_cell.plugin.traverse.frames import MB, memory_said
from napari_integrated_cell.plugin.traverse.keeper import WalkKeeper
from napari_integrated_cell.plugin.traverse.path_plot import PathPlot
from napari_integrated_cell.plugin.traverse.plan import change_plan, planned_structures
from napari_integrated_cell.plugin.traverse.planner import WalkPlanner
from napari_integrated_cell.plugin.widgets.checklist import StructureChecklist
from napari_integrated_cell.plugin.widgets.column import Column, row, titled
from napari_integrated_cell.plugin.widgets.dock import Dock
from napari_integrated_cell.plugin.widgets.inputs import described
from napari_integrated_cell.plugin.widgets.work_row import WorkRow
from napari_integrated_cell.walk.traversal import Walk

_PAUSE = 100  # ms without a change before the path of the plan is computed


class TraverseWidget(Dock):
    """Plan a walk, see its path, make it, and save it."""

    # ---------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.setObjectName("Mitosis traversal")
        self.way = WalkPlanner(self._session)
        self.plot = PathPlot()
        self.structures = StructureChecklist()
        self.budget = described(
            QSpinBox(minimum=10, maximum=64_000, singleStep=50, suffix=" MB"),
            "Memory for decoded frames",
            "Memory for decoded frames. Frames beyond it are decoded again when they are shown.",
        )
        self.memory = QLabel(wordWrap=True)
        self.work = WorkRow(
            "Ma&ke the walk",
            "Decode the walk into layers with a time axis, and play it with napari's slider. A new walk replaces\n"
            "the old one. The layers show what the model predicts. Nothing of it was observed.",
            "Stop making the walk. The shown walk stays.",
        )
        self.make, self.cancel, self.status = self.work.start, self.work.cancel, self.work.status
        self.keeper = WalkKeeper(self._session)

        self.way.form.addRow(self.plot)
        kept = row((self.memory, 1), QLabel("up to"), self.budget)
        shown = titled("Structures, with membrane and DNA", self.structures, kept)
        self._fill(Column(self.way, shown, self.keeper), self.work)

    # ---------------------------------------------------------------- events

    def _connect(self) -> None:
        session = self._session
        self._walks: dict[str, Walk] = {}
        self._playhead = Connections()  # to the shown walk, and to no other
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._look_at_path)
        self.budget.valueChanged.connect(lambda budget: change_plan(session, budget=budget))
        self.structures.changed.connect(
            lambda: change_plan(session, structures=tuple(self.structures.ticked))
        )
        self.make.clicked.connect(lambda _: actions.make_walk(self._viewer, session))
        self.cancel.clicked.connect(lambda _: session.tasks.cancel(actions.SLOT))

        hold = self._hold
        hold.connect(
            (session.traverse.events.plan, self._draw_plan),
            (session.traverse.events.walk, self._walk_changed),
            (session.events.model, self._model_changed),
            (session.events.model_source, lambda: session.open_then()),
            (session.integrate.events.cell, self._draw_plan),
            (session.tasks.changed, self._draw_running),
        )
        hold.callback(self._timer.stop)
        hold.callback(self._playhead.close)
        hold.callback(session.tasks.cancel, actions.PREVIEW)
        self._follow_theme(self.plot.use_theme)
        self._model_changed()
        self._walk_changed()
        self._draw_running()

    def _model_changed(self) -> None:
        if self._session.model is None:
            self.plot.say("")
            self._session.open_then()  # this emits the event again
        actions.fit_plan(self._session)
        self._draw_plan()

    def _walk_changed(self) -> None:
        shown = self._session.traverse.walk
        self._playhead.close()
        if shown is not None:
            self._playhead.connect((shown.moved, self._draw_playhead))
        self._draw_playhead()
        self.keeper.draw()

    # ---------------------------------------------------------------- showing the session

    def _draw_plan(self) -> None:
        session, plan, model = self._session, self._session.traverse.plan, self._session.model
        with QSignalBlocker(self.budget):
            self.budget.setValue(plan.budget)
        self.way.draw()
        self.keeper.draw()
        if model is None:
            return
        planned = planned_structures(plan, session, model)
        with QSignalBlocker(self.structures):
            self.structures.offer(model.config.structures)
            if tuple(self.structures.ticked) != planned:
                self.structures.tick(planned)
        self._timer.start()

    def _look_at_path(self) -> None:
        """Compute the planned path and draw it."""
        if self._session.model is not None:
            actions.preview_path(self._session, self._show_paths, self._say_error)

    def _show_paths(self, walks: dict[str, Walk]) -> None:
        session, plan, model = self._session, self._session.traverse.plan, self._session.model
        if model is None:
            return
        self._walks = walks
        self.plot.show_walks(walks, plan.path, actions.typical_norm(session))
        channels = len(model.config.references) + len(planned_structures(plan, session, model))
        self.memory.setText(
            memory_said((len(walks[plan.path]), channels, *model.config.box), plan.budget * MB)
        )
        self._draw_playhead()

    def _say_error(self, error: Exception) -> bool:
        """Show the error in place of the path."""
        if isinstance(error, ValueError):
            self._walks = {}
            self.plot.say(str(error))
            self.memory.setText("")
        return isinstance(error, ValueError)

    def _draw_playhead(self, frame: int | None = None) -> None:
        """Draw the playhead in the plot, if the planned walk is the shown one."""
        shown, planned = self._session.traverse.walk, self._walks.get(self._session.traverse.plan.path)
        same = shown is not None and planned is not None and planned.same_positions(shown.traversal.walk)
        self.plot.show_playhead(shown.playhead if shown is not None and same else None)

    def _draw_running(self, slot: str = actions.SLOT) -> None:
        if slot in (actions.SLOT, export.SLOT):
            running = self._session.tasks.running
            self.work.show_running(running(actions.SLOT), running(export.SLOT))
            self.keeper.draw()
