"""Two thousand random actions of a user in all docks, while layers are added and removed."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import explore_window
import numpy as np
import psutil
import pytest
import torch
import traverse_window
from integrate_window import PLUGIN, add_cell, needs_display
from qtpy.QtCore import QCoreApplication, QEvent, QThreadPool
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLineEdit,
    QListWidget,
    QMenu,
    QScrollBar,
    QSpinBox,
    QWidget,
)

from napari_integrated_cell.plugin.map import actions as map_actions
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, pytest.mark.slow, pytest.mark.timeout(1500), needs_display]

ACTIONS, WARM = 2000, 500
DOCKS = ("Integrate structures", "Latent explorer", "Mitosis traversal", "Cell map", "Structure variation")
MB = 1 << 20


def tiny_model() -> Any:
    """All that a bundle may hold: landmarks with pictures, statistics of both latent spaces."""
    model = traverse_window.tiny_model()
    model.latent = explore_window.tiny_model().latent
    return model


def population(model: Any, n: int = 300) -> Any:
    import pandas as pd

    from napari_integrated_cell.latent.population import Population

    random, config = np.random.default_rng(0), model.config
    table = pd.DataFrame(
        {
            "cell_id": [f"cell {i}" for i in range(n)],
            "stage": random.choice(traverse_window.STAGES, n),
            "structure": random.choice(config.structures, n),
            "cell_volume": random.uniform(1500, 3000, n),
        }
    )
    z_ref, z_struct = (random.normal(size=(n, d)).astype(np.float32) for d in (config.n_ref, config.n_struct))
    return Population(z_ref, z_struct, table, "made up")


class Monkey:
    """A user with a random seed in one viewer."""

    def __init__(self, viewer: Any, qapp: Any, cell: Any, folder: Path, seed: int) -> None:
        self.viewer, self.qapp, self.cell, self.folder = viewer, qapp, cell, folder
        self.chance = np.random.default_rng(seed)
        self.docks: dict[str, QWidget] = {}
        self.done: list[str] = []

    def choose(self, among: Any) -> Any:
        among = list(among)
        return among[int(self.chance.integers(len(among)))]

    def act(self) -> None:
        """Do one action, and let the window handle its events."""
        actions: list[tuple[Callable[[], None], float]] = [
            (self.touch, 0.80),
            (self.layers, 0.08),
            (self.look, 0.08),
            (self.docking, 0.02),
            (self.session, 0.02),
        ]
        chosen = int(self.chance.choice(len(actions), p=[weight for _, weight in actions]))
        actions[chosen][0]()
        for _ in range(int(self.chance.integers(1, 4))):
            let_run(self.qapp)

    # ------------------------------------------------------------------ the docks' own controls

    def touch(self) -> None:
        if not self.docks:
            self.docking()
        name = self.choose(self.docks)
        kinds = (QAbstractButton, QAbstractSlider, QComboBox, QAbstractSpinBox, QListWidget, QLineEdit)
        controls = [
            w
            for kind in kinds
            for w in self.docks[name].findChildren(kind)
            if w.isEnabled() and w.isVisibleTo(self.docks[name]) and not isinstance(w, QScrollBar)
        ]
        if not controls:
            return
        control = self.choose(controls)
        said = f"{name}: {type(control).__name__} {control.accessibleName() or getattr(control, 'text', str)()!r}"
        self.done.append(said)
        self._use(control)

    def _use(self, control: QWidget) -> None:
        chance = self.chance
        if isinstance(control, QAbstractButton):
            control.click()
        elif isinstance(control, QAbstractSlider):
            low, high = control.minimum(), control.maximum()
            control.setSliderDown(True)
            for value in chance.integers(low, high + 1, 4):
                control.setValue(int(value))
                self.qapp.processEvents()
            control.setSliderDown(False)
        elif isinstance(control, QComboBox) and control.count():
            index = int(chance.integers(control.count()))
            control.setCurrentIndex(index)
            control.activated.emit(index)
        elif isinstance(control, QSpinBox):
            control.setValue(int(chance.integers(control.minimum(), control.minimum() + 20)))
        elif isinstance(control, QDoubleSpinBox):
            control.setValue(float(chance.uniform(control.minimum(), min(control.maximum(), 10))))
        elif isinstance(control, QListWidget) and control.count():
            control.setCurrentRow(int(chance.integers(control.count())))
        elif isinstance(control, QLineEdit) and not control.isReadOnly():
            control.setText(self.choose(["", "meta", "TOM20", "cell 7", "3", "nonsense"]))
            control.editingFinished.emit()

    # ------------------------------------------------------------------ everything around them

    def layers(self) -> None:
        layers = self.viewer.layers
        what = self.choose(["add", "remove", "remove", "rename", "select", "hide"])
        self.done.append(f"{what} a layer")
        if what == "add" and len(layers) < 30:
            add_cell(self.viewer, self.cell)
        elif len(layers):
            layer = self.choose(layers)
            if what == "remove":
                layers.remove(layer)
            elif what == "rename":
                layer.name = f"renamed {self.chance.integers(100)}"
            elif what == "select":
                layers.selection = {layer}
            else:
                layer.visible = not layer.visible

    def look(self) -> None:
        dims = self.viewer.dims
        what = self.choose(["step"] * 9 + ["3D"] * 4 + ["theme"] * 2)  # a theme takes napari seconds
        self.done.append(what)
        if what == "3D":
            dims.ndisplay = 5 - dims.ndisplay
        elif what == "theme":
            self.viewer.theme = self.choose(["dark", "light"])
        else:
            axis = int(self.chance.integers(dims.ndim))
            dims.set_current_step(axis, int(self.chance.integers(max(int(dims.nsteps[axis]), 1))))

    def docking(self) -> None:
        name = self.choose(DOCKS)
        if name in self.docks:
            self.done.append(f"close {name}")
            self.viewer.window.remove_dock_widget(self.docks.pop(name))
        else:
            self.done.append(f"open {name}")
            self.docks[name] = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]

    def session(self) -> None:
        session = session_of(self.viewer)
        what = self.choose(["undo", "redo", "another model", "population", "device"])
        self.done.append(what)
        if what in ("undo", "redo"):
            getattr(session.scene, what)()
        elif what == "another model":
            session.choose_model(self.choose(["demo", "other"]))
        elif what == "device":
            session.choose_device(self.choose(["auto", "cpu"]))
        elif session.model is not None:
            map_actions.show_population(session, population(session.model))


def let_run(qapp: Any) -> None:
    """Run the event loop, and delete what Qt deletes later: `processEvents` alone does not do this.

    Every layer that was ever removed would stay with its controls, in napari without any plugin too.
    """
    qapp.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def resident() -> int:
    gc.collect()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "malloc_trim"):  # return freed memory to the system, so that it is not counted
        libc.malloc_trim(0)
    return psutil.Process(os.getpid()).memory_info().rss


@pytest.fixture
def no_dialogs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answer dialogs automatically: the user cancels half of them."""
    answers = iter(range(1_000_000))

    def save(*_: Any, **__: Any) -> tuple[str, str]:
        turn = next(answers)
        return ("", "") if turn % 2 else (str(tmp_path / f"kept {turn % 8}.csv"), "")

    monkeypatch.setattr(QFileDialog, "getSaveFileName", save)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: ("", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: "")
    monkeypatch.setattr(QMenu, "exec", lambda *_, **__: None)
    monkeypatch.setattr(QMenu, "exec_", lambda *_, **__: None)


