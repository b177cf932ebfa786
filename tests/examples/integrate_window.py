"""Viewers, cells and stand-in models for the tests of the plugin."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.runtime import CancelToken
from napari_integrated_cell.plugin.integrate import actions as integrate_actions
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

PLUGIN = "napari-integrated-cell"
DOCK = "Integrate structures"

needs_display = pytest.mark.skipif(
    sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")),
    reason="a viewer needs a display: run the tests under Xvfb, as `make test` does",
)


class EchoModel:
    """Stands in for a trained model: every structure it "predicts" is the DNA or the membrane it is given.

    What it answers is known, so that a test can tell whether a layer lies where it should. ``gate`` holds it
    up before each structure but the first until the test lets it go on.
    """

    def __init__(self, box: str = "demo", structures: tuple[str, ...] = STRUCTURE_NAMES) -> None:
        self.config = preset(box).model_copy(update={"structures": structures})
        self.name, self.trained_on = "echo", "simulated cells"
        self.typicality = self.latent = None
        self.known_structures = None
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, x_ref: Any, **_: Any) -> Any:
        self._seen = np.asarray(x_ref)
        return np.full((len(x_ref), self.config.n_ref), 0.5, np.float32)

    def decode_structures(
        self,
        z_ref: Any,
        structures: Any = None,
        *,
        cancel: CancelToken | None = None,
        progress: Callable[[int, int, str], None] | None = None,
        on_structure: Callable[[str, Any], None] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        names = list(structures or self.config.structures)
        volumes = {}
        for i, name in enumerate(names):
            if i:
                while not self.gate.wait(0.02):
                    if cancel is not None:
                        cancel.raise_if_cancelled()
            if cancel is not None:
                cancel.raise_if_cancelled()
            volumes[name] = self._seen[:, 1 if name in ("fibrillarin", "lamin-B1") else 0]
            if on_structure is not None:
                on_structure(name, volumes[name])
            if progress is not None:
                progress(i + 1, len(names), name)
        return volumes

    def classify(self, x: Any, **_: Any) -> Any:
        probabilities = np.full((len(x), len(self.config.structures)), 0.02, np.float32)
        probabilities[:, self.config.structures.index("TOM20")] = 1 - 0.02 * (len(self.config.structures) - 1)
        return probabilities


def add_cell(viewer: Any, cell: Any, **place: Any) -> dict[str, Any]:
    """A cell's channels and masks as layers of a viewer."""
    place = {"scale": cell.voxel_size, "units": ("µm",) * 3, **place}
    layers = {
        "cells": viewer.add_labels(cell.cell_mask.astype(np.uint8), name="cell labels", **place),
        "nuclei": viewer.add_labels(cell.nucleus_mask.astype(np.uint8), name="nucleus labels", **place),
    }
    for name, image in cell.channels.items():
        layers[name] = viewer.add_image(image, name=name, **place)
    return layers


def fields(layer: Any) -> dict[str, Any]:
    """What the plugin wrote into a layer."""
    return layer.metadata["napari_integrated_cell"]


def sampled(layer: Any, points: Any) -> Any:
    """A layer's values at world points (N, 3), 0 outside."""
    from scipy import ndimage

    coords = from_world(layer, points).T
    return ndimage.map_coordinates(np.asarray(layer.data, np.float32), coords, order=1, mode="constant")


def to_world(layer: Any, points: Any) -> Any:
    """Where napari shows data points (N, 3); the transform is affine, and napari is slow point by point."""
    return _affinely(layer.data_to_world, points)


def from_world(layer: Any, points: Any) -> Any:
    """Data points at world points (N, 3)."""
    return _affinely(layer.world_to_data, points)


def _affinely(transform: Callable[[Any], Any], points: Any) -> Any:
    origin = np.asarray(transform(np.zeros(3)), float)
    steps = np.array([np.asarray(transform(step), float) - origin for step in np.eye(3)])
    return origin + np.asarray(points, float) @ steps


# -------------------------------------------------------------------------- the dock, driven by its buttons


def picture(viewer: Any, tmp_path: Path, name: str) -> None:
    """Leave a picture of the whole window where the documentation takes it from."""
    folder = Path(os.environ.get("NAPARI_IC_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(folder / f"{name}.png"), canvas_only=False, flash=False)
    assert (folder / f"{name}.png").stat().st_size > 10_000


def opened_dock(viewer):
    return viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)[1]


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def click_at(viewer, qtbot, layer, index):
    """Click with the mouse where a voxel of a layer is on the canvas. The plane of the voxel must be shown."""
    world = layer.data_to_world(index)
    canvas = viewer.window._qt_viewer.canvas
    column, row = (canvas.view.transform * canvas.view.scene.transform).map([world[-1], world[-2]])[:2]
    ratio = canvas.native.devicePixelRatio()
    at = QPoint(round(column / ratio), round(row / ratio))
    qtbot.mouseClick(canvas.native, Qt.MouseButton.LeftButton, pos=at)


def finished(qtbot, viewer):
    """Wait until the run has ended."""
    qtbot.waitUntil(lambda: session_of(viewer).tasks.running(integrate_actions.SLOT) is None, timeout=60_000)


def run(qtbot, viewer, dock):
    press(qtbot, dock.run)
    finished(qtbot, viewer)


def running(viewer):
    return session_of(viewer).tasks.running(integrate_actions.SLOT)


def inside(cell, layers):
    """World positions of voxels in the nucleus and well outside the cell, as napari shows them."""
    from scipy import ndimage

    far = ndimage.distance_transform_edt(~cell.cell_mask, sampling=cell.voxel_size) > 1.0
    rng = np.random.default_rng(0)

    def points(mask):
        index = np.argwhere(mask)
        return to_world(layers["cells"], rng.permutation(index)[:2000])

    return points(ndimage.binary_erosion(cell.nucleus_mask, iterations=1)), points(far)


def command(name):
    """Run a command as the palette and the menus do."""
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command(f"{PLUGIN}.{name}").result()
