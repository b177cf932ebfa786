"""Choose the model and the device."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QFormLayout, QWidget

from napari_integrated_cell.model.runtime import DeviceChoice
from napari_integrated_cell.plugin import preferences
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.tasks import Task
from napari_integrated_cell.plugin.widgets.inputs import combo, offer

_OPEN = "Open a model…"


class ModelChooser(QWidget):
    """Show the session's model and device, and change them."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._bundled: list[str] = ["demo"]
        self.model = combo(
            "Model",
            "The trained networks that predict the structures (Enc^r, Dec^{r,s} of the paper):\n"
            "the demo model, a recent one, or a bundle's folder or .zip.",
            characters=6,
            choose=self._choose_model,
        )
        tip = "Where the networks run. 'auto' takes the fastest device found."
        self.device = combo("Device", tip, characters=6, choose=session.choose_device)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Model", self.model)
        form.addRow("Device", self.device)
        self._fill_models()
        self._fill_devices([])
        session.events.model_source.connect(self._fill_models)
        session.tasks.start("find devices", "Looking for models and devices", _look, on_done=self._found)

    def close_down(self) -> None:
        """Stop listening to the session."""
        self._session.events.model_source.disconnect(self._fill_models)
        self._session.tasks.cancel("find devices")

    def _found(self, found: tuple[list[str], list[DeviceChoice]]) -> None:
        self._bundled, devices = found
        self._fill_models()
        self._fill_devices(devices)

    def _fill_models(self) -> None:
        """List the bundled models, the recent ones, and an entry that opens another."""
        chosen = self._session.model_source
        sources = [*self._bundled, *preferences.recent_models()]
        if chosen not in sources:
            sources.append(chosen)
        self.model.clear()
        for source in dict.fromkeys(sources):
            self.model.addItem(Path(source).name, source)
            self.model.setItemData(self.model.count() - 1, source, 3)  # Qt.ToolTipRole
        self.model.insertSeparator(self.model.count())
        self.model.addItem(_OPEN)
        self.model.setCurrentIndex(self.model.findData(chosen))

    def _fill_devices(self, devices: list[DeviceChoice]) -> None:
        chosen = self._session.device
        found = f"auto ({devices[0].label})" if devices else "auto"
        names = {"auto": found, **{d.name: f"{d.name}: {d.label}" for d in devices}}
        names.setdefault(chosen, chosen)
        offer(self.device, names, chosen)

    def _choose_model(self, source: str | None) -> None:
        if source is None:
            source = self._ask()
        if source:
            self._session.choose_model(source)
        self._fill_models()

    def _ask(self) -> str:
        """Ask for a bundle, a folder by its model.json or a .zip; return an empty string if the user cancels."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a model", "", "Models (model.json *.zip);;All files (*)"
        )
        if not path:
            return ""
        source = str(Path(path).parent) if Path(path).name == "model.json" else path
        preferences.remember_model(source)
        return source


def _look(task: Task) -> tuple[list[str], list[DeviceChoice]]:
    """Return the bundled models and the devices of this machine. Imports torch: call it in a task."""
    from napari_integrated_cell.model.catalogue import list_models
    from napari_integrated_cell.model.runtime import available_devices

    return [name for name, _ in list_models()], available_devices()
