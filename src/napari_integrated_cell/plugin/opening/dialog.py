"""Dialog "Open image with choices": scene, axes, time point, names and voxel size of a file, before it is read."""

from __future__ import annotations

from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Layer
from napari.qt import get_current_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QSpinBox,
    QWidget,
)

from napari_integrated_cell.imaging.choices import ReadingChoices
from napari_integrated_cell.imaging.formats.scene import ImageScene, OpenedFile, names_of_channels
from napari_integrated_cell.imaging.opening import READABLE_EXTENSIONS, open_file
from napari_integrated_cell.imaging.stacks import why_no_stack
from napari_integrated_cell.plugin import preferences
from napari_integrated_cell.plugin.opening import choosing
from napari_integrated_cell.plugin.opening.fields import ChannelNames, VoxelEdges
from napari_integrated_cell.plugin.opening.layers import layers_of_file
from napari_integrated_cell.plugin.opening.notices import tell
from napari_integrated_cell.plugin.opening.picture import middle_planes
from napari_integrated_cell.plugin.widgets.column import row, stack
from napari_integrated_cell.plugin.widgets.inputs import button, combo, described, offer, text_label

_READERS = {"auto": "automatic", "bioio": "bioio", "aicsimageio": "aicsimageio"}
_MOST_SCENES = 200


