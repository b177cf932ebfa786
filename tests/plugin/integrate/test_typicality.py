"""The dock says beside the preview how typical the cell is, before anything is computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from integrate_window import add_cell, fields, needs_display, opened_dock, picture, run

from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.simulation import simulate_cell

pytestmark = [pytest.mark.gui, needs_display]


@pytest.fixture(scope="module")
def known():
    return simulate_cell(5, voxel_size=(0.4, 0.4, 0.4)).cell


def test_a_known_cell_and_a_flattened_one(make_napari_viewer, known, qtbot, tmp_path):
    viewer = make_napari_viewer()
    layers = add_cell(viewer, known)
    dock = opened_dock(viewer)
    qtbot.waitUntil(lambda: "The model knows cells like this one" in dock.preview.words, timeout=60_000)
    assert session_of(viewer).integrate.integration is None
    for layer in layers.values():
        layer.scale = (0.15, 0.4, 0.4)
    qtbot.waitUntil(lambda: "⚠ This cell is unlike" in dock.preview.words, timeout=60_000)
    assert "it is flatter than all of them" in dock.preview.words
    assert dock.preview.words.count("cells") == 1  # the sentence on the cell before is gone
    dock.structures.tick(["TOM20"])
    run(qtbot, viewer, dock)
    picture(viewer, tmp_path, "untypical")
    made = [layer for layer in viewer.layers if layer not in layers.values()]
    assert made
    assert all(fields(layer)["typicality"]["measure"] == "height" for layer in made)


def test_a_model_that_does_not_open_leaves_the_preview_as_it_is(make_napari_viewer, known, qtbot):
    viewer = make_napari_viewer()
    opened = []

    def broken(source, device):
        opened.append(source)
        raise ValueError("There is no such model.")

    session_of(viewer).open_model = broken
    add_cell(viewer, replace(known))
    dock = opened_dock(viewer)
    qtbot.waitUntil(lambda: bool(opened) and "µm³" in dock.preview.words, timeout=60_000)
    qtbot.wait(200)
    assert "model" not in dock.preview.words