def test_nothing_breaks_however_the_docks_are_used(
    make_napari_viewer, qapp, qtbot, simulated, no_dialogs, monkeypatch, tmp_path
):
    from napari.utils.notifications import notification_manager

    raised: list[BaseException] = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda _, error, __=None: raised.append(error))
    torch.set_num_threads(1)
    viewer, model = make_napari_viewer(), tiny_model()
    session = session_of(viewer)
    session.open_model = lambda source, device: model
    add_cell(viewer, simulated)
    monkey = Monkey(viewer, qapp, simulated, tmp_path, seed=11)
    for name in DOCKS:
        monkey.docks[name] = viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]
    threads = threading.active_count()

    before = 0
    for action in range(ACTIONS):
        if action == WARM:  # caches, shaders and lazily imported modules are loaded by now
            before = resident()
        try:
            monkey.act()
        except Exception as error:
            error.add_note("after " + " | ".join(monkey.done[-12:]))
            raise
        assert not raised, f"after {' | '.join(monkey.done[-12:])}: {raised[0]!r}"

    for name in list(monkey.docks):
        viewer.window.remove_dock_widget(monkey.docks.pop(name))
    viewer.layers.clear()
    assert session.tasks.close(60)
    assert QThreadPool.globalInstance().waitForDone(60_000)
    let_run(qapp)
    assert not raised
    assert threading.active_count() <= threads
    growth = (resident() - before) / MB
    print(f"{ACTIONS} actions; memory grew by {growth:.0f} MB after the first {WARM}")
    assert growth < 100
