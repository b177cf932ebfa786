"""From a Fiji stack of two channels without names to an integrated cell: at most four clicks."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from integrate_window import DOCK, PLUGIN, click_at, finished, inside, needs_display, picture, sampled

from napari_integrated_cell.plugin.layers.marks import result_layers

pytestmark = [pytest.mark.gui, pytest.mark.slow, needs_display]


@pytest.fixture(params=["membrane first", "DNA first"])
def stack(request, tmp_path, simulated):
    """A hyperstack as Fiji writes it: axes Z, C, Y, X, sizes in µm, no names."""
    names = ("membrane", "dna") if request.param == "membrane first" else ("dna", "membrane")
    path = tmp_path / "stack.tif"
    z, y, x = simulated.voxel_size
    tifffile.imwrite(
        path,
        np.stack([simulated.channels[name] for name in names], axis=1).astype(np.uint16),
        imagej=True,
        resolution=(1 / x, 1 / y),
        metadata={"axes": "ZCYX", "spacing": z, "unit": "um"},
    )
    return path, names


class Hand:
    """Clicks, and counts them."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot, self.clicks = viewer, qtbot, 0

    def menu(self):
        self.clicks += 1
        self.dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)[1]
        return self.dock

    def press(self, find):
        self.qtbot.waitUntil(lambda: find() is not None, timeout=60_000)
        self.clicks += 1
        find().click()

    def canvas(self, layer, index):
        self.clicks += 1
        click_at(self.viewer, self.qtbot, layer, index)


@pytest.mark.parametrize("reader", [PLUGIN, "napari"])
def test_from_a_fiji_stack_to_an_integrated_cell(viewer, qtbot, tmp_path, simulated, stack, reader):
    path, _ = stack
    viewer.window.resize(1280, 800)
    viewer.window._qt_window.show()
    viewer.open(path, plugin=reader)
    assert len(viewer.layers) == (2 if reader == PLUGIN else 1)
    qtbot.wait(200)

    hand = Hand(viewer, qtbot)
    dock = hand.menu()
    if reader == "napari":
        hand.press(lambda: dock.preview.buttons.get("Split channels"))
    qtbot.waitUntil(lambda: dock.cell.combo("dna").layer is not None, timeout=60_000)
    qtbot.waitUntil(lambda: "click it in the canvas" in dock.preview.words, timeout=60_000)
    picture(viewer, tmp_path, "guessed-stains")
    membrane, dna = dock.cell.combo("membrane").layer, dock.cell.combo("dna").layer
    np.testing.assert_array_equal(membrane.data, simulated.channels["membrane"])
    np.testing.assert_array_equal(dna.data, simulated.channels["dna"])
    np.testing.assert_allclose(dock.cell.voxel_size.value, simulated.voxel_size, rtol=1e-4)
    plane = round(float(dna.world_to_data([viewer.dims.point[-3], 0, 0])[0]))
    nucleus = np.argwhere(simulated.nucleus_mask[plane]).mean(axis=0)
    hand.canvas(dna, (plane, *np.round(nucleus)))
    hand.press(lambda: dock.run)
    finished(qtbot, viewer)

    assert len(result_layers(viewer)) == 11
    fibrillarin = next(layer for layer in result_layers(viewer).values() if "fibrillarin" in layer.name)
    in_nucleus, outside = inside(simulated, {"cells": dna})
    assert sampled(fibrillarin, in_nucleus).mean() > 0.3
    assert sampled(fibrillarin, outside).mean() < 0.02
    assert hand.clicks == (3 if reader == PLUGIN else 4)