class OpenDialog(QDialog):
    """Choose how a file is read. Only its metadata and one plane are read before *Open* is pressed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the layers.
    """

    def __init__(self, viewer: ViewerModel, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open image with choices")
        self.setStyleSheet(get_current_stylesheet())
        self._viewer, self._path = viewer, path
        self._opened: OpenedFile | None = None
        self._scene: ImageScene | None = None
        self._problem = ""
        self.layers: list[Layer] = []

        self.file = QLabel()
        self.reader = combo("Reader", "The library that reads the file.", _READERS)
        self.scene = combo("Scene", "A file may hold several images.", characters=40)
        tip = "Counted from 0. All of them open as a time series."
        self.time = described(QSpinBox(minimum=-1, maximum=-1), "Time point", tip)
        self.time.setSpecialValueText("all")
        self.axes: list[QComboBox] = []
        self._axes_boxes = row()
        self._axes_row = QWidget()
        stack(self._axes_row, self._axes_boxes)
        self.names = ChannelNames()
        self.voxel_size = VoxelEdges()
        self.picture = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self.status = text_label()
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self.open_button = self.buttons.button(QDialogButtonBox.StandardButton.Open)

        self._form = QFormLayout()
        files = row(
            (self.file, 1),
            button("File…", "Choose another file.", self._other_file),
            button("OME-Zarr…", "Choose the folder of an OME-Zarr.", self._other_folder),
        )
        self._form.addRow("File", files)
        self._form.addRow("Reader", self.reader)
        self._form.addRow("Scene", self.scene)
        self._form.addRow("Its axes are", self._axes_row)
        self._form.addRow("Time point", self.time)
        self._form.addRow("Channels", self.names)
        self._form.addRow("Voxel size (µm)", self.voxel_size)
        stack(self, self._form, self.picture, self.status, self.buttons, margin=10)

        self.reader.setCurrentIndex(max(self.reader.findData(preferences.reader()), 0))
        self.reader.currentIndexChanged.connect(lambda _: self._open_file())
        self.scene.currentIndexChanged.connect(lambda _: self._show_scene())
        self.time.valueChanged.connect(lambda _: self._show_picture())
        self.voxel_size.changed.connect(self._check)
        self.buttons.accepted.connect(self.add_layers)
        self.buttons.rejected.connect(self.reject)
        self._open_file()

    # ---------------------------------------------------------------- what is chosen

    @property
    def choices(self) -> ReadingChoices:
        """How the file is to be read."""
        scene = self._scene
        several = self._opened is not None and len(self._opened.scene_names) > 1
        return ReadingChoices(
            scene=self.scene.currentData() if several else None,
            time=self.time.value() if self._times() > 1 and self.time.value() >= 0 else None,
            axes=choosing.axes_of(scene, self._meanings()) if scene is not None else None,
            reader=self.reader.currentData(),
        )

    def add_layers(self) -> None:
        """Add the file's layers to the viewer and close the dialog; or show why it cannot be read."""
        try:
            layers, notes = layers_of_file(
                self._path, self.choices, channel_names=self.names.value, voxel_size=self.voxel_size.value
            )
        except (ValueError, OSError) as error:
            self.status.setText(str(error))
            return
        self.layers = [
            getattr(self._viewer, f"add_{kind}")(data, **options) for data, options, kind in layers
        ]
        # What was chosen here is no news.
        tell(tuple(note for note in notes if not note.endswith(" was read.")), self._path)
        self.accept()

    def _meanings(self) -> list[str]:
        return [box.currentData() for box in self.axes]

    def _times(self) -> int:
        return choosing.length_of(self._scene, self._meanings(), "T") if self._scene is not None else 1

    # ---------------------------------------------------------------- what is shown

    def _open_file(self) -> None:
        from napari_integrated_cell.imaging.formats.damage import one_sentence_about

        self.file.setText(self._path.name)
        self.file.setToolTip(str(self._path))
        self._opened, self._problem = None, ""
        items: dict[int, str] = {}
        try:
            opened = open_file(self._path, self.reader.currentData())
            with one_sentence_about(self._path):
                names = opened.scene_names[:_MOST_SCENES]
                items = {i: choosing.scene_label(i, name, opened.scene(i)) for i, name in enumerate(names)}
            self._opened = opened
        except (ValueError, OSError) as error:
            self._problem = str(error)
        self.scene.blockSignals(True)
        offer(self.scene, items, self._first_stack())
        self.scene.blockSignals(False)
        self.time.setValue(-1)
        self._show_row(self.scene, len(items) > 1)
        self._show_scene()

    def _first_stack(self) -> int:
        count = len(self._opened.scene_names) if self._opened is not None else 0
        for index in range(min(count, _MOST_SCENES)):
            if self._opened is not None and why_no_stack(self._opened.scene(index), None, "") is None:
                return index
        return 0

    def _show_scene(self) -> None:
        index = self.scene.currentData()
        scene = self._opened.scene(index) if self._opened is not None and index is not None else None
        self._scene = scene
        for box in self.axes:
            self._axes_boxes.removeWidget(box)
            box.deleteLater()
        self.axes = [] if scene is None else [self._axis(scene, i) for i in choosing.open_axes(scene)]
        for box in self.axes:
            self._axes_boxes.addWidget(box)
        self._show_row(self._axes_row, bool(self.axes))
        self.voxel_size.show_stated(scene.size if scene is not None else None)
        self._show_channels()

    def _axis(self, scene: ImageScene, dimension: int) -> QComboBox:
        count = scene.shape[dimension]
        words = {
            letters: text if len(letters) > 1 else f"{count} {text}"
            for letters, text in choosing.meanings(scene, dimension).items()
        }
        box = combo(f"Axis of {count}", "What this axis of the file really counts.", words, characters=14)
        box.setCurrentIndex(box.findData(choosing.default_meaning(scene, dimension)))
        box.currentIndexChanged.connect(lambda _: self._show_channels())
        return box

    def _show_channels(self) -> None:
        scene = self._scene
        count = choosing.length_of(scene, self._meanings(), "C") if scene is not None else 0
        if scene is None or "S" in scene.axes:  # a colour picture has no channels to name
            count = 0
        given = scene.channel_names if scene is not None and len(scene.channel_names) == count else ()
        self.names.show_names(names_of_channels(given, count))
        self._show_row(self.names, bool(self.names.edits))
        self.time.setRange(-1, self._times() - 1)
        self._show_row(self.time, self._times() > 1)
        self._show_picture()

    def _show_picture(self) -> None:
        self._check()
        picture = None
        if self._opened is not None and self.open_button.isEnabled():
            picture = middle_planes(self._opened, self.choices, self.scene.currentData())
        self.picture.setVisible(picture is not None)
        if picture is not None:
            self.picture.setPixmap(picture)
        self.adjustSize()

    def _show_row(self, field: QWidget, visible: bool) -> None:
        for part in (field, self._form.labelForField(field)):
            part.setVisible(visible)

    def _check(self) -> None:
        """Show why the choice makes no stack. *Open* is enabled if it does."""
        scene, problem = self._scene, self._problem
        if scene is not None:
            reason = why_no_stack(scene, self.choices.axes, self._path.name)
            problem = str(reason) if reason is not None else self.voxel_size.problem
        self.open_button.setEnabled(scene is not None and not problem)
        self.status.setText(problem)

    # ---------------------------------------------------------------- another file

    def _other_file(self) -> None:
        self._use(asked_file(self, self._path.parent))

    def _other_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open OME-Zarr", str(self._path.parent))
        self._use(Path(folder) if folder else None)

    def _use(self, path: Path | None) -> None:
        if path is not None:
            self._path = path
            self._open_file()


def asked_file(parent: QWidget | None, folder: Path | None = None) -> Path | None:
    """Ask for an image file; return None if the user cancels."""
    patterns = " ".join(f"*{ending}" for ending in READABLE_EXTENSIONS)
    path, _ = QFileDialog.getOpenFileName(
        parent, "Open image with choices", str(folder or ""), f"Images ({patterns});;All files (*)"
    )
    return Path(path) if path else None
