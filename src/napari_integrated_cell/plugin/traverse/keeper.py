"""Widget that writes the shown walk as a film, as volumes or as a contact sheet."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDoubleSpinBox, QFileDialog, QFormLayout, QGroupBox, QWidget

from napari_integrated_cell.plugin.activity import refusals_shown
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.traverse import export
from napari_integrated_cell.plugin.traverse.plan import change_plan
from napari_integrated_cell.plugin.widgets.column import row
from napari_integrated_cell.plugin.widgets.inputs import button, combo, described

_FILM = {"MP4 film (*.mp4)": ".mp4", "GIF film (*.gif)": ".gif"}
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "canvas": ("Canvas as you see it (MP4, GIF)", _FILM),
    "film": ("Structures side by side (MP4, GIF)", _FILM),
    "volumes": (
        "Volumes (OME-TIFF, OME-Zarr)",
        {"OME-TIFF (*.ome.tiff *.ome.tif)": ".ome.tiff", "OME-Zarr (*.ome.zarr)": ".ome.zarr"},
    ),
    "sheet": ("Contact sheet (PNG, SVG)", {"PNG (*.png)": ".png", "SVG (*.svg)": ".svg"}),
}


class WalkKeeper(QGroupBox):
    """Write the shown walk to a file. The kind of file and the speed are in the session's plan."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Save", parent)
        self._session = session
        self.kind = combo(
            "What to save",
            "The canvas with your camera, layers and contrast; every structure over membrane and DNA; the volumes\n"
            "over time in the model's box; or a sheet with a row for each time point and a column for each structure\n"
            "as in Figure S9, with two steps from stop to stop.",
            {name: label for name, (label, _) in KINDS.items()},
        )
        speed = QDoubleSpinBox(minimum=0.5, maximum=100, decimals=1, suffix=" fps")
        self.fps = described(speed, "Frames per second", "Frames per second of a film.")
        tip = "Choose a file and write the walk to it. The file appears when it is complete."
        self.save = button("&Save…", tip, self.keep)
        tip = "Stop writing. No part of the file is left."
        self.cancel = button("Stop", tip, lambda: session.tasks.cancel(export.SLOT))
        form = QFormLayout(self)
        form.setContentsMargins(6, 6, 6, 6)
        form.addRow("As", self.kind)
        form.addRow(row(self.fps, (self.save, 2), (self.cancel, 1)))
        self.fps.valueChanged.connect(lambda fps: change_plan(session, fps=fps))
        self.kind.currentIndexChanged.connect(lambda i: change_plan(session, kept_as=self.kind.itemData(i)))
        self.draw()

    def draw(self) -> None:
        """Show the session's state."""
        running = self._session.tasks.running(export.SLOT) is not None
        self.save.setEnabled(self._session.traverse.walk is not None and not running)
        self.cancel.setEnabled(running)
        kept_as = self._session.traverse.plan.kept_as
        self.fps.setEnabled(kept_as in ("canvas", "film"))
        with QSignalBlocker(self.kind), QSignalBlocker(self.fps):
            self.kind.setCurrentIndex(self.kind.findData(kept_as))
            self.fps.setValue(self._session.traverse.plan.fps)

    def keep(self) -> None:
        """Ask for a file and write the walk to it."""
        kind = self.kind.currentData()
        path = self._ask(kind)
        if path is None:
            return
        write = export.export_canvas if kind == "canvas" else export.export_decoded
        with refusals_shown():
            write(self._session, path)

    def _ask(self, kind: str) -> Path | None:
        """Ask for a file; return None if the user cancels."""
        endings = KINDS[kind][1]
        shown = self._session.traverse.walk
        stops = () if shown is None else shown.traversal.walk.stops
        name = f"{stops[0].name} to {stops[-1].name}" if stops else "walk"
        first = next(iter(endings.values()))
        path, chosen = QFileDialog.getSaveFileName(self, "Save the walk", name + first, ";;".join(endings))
        if not path:
            return None
        if not any(path.lower().endswith(ending) for ending in (*endings.values(), ".ome.tif")):
            path += endings.get(chosen, first)
        return Path(path)
