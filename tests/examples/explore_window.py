"""A tiny model with made-up statistics and landmarks, a session, and the dock "Latent explorer"."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_integrated_cell.latent.position import decode
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark, LatentDistribution, LatentStatistics
from napari_integrated_cell.plugin.explore.dock import ExploreWidget
from napari_integrated_cell.plugin.scene.decoder import scene_of
from napari_integrated_cell.plugin.scene.layers import DIFFERENCE
from napari_integrated_cell.plugin.session import session_of

SHOWN = ("membrane", "dna", "TOM20")


def lying(d: int, seed: int) -> LatentDistribution:
    """Cells that vary most along mixed directions, about a mean of their own."""
    points = np.random.default_rng(seed).normal(size=(80, d)) @ np.diag(np.linspace(2, 0.3, d))
    points = points @ np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(d, d)))[0] + 0.3
    return LatentDistribution.of_moments(80, points.mean(0), np.cov(points.T))


def tiny_model(seed: int = 3) -> IntegratedCell:
    """An untrained model with weights so large that every latent value has a visible effect."""
    config = preset("tiny")
    model = IntegratedCell.untrained(config, seed=seed)
    with torch.no_grad():
        for network in (model.enc_ref, model.dec_ref, model.dec_cond):
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8)
    model.name = "explored"
    # ZO1 has too few training cells for statistics.
    known = [name for name in config.structures if name != "ZO1"]
    model.latent = LatentStatistics(
        lying(config.n_ref, 0), {name: lying(config.n_struct, 10 + i) for i, name in enumerate(known)}
    )
    draw = np.random.default_rng(seed)
    model.landmarks = tuple(
        Landmark(
            stage, f"cell {i}", draw.normal(size=config.n_ref).astype(np.float32), "cityblock", "all", 0, 5
        )
        for i, stage in enumerate(("interphase", "metaphase"))
    )
    return model


def opened(viewer: Any, qtbot: Any) -> ExploreWidget:
    """The dock, once it shows the position."""
    dock = ExploreWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Latent explorer", area="right")
    settled(viewer, qtbot)
    return dock


def settled(viewer: Any, qtbot: Any) -> None:
    """Wait until what is shown is the session's position."""
    session = session_of(viewer)
    scene = scene_of(viewer, session)
    qtbot.waitUntil(
        lambda: (
            session.scene.position is not None and scene.showing is session.scene.position and scene.at_rest
        ),
        timeout=60_000,
    )


def layers(viewer: Any) -> dict[str, Any]:
    """The explorer's layers, by channel."""
    return scene_of(viewer, session_of(viewer)).layers.by_channel


def assert_shows(viewer: Any, position: Any, channels: Any = SHOWN) -> None:
    """The visible layers hold what the library decodes at a position."""
    model, found = session_of(viewer).model, layers(viewer)
    visible = {c for c, layer in found.items() if layer.visible and c != DIFFERENCE}
    assert visible == set(channels)
    for channel, volume in decode(model, position, channels).items():
        np.testing.assert_allclose(found[channel].data, volume, atol=1e-5)


def choose(combo: Any, data: Any) -> None:
    """Choose an entry of a combo box, as a user does."""
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def drag(row: Any, *values: float) -> None:
    """Hold a slider, move it over some values, let it go."""
    row.slider.setSliderDown(True)
    for value in values:
        row.slider.setSliderPosition(round(100 * value))
    row.slider.setSliderDown(False)
