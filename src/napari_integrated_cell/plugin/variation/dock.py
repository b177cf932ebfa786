"""Dock "Structure variation": how much each structure varies in one cell shape."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QFormLayout, QGroupBox, QSpinBox

from napari_integrated_cell.model.conditional_prior import CONDITIONAL, OBSERVED, PRIOR
from napari_integrated_cell.model.variation_reference import VariationReference
from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.variation import actions
from napari_integrated_cell.plugin.variation.chart import VariationChart, legend
from napari_integrated_cell.plugin.variation.draw_scrubber import DrawScrubber
from napari_integrated_cell.plugin.variation.layers import VariationLayers
from napari_integrated_cell.plugin.variation.state import CELL, DRAW, POSITION
from napari_integrated_cell.plugin.widgets.checklist import StructureChecklist
from napari_integrated_cell.plugin.widgets.column import Column, titled
from napari_integrated_cell.plugin.widgets.dock import Dock
from napari_integrated_cell.plugin.widgets.inputs import combo, described, offer
from napari_integrated_cell.plugin.widgets.work_row import WorkRow
from napari_integrated_cell.variation.structure_variation import RIDGE

_MOST_DRAWS = 10_000
_DRAWN_FROM = {
    CONDITIONAL: "fit to the shape",
    OBSERVED: "fit, with texture",
    PRIOR: "prior N(0, I)",
}


class VariationWidget(Dock):
    """Choose a shape and structures, measure how much they vary in it, and show where."""

    # ---------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.setObjectName("Structure variation")
        self.subject = combo(
            "Shape to draw structures in",
            "The shape to draw structures in: that of the active cell (chosen in 'Integrate structures'; its\n"
            "z^r = Enc^r(x^r)), or that of the present position in the latent space.",
            choose=lambda subject: actions.change(self._session, subject=subject),
        )
        self.n = described(
            QSpinBox(minimum=2, maximum=_MOST_DRAWS, singleStep=100),
            "Draws of each structure",
            "Number of draws of each structure: z^s is drawn and decoded in this shape.\n"
            "The paper uses 1000. Only scores of the same number of draws are comparable.",
        )
        self.n.setKeyboardTracking(False)
        self.draw_from = combo(
            "Where z^s is drawn from",
            "Where z^s is drawn from: the distribution that fits the shape, p(z^s | z^r, y), if the model has it;\n"
            "the same with the texture and noise that decoded images lack; or the paper's prior N(0, I), which does\n"
            "not depend on the shape.",
            _DRAWN_FROM,
            choose=lambda chosen: actions.change(self._session, draw_from=chosen),
        )
        self.structures = StructureChecklist()
        self.work = WorkRow(
            "Measure varia&tion",
            "Draw each ticked structure n times in this shape and compare the draws inside the cell (the paper's\n"
            "Algorithm 4). Structures that were measured with the same number of draws are kept.",
            "Stop drawing. Measured structures stay.",
        )
        self.run, self.cancel, self.status = self.work.start, self.work.cancel, self.work.status
        self.chart = VariationChart()
        self.scrubber = DrawScrubber()

        asked = QGroupBox("What varies")
        form = QFormLayout(asked)
        form.setContentsMargins(6, 6, 6, 6)
        form.addRow("In the shape of", self.subject)
        form.addRow("Draws", self.n)
        form.addRow("Drawn from", self.draw_from)
        form.addRow(self.structures)
        column = Column(asked, titled("How much", self.chart), titled("Where", self.scrubber))
        self._fill(column, self.work)

    # ---------------------------------------------------------------- events

    def _connect(self) -> None:
        session = self._session
        change = partial(actions.change, session)
        self.n.valueChanged.connect(lambda n: change(n=n))
        self.structures.changed.connect(lambda: change(structures=self._ticked()))
        self.run.clicked.connect(lambda _: self.measure())
        self.cancel.clicked.connect(lambda _: session.tasks.cancel(actions.SLOT))
        self.chart.chosen.connect(lambda name: actions.look_at(session, name))
        self.scrubber.structure_chosen.connect(lambda name: actions.look_at(session, name))
        self.scrubber.shown_changed.connect(lambda shown: change(shown=shown))
        self.scrubber.draw_chosen.connect(
            lambda draw: change(draw=draw, shown=session.variation.request.shown | {DRAW})
        )
        self.layers = VariationLayers(self._viewer, session)

        hold = self._hold
        hold.connect(
            (session.variation.events.request, self._draw_request),
            (session.variation.events.found, self._draw_found),
            (session.events.model, self._draw_request),
            (session.integrate.events.cell, self._draw_request),
            (session.integrate.events.integration, self._draw_request),
            (session.scene.events.position, self._draw_subject),
            (session.tasks.changed, self._draw_running),
        )
        self.layers.open()
        hold.callback(self.layers.close)
        hold.callback(session.tasks.cancel, actions.SCRUB)
        self._follow_theme(self._use_theme)
        self._draw_request()
        self._draw_running()

    def _use_theme(self, name: str) -> None:
        self.chart.use_theme(name)
        self._draw_found()

    # ---------------------------------------------------------------- showing the session

    def _draw_request(self) -> None:
        session, request = self._session, self._session.variation.request
        self._draw_subject()
        with QSignalBlocker(self.n):
            self.n.setValue(request.n)
        with QSignalBlocker(self.draw_from):
            without = session.model is not None and session.model.conditional_prior is None
            chosen = PRIOR if without else request.draw_from or CONDITIONAL
            self.draw_from.setCurrentIndex(self.draw_from.findData(chosen))
            self.draw_from.setEnabled(not without)
        known = None if session.model is None else session.model.config.structures
        with QSignalBlocker(self.structures):
            self.structures.offer(known)
            if self._ticked() != request.structures:
                self.structures.tick(request.structures)
        self._draw_found()

    def _draw_subject(self) -> None:
        """Show the shapes to choose from."""
        session = self._session
        cell, position = session.integrate.active_cell, session.scene.position
        words = {
            CELL: "the active cell (none yet)" if cell is None else cell.name or "the active cell",
            POSITION: "the sliders' position"
            + (" (none yet)" if position is None else f": {position.name}" if position.name else ""),
        }
        offer(self.subject, words, session.variation.request.subject)

    def _draw_found(self) -> None:
        session, request = self._session, self._session.variation.request
        found, model = session.variation.found, session.model
        asked = self.structures.ticked
        rows = [
            name
            for name in (asked if model is None else model.config.structures)
            if name in found or (name in asked and model is not None)
        ]
        reference, why_not = self._reference()
        self.chart.setVisible(bool(rows))
        self.chart.show_scores(found, rows, request.looked_at, reference)
        self.chart.words.setText("<br>".join(filter(None, (self._caption(), why_not, legend(reference)))))
        self.scrubber.show_state(request, found)

    def _reference(self) -> tuple[VariationReference | None, str]:
        """Return the model's reference scores if they are comparable, or the reason why they are not."""
        model, found = self._session.model, self._session.variation.found
        if model is None:
            return None, ""
        reference = getattr(model, "variation", None)
        if reference is None:
            return None, "This model has no reference scores: nothing to compare with."
        why_not = next(
            (reference.why_not_comparable(v.n, v.ridge, draw_from=v.draw_from) for v in found.values()), ""
        )
        return (None, why_not) if why_not else (reference, "")

    def _caption(self) -> str:
        """Return a sentence that says what the bars show."""
        shape, found = self._session.variation.shape, self._session.variation.found
        if shape is None or not found:
            return ""
        first = next(iter(found.values()))
        where = _DRAWN_FROM[first.draw_from]
        return (
            f"{first.n} draws ({where}) in the shape of {shape.name}, compared inside the cell, ridge {RIDGE:g}. "
            "A larger score means less variation."
        )

    def _draw_running(self, slot: str = actions.SLOT) -> None:
        if slot == actions.SLOT:
            self.work.show_running(self._session.tasks.running(slot))

    # ---------------------------------------------------------------- actions of the user

    def measure(self) -> None:
        """Start the requested measurement."""
        with refusals_shown():
            actions.measure(self._session)

    def _ticked(self) -> tuple[str, ...] | None:
        """Return the ticked structures; None for all, also those of another model."""
        ticked = tuple(self.structures.ticked)
        model = self._session.model
        every = None if model is None else model.config.structures
        return None if every is not None and len(ticked) == len(every) else ticked
