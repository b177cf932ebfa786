"""Dock "Cell map": cells of a population in a plane of the latent space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_integrated_cell.latent.population import Population
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.latent.projection import SHAPE
from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.map import actions, opened_cell
from napari_integrated_cell.plugin.map.colouring import Colouring, coloured, stage_colour, title_of
from napari_integrated_cell.plugin.map.controls import MapControls, SelectedCells
from napari_integrated_cell.plugin.map.legend import Legend
from napari_integrated_cell.plugin.map.scatter import Mark, Scatter
from napari_integrated_cell.plugin.scene.decoder import scene_of
from napari_integrated_cell.plugin.widgets.column import Column
from napari_integrated_cell.plugin.widgets.dock import Dock
from napari_integrated_cell.vocabulary import stage

_AWAITED = ("model", actions.SLOT, actions.LAYOUT)
_HOW = (
    "This model has no embedded cells.\n\nOpen some below: a file that `napari-ic embed` wrote, "
    "a table of cells, or a store."
)


class MapWidget(Dock):
    """Show the cells of a population in the latent space, and go to them."""

    # ---------------------------------------------------------------- layout

    def _build(self) -> None:
        self.setObjectName("Cell map")
        self.controls = MapControls(self._session)
        self.scatter = Scatter()
        self.scatter.setAccessibleName("Map of cells")
        self.scatter.setToolTip(
            "Every point is a cell, at the position that the encoder gives it (z^r of Enc^r, or z^s of Enc^{r,s}).\n"
            "Click one to go there. Drag to pan, wheel to zoom, Shift and drag to draw a lasso."
        )
        self.legend = Legend()
        self.cells = SelectedCells()
        column = Column(
            self.controls.view,
            self.scatter,
            self.controls.tools,
            self.controls.status,
            self.legend,
            self.cells,
            self.controls.source,
            tall=self.scatter,
        )
        self._fill(column)

    # ---------------------------------------------------------------- connections

    def _connect(self) -> None:
        session, controls, scatter, cells = self._session, self.controls, self.scatter, self.cells
        self._shows = False
        self._colouring: Colouring | None = None
        self._coloured_by: tuple[Population | None, str] | None = None
        controls.x.activated.connect(
            lambda i: actions.change_view(session, axes=(i, session.map.view.axes[1]))
        )
        controls.y.activated.connect(
            lambda i: actions.change_view(session, axes=(session.map.view.axes[0], i))
        )
        controls.lasso.toggled.connect(lambda on: setattr(scatter.plane, "lasso", on))
        controls.fit.clicked.connect(lambda _: scatter.fit())
        controls.nothing.clicked.connect(lambda _: actions.select(session, ()))
        controls.find.returnPressed.connect(lambda: self._go(self._find))
        controls.open_file.triggered.connect(lambda _: self._choose("Embedded cells (*.parquet)"))
        controls.open_table.triggered.connect(lambda _: self._choose("Tables of cells (*.csv)"))
        controls.open_store.triggered.connect(lambda _: self._choose(None))
        cells.mean.clicked.connect(lambda _: self._go(lambda: actions.go_to_mean(session)))
        cells.medoid.clicked.connect(lambda _: self._go(lambda: actions.go_to_medoid(session)))
        cells.open.clicked.connect(lambda _: self._open_cell())
        cells.save.clicked.connect(lambda _: self._save())
        self.legend.chosen.connect(lambda value: actions.select_class(session, value))
        scatter.point_clicked.connect(lambda i: self._go(lambda: actions.go_to_cell(session, self._cell(i))))
        scatter.mark_clicked.connect(self._go_to_mark)
        scatter.point_hovered.connect(lambda i: controls.describe(self._about(i)))
        scatter.mark_hovered.connect(lambda i: controls.describe(scatter.marks[i].text))
        scatter.lassoed.connect(self._select_inside)

        self._reopen = QTimer(self, singleShot=True)
        self._reopen.timeout.connect(lambda: actions.open_map(session))
        hold = self._hold
        hold.callback(self._reopen.stop)
        hold.callback(lambda: actions.keep_part(session, self.scatter.plane.part))
        hold.connect(
            (session.events.model, self._model_changed),
            (session.map.events.population, self._draw_all),
            (session.map.events.projection, self._draw_points),
            (session.map.events.view, self._draw_view),
            (session.scene.events.position, self._draw_marks),
            (session.scene.events.start, self._draw_marks),
            (session.integrate.events.integration, self._draw_marks),
            (session.tasks.changed, self._draw_state),
        )
        self._follow_theme(self.scatter.use_theme)
        self._draw_all()
        actions.open_map(session)

    def _model_changed(self) -> None:
        self._draw_all()
        if self._session.model is None:  # another model was chosen: open it after the other callbacks
            self._reopen.start()

    # ---------------------------------------------------------------- drawing

    def _draw_all(self) -> None:
        self._draw_points()
        self._draw_state()

    def _draw_points(self) -> None:
        projection = self._session.map.projection
        self.controls.offer(self._session)
        self._draw_marks()  # before the points, which bring the marks into view as well
        if projection is None:
            self.scatter.show_points(np.empty((0, 2), np.float32), ("", ""))
        else:
            self.scatter.show_points(projection.points, projection.titles)
            part = self._session.map.view.part
            if part is not None:
                self.scatter.plane.show_part(part)
        self._draw_colours()

    def _draw_view(self) -> None:
        """Draw colours and selection. The positions of the points change with the projection only."""
        self.controls.offer(self._session)
        self._draw_colours()

    def _draw_colours(self) -> None:
        session = self._session
        projection, population = session.map.projection, session.map.population
        by = (population, session.map.view.colour)
        if population is None:
            self._colouring, self._coloured_by = None, by
            self.legend.show_colouring(Colouring(np.empty((0, 3), np.uint8)))
        elif self._coloured_by != by or self._colouring is None:
            self._colouring, self._coloured_by = coloured(population.table, session.map.view.colour), by
            self.legend.show_colouring(self._colouring)
        chosen = actions.selected(session)
        if projection is not None and population is not None and self._colouring is not None:
            inside = np.zeros(len(population), bool)
            inside[chosen] = True
            self.scatter.show_colours(self._colouring.colours[projection.cells], inside[projection.cells])
        self.cells.show_cells(population, chosen, opened_cell.why_not_openable(population))

    def _draw_marks(self) -> None:
        """Draw the landmarks, the active cell, the start, and the position while it moves."""
        session = self._session
        model, projection = session.model, session.map.projection
        marks: list[Mark] = []
        if model is not None and projection is not None:
            if projection.space == SHAPE:  # first, so that a landmark's mark has its index
                for landmark in model.landmarks:
                    x, y = (float(v) for v in projection.place(landmark.z_ref))
                    name = stage(landmark.stage).label
                    text = f"{name}: the landmark, cell {landmark.cell_id}. Click to go there."
                    marks.append(Mark(x, y, "diamond", text, stage_colour(landmark.stage)))
            for position, text in self._rings():
                where = actions.place_of(session, position)
                if where is not None:
                    marks.append(Mark(*where, "ring", text))
            position_now = session.scene.position
            here = actions.place_of(session, position_now)
            if here is not None and position_now is not None:
                text = f"You are here: {position_now.name}" if position_now.name else "You are here"
                marks.append(Mark(*here, "cross", text, kept_in_view=True))
        self.scatter.show_marks(marks)

    def _rings(self) -> list[tuple[Position, str]]:
        """Return the positions that have a ring: the active cell, as last integrated, and the start if it differs."""
        session = self._session
        start, integration = session.scene.start, session.integrate.integration
        rings: list[tuple[Position, str]] = []
        if integration is not None and session.map.view.space == SHAPE:  # its z^s is unknown
            rings.append((Position(integration.z_ref), f"The active cell: {integration.cell.name}"))
        if start is not None and not any(start == position for position, _ in rings):
            rings.append((start, f"The start: {start.name or 'a position'}"))
        return rings

    def _draw_state(self, slot: str = actions.SLOT) -> None:
        if slot not in _AWAITED:  # another dock decodes many times a second
            return
        session = self._session
        projection = session.map.projection
        has_points = projection is not None and len(projection.cells) > 0
        running = next(filter(None, map(session.tasks.running, _AWAITED)), None)
        if running is not None:
            message = f"{running.what}…"
        elif session.model is None:
            message = "No model is open."
        elif session.map.population is None:
            message = _HOW
        else:
            message = "" if has_points else "No cell has a position in this space."
        self.scatter.show_message("" if has_points else message)
        self.controls.show_state(session.map.population, message)

    # ---------------------------------------------------------------- user input

    def _go(self, act: Callable[[], None]) -> None:
        """Run an action that changes the position. From the first one on, the canvas shows the decoded cell."""
        if not self._shows:
            self._shows = True
            self._hold.callback(scene_of(self._viewer, self._session).hold())
        with refusals_shown():
            act()

    def _cell(self, point: int) -> int:
        """Return the cell of the population that a point shows."""
        projection = self._session.map.projection
        return int(projection.cells[point]) if projection is not None else -1

    def _about(self, point: int) -> str:
        """Describe a point's cell in a line."""
        session = self._session
        if point < 0 or session.map.population is None or session.map.projection is None:
            return ""
        known = session.map.population.table.iloc[self._cell(point)]
        column = session.map.view.colour
        words = [f"Cell {known['cell_id']}"]
        words += [str(known[c]) for c in ("stage", "structure") if c in known and known[c] == known[c]]
        if column in known and column not in ("stage", "structure"):
            value = known[column]
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            words.append(f"{title_of(column)} {shown}")
        return " · ".join(words)

    def _select_inside(self, corners: np.ndarray) -> None:
        if self._session.map.projection is not None:
            actions.select(self._session, actions.cells_inside(self._session.map.projection, corners))

    def _go_to_mark(self, index: int) -> None:
        model = self._session.model
        if model is not None:
            self._go(lambda: actions.go_to_landmark(self._session, model.landmarks[index]))

    def _find(self) -> None:
        actions.go_to_cell(self._session, actions.find(self._session, self.controls.find.text()))

    def _open_cell(self) -> None:
        with refusals_shown():
            opened_cell.open_cell(self._viewer, self._session, int(actions.selected(self._session)[0]))

    def _choose(self, kind: str | None) -> None:
        """Ask for a file or folder of cells, and open it."""
        if kind is None:
            path = QFileDialog.getExistingDirectory(self, "Open a store of cells")
        else:
            path, _ = QFileDialog.getOpenFileName(self, "Open cells", filter=kind)
        if path:
            actions.open_cells(self._session, path)

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the selected cells", "cells.csv", "CSV (*.csv)")
        if path:
            with refusals_shown():
                actions.save_selected(self._session, path)
