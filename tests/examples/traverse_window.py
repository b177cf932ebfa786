"""A tiny model with landmarks, the dock "Mitosis traversal", and steps that its tests share."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark, LatentDistribution, LatentStatistics
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.traverse import actions as traverse_actions
from napari_integrated_cell.plugin.traverse import export
from napari_integrated_cell.plugin.traverse.layers import AHEAD, walk_layers
from napari_integrated_cell.vocabulary import STAGE_NAMES
from napari_integrated_cell.walk.traversal import stop_at_stage, walk

STAGES = tuple(name for name in STAGE_NAMES if name != "prometaphase-2")


def tiny_model(name: str = "walker", stages: tuple[str, ...] = STAGES, seed: int = 4) -> IntegratedCell:
    """An untrained model with landmarks, and with weights so large that the shape has an effect."""
    config = preset("tiny")
    model = IntegratedCell.untrained(config, seed=seed)
    with torch.no_grad():
        for network in (model.enc_ref, model.dec_ref, model.dec_cond):
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8)
    random = np.random.default_rng(seed)
    model.name, model.card = name, {"simulated": True}
    points = random.normal(size=(200, config.n_ref))
    model.latent = LatentStatistics(LatentDistribution.of_moments(200, points.mean(0), np.cov(points.T)), {})
    picture = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (36, 32, 3), np.uint8)).save(picture, "png")
    model.landmarks = tuple(
        Landmark(
            stage=stage,
            cell_id=f"cell {i}",
            z_ref=random.normal(size=config.n_ref).astype(np.float32),
            metric="cityblock",
            among="held-out",
            n_held_out=5,
            n_cells=9,
            thumbnail=picture.getvalue(),
        )
        for i, stage in enumerate(stages)
    )
    return model


BETWEEN = ["prophase-1", "prophase-2", "prometaphase-1"]


def library_walk(model, names, steps=10, **how):
    """The walk that the library makes through stages."""
    stops = [stop_at_stage(model, name) for name in names]
    return walk(stops, steps * (len(stops) - 1) + 1, **how)


def checked(dock):
    """The stages on the way, as the strip shows them."""
    return [name for name, button in dock.way.strip.buttons.items() if button.isChecked()]


class Gate:
    """Blocks a model's decoding after a number of frames, until it is opened."""

    def __init__(self, model: IntegratedCell, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        decode = model.decode_reference

        def slow(z_ref: Any, **run: Any) -> Any:
            while not self.open.wait(0.01):
                if run.get("cancel") is not None:
                    run["cancel"].raise_if_cancelled()
            return decode(z_ref, **run)

        monkeypatch.setattr(model, "decode_reference", slow)


def opened(viewer, qtbot):
    """The dock, once it knows the model and has drawn the path."""
    from napari_integrated_cell.plugin.traverse.dock import TraverseWidget

    dock = TraverseWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Mitosis traversal")
    planned(dock, qtbot)
    return dock


def planned(dock, qtbot):
    """Wait until the dock has looked at the plan as it is now."""
    tasks = dock._session.tasks

    def looked() -> bool:
        return (
            not dock._timer.isActive()
            and tasks.running(traverse_actions.PREVIEW) is None
            and tasks.running("model") is None
        )

    qtbot.waitUntil(looked, timeout=60_000)
    assert dock.plot.curves or dock.plot.words.text()


def made(viewer, dock, qtbot):
    """Press the button; the walk, once it is shown and its frames are decoded."""
    session = session_of(viewer)
    before = session.traverse.walk
    dock.make.click()
    qtbot.waitUntil(lambda: session.tasks.running(traverse_actions.SLOT) is None, timeout=60_000)
    assert session.traverse.walk is not before
    decoded(viewer, qtbot)
    return session.traverse.walk


def decoded(viewer, qtbot):
    """Wait until nothing is left to decode."""
    session = session_of(viewer)
    qtbot.waitUntil(
        lambda: (
            session.tasks.running(AHEAD) is None
            and (session.traverse.walk is None or session.traverse.walk.frames.missing() is None)
        ),
        timeout=60_000,
    )


def exported(viewer, qtbot):
    """Wait until nothing is being written."""
    qtbot.waitUntil(lambda: session_of(viewer).tasks.running(export.SLOT) is None, timeout=120_000)


def layers_of(viewer):
    """The walk's layers, by channel."""
    return walk_layers(viewer, session_of(viewer).key)


def drawn(layer):
    """What napari draws of a layer now."""
    return np.asarray(layer._slice.image.raw)


def assert_drawn(viewer, walk, frame):
    """Every layer draws what the library decodes of ``frame``, and nothing of another."""
    expected = walk.traversal.decoded(frame)
    for layer in walk.layers:
        volume = expected[walk.traversal.channels.index(mark_of(layer)["channel"])]
        if viewer.dims.ndisplay == 2:
            volume = volume[viewer.dims.current_step[-3]]
        np.testing.assert_array_equal(drawn(layer), volume, err_msg=layer.name)


def choose(combo, data):
    """Choose an entry as a user does."""
    index = combo.findData(data)
    assert index >= 0, [combo.itemData(i) for i in range(combo.count())]
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
