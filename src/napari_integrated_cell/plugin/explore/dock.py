"""Dock "Latent explorer": sliders that change the decoded cell."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QLabel, QShortcut

from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.explore import actions
from napari_integrated_cell.plugin.explore.axis_sliders import AxisSliders
from napari_integrated_cell.plugin.explore.positions import Positions
from napari_integrated_cell.plugin.explore.random_walk import RandomWalk
from napari_integrated_cell.plugin.explore.shown_channels import ShownChannels
from napari_integrated_cell.plugin.scene.decoder import scene_of
from napari_integrated_cell.plugin.widgets.column import Column, row, titled
from napari_integrated_cell.plugin.widgets.dock import Dock
from napari_integrated_cell.plugin.widgets.inputs import button, combo, offer
from napari_integrated_cell.vocabulary import stage

_STEP = 50  # ms from one step of a random walk to the next


class ExploreWidget(Dock):
    """Sliders through the latent spaces. Membrane, DNA and structures are decoded while a slider moves."""

    # ---------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.setObjectName("Latent explorer")
        session = self._session
        self.origin = combo(
            "Start from",
            "Where to start from: the z^r of the active cell (Enc^r(x^r)), the prior's mode (all zeros, the most\n"
            "probable cell), a random draw from the prior, the present position (for example a cell that you chose\n"
            "on the map), or the medoid of a stage.",
            choose=lambda origin: actions.change(session, origin=origin),
        )
        tip = "Go there. Differences are taken to this position from now on."
        self.start = button("S&tart", tip, self.set_out)
        self.where = QLabel(wordWrap=True)
        self.shown = ShownChannels(session)
        self.sliders = AxisSliders(session)
        self.positions = Positions(session)

        column = Column(
            titled("Start from", row((self.origin, 1), self.start), self.where),
            titled("Shown", self.shown),
            titled("Axes", self.sliders),
            titled("Positions", self.positions),
        )
        self._fill(column)

    # ---------------------------------------------------------------- events

    def _connect(self) -> None:
        session = self._session
        self._random_walk = RandomWalk(session)
        self._measured: tuple[Any, ...] = ()
        self._walk = QTimer(self, interval=_STEP)
        self._walk.timeout.connect(self._random_walk.step)
        for keys, do in (
            (QKeySequence.StandardKey.Undo, session.scene.undo),
            (QKeySequence.StandardKey.Redo, session.scene.redo),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(do)
        # The session resets its states after the event of another model: open the model when it is done.
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._open)

        hold = self._hold
        scene = scene_of(self._viewer, session)
        hold.connect(
            (session.events.model_source, self._another_model),
            (session.events.device, self._another_model),
            (session.events.model, self._model_changed),
            (session.integrate.events.cell, self._draw_origins),
            (session.scene.events.position, self._position_changed),
            (session.scene.events.start, self._start_changed),
            (session.scene.events.shown, self.shown.redraw),
            (session.scene.events.difference, self.shown.redraw),
            (session.explore.events, self._state_changed),
            (scene.shown, self.sliders.paint_rows),
        )
        hold.callback(session.tasks.cancel, actions.EFFECTS)
        hold.callback(scene.hold())
        hold.callback(self._pause)
        self._follow_theme(lambda name: self.sliders.set_colour(get_theme(name).text.as_hex()))
        self._draw_origins()
        self._open()

    def _pause(self) -> None:
        # Qt deletes the timers with the dock: nothing may start them again.
        self._walk = self._soon = None  # type: ignore[assignment]
        actions.change(self._session, walking=False)

    def _open(self) -> None:
        self._session.open_then(lambda model: self._begin())

    def _another_model(self, *_: Any) -> None:
        if self._soon is not None:
            self._soon.start()

    def _begin(self) -> None:
        """Start at the most probable cell if there is no position."""
        if self._session.scene.position is None:
            actions.start_from(self._session, actions.MODE)
        if self._walk is not None:  # the dock is still open
            self._measure()

    def _model_changed(self, *_: Any) -> None:
        self._draw_origins()
        self.shown.redraw()
        self.sliders.redraw()
        self.positions.redraw()
        if self._session.model is not None:  # another dock may have opened it
            self._begin()

    def _position_changed(self, *_: Any) -> None:
        self.sliders.redraw_position()
        self.positions.redraw()
        self._draw_where()

    def _start_changed(self, *_: Any) -> None:
        self._draw_where()
        self.sliders.redraw()
        self._measure()

    def _state_changed(self, *_: Any) -> None:
        self.sliders.redraw()
        self.shown.redraw()
        self.positions.redraw()
        self._measure()
        walking = self._session.explore.walking
        if self._walk is not None and walking != self._walk.isActive():
            if walking:
                self._random_walk.step(remember=True)
                self._walk.start()
            else:
                self._walk.stop()

    def _measure(self) -> None:
        """Measure the effects of the shown axes, if the axes or the start have changed."""
        session, explore = self._session, self._session.explore
        wanted = (session.scene.start, *explore.basis, *self.sliders.chosen) if explore.effects else ()
        if wanted != self._measured:
            self._measured = wanted
            actions.measure(session, self.sliders.chosen if wanted else [])

    def _draw_origins(self, *_: Any) -> None:
        session, chosen = self._session, self._session.explore.origin
        active = session.integrate.cell
        cell = "the active cell (none yet)" if active is None else f"the active cell: {active.name}"
        marks = () if session.model is None else session.model.landmarks
        origins = {
            actions.CELL: cell,
            actions.MODE: "the most probable cell (the prior's mode)",
            actions.DRAW: "a random draw",
            actions.HERE: "the present position",
            **{mark.stage: f"{stage(mark.stage).label} (medoid)" for mark in marks},
        }
        if chosen not in origins:
            chosen = actions.MODE if active is None else actions.CELL
        offer(self.origin, origins, chosen)

    def _draw_where(self) -> None:
        start, position = self._session.scene.start, self._session.scene.position
        if position is None:
            self.where.setText("")
            return
        name = "" if start is None else start.name or "a position"
        moved = start is not None and position != start
        here = f" · now at {position.name}" if position.name and moved else ""
        self.where.setText(f"Started from {name}{here or (' · moved' if moved else '')}.")

    # ---------------------------------------------------------------- what the user does

    def set_out(self) -> None:
        """Start from the chosen place."""
        with refusals_shown():
            actions.start_from(self._session, self.origin.currentData())
