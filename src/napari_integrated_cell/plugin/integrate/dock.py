"""Dock "Integrate structures": predict where the structures of a chosen cell lie."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFormLayout

from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.integrate import actions, field, mends
from napari_integrated_cell.plugin.integrate.choose_cell import CellChooser
from napari_integrated_cell.plugin.integrate.choose_model import ModelChooser
from napari_integrated_cell.plugin.integrate.classification import ClassificationBars, recognised
from napari_integrated_cell.plugin.integrate.layer_combo import LayerCombo
from napari_integrated_cell.plugin.integrate.preview import (
    PosePreview,
    Posing,
    posing_of,
    preview_box,
    typicality_in,
)
from napari_integrated_cell.plugin.integrate.refusals import TITLES, Mend, Missed, Refusal
from napari_integrated_cell.plugin.layers.place import ImageFrame
from napari_integrated_cell.plugin.layers.volumes import is_volume
from napari_integrated_cell.plugin.widgets.checklist import StructureChecklist
from napari_integrated_cell.plugin.widgets.column import Column, titled
from napari_integrated_cell.plugin.widgets.dock import Dock
from napari_integrated_cell.plugin.widgets.inputs import button, described
from napari_integrated_cell.plugin.widgets.work_row import WorkRow

# Events of a layer that change where its voxels lie.
_PLACE = {"scale", "units", "affine", "rotate", "shear"}
_PAUSE = 200  # ms without a change before the cell is previewed


class IntegrateWidget(Dock):
    """Choose a model and a cell, see how it will be posed, and predict its structures."""

    # ---------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.setObjectName("Integrate structures")
        self.model = ModelChooser(self._session)
        self.cell = CellChooser(self._viewer, self._session)
        self.preview = PosePreview()
        self.structures = StructureChecklist()
        self.ensemble = described(
            QCheckBox("&Mean over four mirror images"),
            "Mean over four mirror images",
            "Predict for the cell and its mirror images, flipped back, and show the mean of the four. It takes four\n"
            "times as long. In real cells it gains for mitochondria.",
        )
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
        # The actions beside a refusal; None while there is none.
        self._offered: tuple[Mend, ...] | None = None
        self._column = Column(
            titled("Model", self.model),
            titled("Cell", self.cell, self.preview),
            titled("Structures", self.structures, self.ensemble),
            titled("What does a layer show?", question),
        )
        self._fill(self._column, self.work)

    # ---------------------------------------------------------------- events

    def _connect(self) -> None:
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._look_at_cell)
        self.cell.changed.connect(self._timer.start)
        self.structure_layer.chosen.connect(self._timer.start)
        self.structures.changed.connect(lambda: self._draw_running())
        self.run.clicked.connect(lambda _: self.integrate())
        self.cancel.clicked.connect(lambda _: self._stop())

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
            (layers, self._layer_event),
            (self._viewer.dims.events.point, self._step_changed),
        )
        hold.callback(session.tasks.cancel, "preview")
        hold.callback(session.tasks.cancel, "typicality")
        hold.callback(session.tasks.cancel, "classification")
        hold.callback(self.model.close_down)
        hold.callback(self.cell.close_down)
        self._model_changed()
        self._draw_running()
        self._timer.start()

    def _layers_changed(self, event: Any) -> None:
        self.cell.roles.refresh()
        self.structure_layer.refresh()
        self._look_again()

    def _selection_changed(self, event: Any) -> None:
        self.cell.roles.guess()
        self._look_again()

    def _look_again(self) -> None:
        """Find out whether other layers mend a refusal."""
        if self._offered is not None:
            self._timer.start()

    def _layer_event(self, event: Any) -> None:
        """Follow the place and the data of layers. The list of layers repeats the events of all its layers."""
        if event.type not in {*_PLACE, "data"} or not isinstance(getattr(event, "index", None), int):
            return
        layer = self._viewer.layers[event.index]
        if event.type == "data" and is_volume(layer):
            self.cell.data_changed(layer)
        elif layer in self.cell.layers:
            self.cell.place_changed()

    def _step_changed(self, event: Any) -> None:
        if "use time point" in (self._offered or ()):
            self._timer.start()

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
            self.cell.write_sizes()
            request = self.cell.request()
            actions.integrate(
                self._viewer,
                self._session,
                request,
                structures,
                layers=self.cell.layers,
                ensemble=self.ensemble.isChecked(),
            )

    def segment(self) -> None:
        """Segment all cells of the chosen membrane and DNA layers."""
        with refusals_shown():
            field.segment(self._viewer, self._session, *self.cell.stains())

    def mend(self, mend: Mend, layer: Layer | None) -> None:
        """Do what a button beside a refusal offers."""
        with refusals_shown():
            if mend == "segment field":
                self.segment()
            elif mend == "set voxel size":
                self._column.ensureWidgetVisible(self.cell.voxel_size)
                self.cell.voxel_size.edit.setFocus()
            elif layer is not None and mend == "split channels":
                mends.split_channels(self._viewer, self._session, layer)
            elif layer is not None and mend == "use time point":
                mends.use_time_point(self._viewer, layer)
            elif layer is not None and mend == "make labels":
                mends.make_labels(
                    self._viewer, self._session, layer, then=partial(self.cell.roles.release, layer)
                )

    def _stop(self) -> None:
        if not self._session.tasks.cancel(field.SLOT):
            actions.stop(self._session)

    def _draw_running(self, slot: str = actions.SLOT) -> None:
        if slot in (actions.SLOT, field.SLOT):
            self.run.setEnabled(bool(self.structures.ticked))
            running = [self._session.tasks.running(each) for each in (field.SLOT, actions.SLOT)]
            first, *others = sorted(running, key=lambda task: task is None)
            self.work.show_running(first, *others)

    def _look_at_cell(self) -> None:
        """Preview the chosen cell, and classify the structure layer if there is one."""
        tasks, session = self._session.tasks, self._session
        tasks.cancel("typicality")
        structure = self.structure_layer.layer
        if structure is None:
            self.classification.show_recognition(None)
        try:
            request = self.cell.request(structure)
        except ValueError as error:
            tasks.cancel("preview")
            self._say_error(error)
            return
        if request.is_lazy:
            self.preview.say(f"Reading around the {'click' if request.point is not None else 'cell'}…")
        tasks.start(
            "preview",
            "Posing the cell",
            lambda task: posing_of(request, preview_box(session), task),
            on_done=lambda posing: self._show_posing(posing, request.image_frame),
            on_error=self._say_error,
            bar=request.is_lazy,
        )
        if structure is not None:
            tasks.start(
                "classification",
                f"Classifying {structure.name}",
                lambda task: recognised(request, session, task),
                on_done=self.classification.show_recognition,
                bar=True,
            )

    def _show_posing(self, posing: Posing, image_frame: ImageFrame) -> None:
        self._offered = None
        self.cell.cell_found(True)
        self.preview.show_posing(posing, self.cell.roles.guessed_stains)
        session = self._session
        session.integrate.image_frame, session.integrate.cell = image_frame, posing.cell
        session.tasks.start(
            "typicality",
            "Comparing the cell with those that the model knows",
            lambda task: typicality_in(session.load(), posing),
            on_done=self.preview.show_typicality,
            on_error=lambda error: True,  # the model's errors are shown where the model is chosen, or used
        )

    def _say_error(self, error: Exception) -> bool:
        """Show an error in place of the cell's picture, with buttons that mend it."""
        if not isinstance(error, ValueError):
            return False
        self._offered, layer = (error.mends, error.layer) if isinstance(error, Refusal) else ((), None)
        buttons = []
        for mend in self._offered:
            title, tip = TITLES[mend]
            if layer is not None:
                title = title.format(step=mends.time_step(self._viewer, layer))
            buttons.append(button(title, tip, partial(self.mend, mend, layer)))
        words = str(error)
        if isinstance(error, Missed):
            self.cell.cell_found(False)
            words += " Click the cell is still pressed." if self.cell.pick.isChecked() else ""
        self.preview.say(words, buttons)
        return True
