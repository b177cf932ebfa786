"""Dock "Integrate structures": predict where the structures of a chosen cell lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFormLayout, QGroupBox

from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.integrate import actions
from napari_integrated_cell.plugin.integrate.choose_cell import CellChooser
from napari_integrated_cell.plugin.integrate.choose_model import ModelChooser
from napari_integrated_cell.plugin.integrate.classification import ClassificationBars, classified
from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.integrate.preview import PosePreview, Posing, posing_of, preview_box
from napari_integrated_cell.plugin.layers.volumes import is_volume
from napari_integrated_cell.plugin.widgets.checklist import StructureChecklist
from napari_integrated_cell.plugin.widgets.column import Column, titled
from napari_integrated_cell.plugin.widgets.dock import Dock
from napari_integrated_cell.plugin.widgets.inputs import described
from napari_integrated_cell.plugin.widgets.work_row import WorkRow

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.layers.place import ImageFrame

_PAUSE = 200  # ms without a change before the cell is previewed


class IntegrateWidget(Dock):
    """Choose a model and a cell, see how it will be posed, and predict its structures."""

    # ---------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.setObjectName("Integrate structures")
        self.model = ModelChooser(self._session)
        self.cell = CellChooser(self._viewer)
        self.preview = PosePreview()
        self.structures = StructureChecklist()
        self.structure_layer = described(
            LayerCombo(self._viewer, is_volume, "none"),
            "Structure layer",
            "A layer that shows some structure: the model's classifier (ŷ of Enc^{r,s}) says which one is most\n"
            "probable.",
        )
        self.classification = ClassificationBars()
        self.work = WorkRow(
            "&Integrate structures",
            "Predict where each ticked structure most probably lies in this cell (the paper's Algorithm 3),\n"
            "one layer per structure. Running again updates the layers.",
            "Stop after the present structure. The structures that are ready stay.",
        )
        self.run, self.cancel, self.status = self.work.start, self.work.cancel, self.work.status

        question = QFormLayout()
        question.addRow("Structure layer", self.structure_layer)
        question.addRow(self.classification)
        asked = QGroupBox("What does a layer show?")
        asked.setLayout(question)
        column = Column(
            titled("Model", self.model),
            titled("Cell", self.cell, self.preview),
            titled("Structures", self.structures),
            asked,
        )
        self._fill(column, self.work)

    # ---------------------------------------------------------------- events

    def _connect(self) -> None:
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._look_at_cell)
        self.cell.changed.connect(self._preview_soon)
        self.structure_layer.chosen.connect(self._preview_soon)
        self.structures.changed.connect(lambda: self._draw_running())
        self.run.clicked.connect(lambda _: self.integrate())
        self.cancel.clicked.connect(lambda _: actions.stop(self._session))

        hold, session = self._hold, self._session
        layers = self._viewer.layers.events
        hold.connect(
            (layers.inserted, self._layers_changed),
            (layers.removed, self._layers_changed),
            (layers.reordered, self._layers_changed),
            (layers.renamed, self._layers_changed),
            (self._viewer.layers.selection.events.active, self._selection_changed),
            (session.events.model, self._model_changed),
            (session.tasks.changed, self._draw_running),
        )
        hold.callback(session.tasks.cancel, "preview")
        hold.callback(session.tasks.cancel, "classification")
        hold.callback(self.model.close_down)
        hold.callback(self.cell.close_down)
        self._model_changed()
        self._draw_running()
        self._preview_soon()

    def _layers_changed(self, event: Any) -> None:
        self.cell.refresh()
        self.structure_layer.refresh()

    def _selection_changed(self, event: Any) -> None:
        self.cell.guess()

    def _model_changed(self) -> None:
        model = self._session.model
        self.structures.offer(None if model is None else model.config.structures)

    # ---------------------------------------------------------------- actions of the user

    def integrate(self) -> None:
        """Integrate the chosen cell."""
        structures = self.structures.ticked
        with refusals_shown():
            if not structures:
                raise ValueError("No structure is ticked: tick at least one.")
            request = self.cell.request()
            actions.integrate(self._viewer, self._session, request, structures, layers=self.cell.layers)

    def _draw_running(self, slot: str = actions.SLOT) -> None:
        if slot == actions.SLOT:
            self.run.setEnabled(bool(self.structures.ticked))
            self.work.show_running(self._session.tasks.running(slot))

    def _preview_soon(self) -> None:
        self._timer.start()

    def _look_at_cell(self) -> None:
        """Preview the chosen cell, and classify the structure layer if there is one."""
        tasks, session = self._session.tasks, self._session
        structure = self.structure_layer.layer
        if structure is None:
            self.classification.show_probabilities(None)
        try:
            request = self.cell.request(structure)
        except ValueError as error:
            tasks.cancel("preview")
            self.preview.say(str(error))
            return
        tasks.start(
            "preview",
            "Posing the cell",
            lambda task: posing_of(request, preview_box(session)),
            on_done=lambda posing: self._show_posing(posing, request.image_frame),
            on_error=self._say_error,
        )
        if structure is not None:
            tasks.start(
                "classification",
                f"Classifying {structure.name}",
                lambda task: classified(request, session),
                on_done=self.classification.show_probabilities,
                bar=True,
            )

    def _show_posing(self, posing: Posing, image_frame: ImageFrame) -> None:
        self.preview.show_posing(posing)
        self._session.integrate.image_frame, self._session.integrate.cell = image_frame, posing.cell

    def _say_error(self, error: Exception) -> bool:
        """Show the error in place of the cell's picture."""
        if isinstance(error, ValueError):
            self.preview.say(str(error))
        return isinstance(error, ValueError)
