"""The dock "Integrate structures": guessed layers, choices and preview."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import EchoModel, needs_display, opened_dock, press, run

from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

pytestmark = [pytest.mark.gui, needs_display]


def test_the_dock_opens_by_its_name_and_guesses_the_layers(dock, simulated):
    chosen = {role: dock.cell.combo(role).layer.name for role in ("membrane", "dna", "cells", "nuclei")}
    assert chosen == {
        "membrane": "membrane",
        "dna": "dna",
        "cells": "cell labels",
        "nuclei": "nucleus labels",
    }
    assert dock.cell.label.value() == 1
    np.testing.assert_allclose(dock.cell.voxel_size.value, simulated.voxel_size)
    assert dock.structures.ticked == list(STRUCTURE_NAMES)


def test_the_dock_opens_in_an_empty_viewer_and_says_what_is_missing(viewer, qtbot, notified):
    dock = opened_dock(viewer)
    qtbot.waitUntil(lambda: "No layer is chosen" in dock.preview.words, timeout=60_000)
    press(qtbot, dock.run)
    assert notified[-1][0] == "error"
    assert "No layer is chosen" in notified[-1][1]


def test_the_preview_shows_the_posed_cell(dock, viewer, qtbot):
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=60_000)
    cell = session_of(viewer).integrate.cell
    assert cell.metadata["label"] == 1
    for warning in pose_of(cell).warnings:
        assert warning in dock.preview.words


def test_what_is_doubtful_about_the_cell_is_shown(viewer, qtbot, simulated, notified):
    labels = simulated.cell_mask.astype(np.uint8)
    labels[0, 0, 0] = 1  # a speck
    place = {"scale": simulated.voxel_size, "units": ("µm",) * 3}
    viewer.add_labels(labels, name="cells", **place)
    viewer.add_labels(simulated.nucleus_mask.astype(np.uint8), name="nuclei", **place)
    for name, channel in (("membrane", "dna"), ("DNA", "membrane")):
        viewer.add_image(simulated.channels[channel], name=name, **place)
    dock = opened_dock(viewer)
    dock.structures.tick(["TOM20"])
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=60_000)
    run(qtbot, viewer, dock)
    for words in (dock.preview.words, notified[-1][1]):
        assert "1 stray piece of the cell is left out" in words
        assert "Membrane and DNA look exchanged" in words


def test_a_choice_made_by_hand_stays_when_layers_come(dock, viewer, simulated):
    combo = dock.cell.combo("dna")
    combo.setCurrentIndex(0)  # none
    combo.activated.emit(0)
    viewer.add_image(simulated.channels["dna"], name="Hoechst", scale=simulated.voxel_size, units=("µm",) * 3)
    assert combo.layer is None
    assert "dna" not in dock.cell.request().channels


def test_renamed_and_removed_layers_are_followed(dock, viewer):
    viewer.layers["membrane"].name = "outline"
    combo = dock.cell.combo("membrane")
    assert combo.currentText() == "outline"
    viewer.layers.remove("outline")
    assert combo.layer is None


def test_all_and_none_and_what_the_model_does_not_know(dock, viewer):
    dock.structures.tick(())
    assert dock.structures.ticked == []
    assert not dock.run.isEnabled()
    dock.structures.tick(None)
    assert dock.run.isEnabled()
    session_of(viewer).model = EchoModel("tiny", structures=("TOM20", "ZO1"))
    assert dock.structures.ticked == ["TOM20", "ZO1"]


def test_models_and_devices_are_offered(dock, viewer, qtbot):
    device = dock.model.device
    qtbot.waitUntil(lambda: device.findData("cpu") >= 0, timeout=60_000)
    device.setCurrentIndex(device.findData("cpu"))
    device.activated.emit(device.currentIndex())
    assert session_of(viewer).device == "cpu"
    session_of(viewer).choose_model("/somewhere/mine.zip")
    assert dock.model.model.currentText() == "mine.zip"


def test_a_model_from_a_file_is_remembered(dock, viewer, monkeypatch, tmp_path):
    from qtpy.QtWidgets import QFileDialog

    bundle = tmp_path / "mine"
    bundle.mkdir()
    (bundle / "model.json").touch()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(bundle / "model.json"), ""))
    combo = dock.model.model
    combo.activated.emit(combo.count() - 1)
    assert session_of(viewer).model_source == str(bundle)
    from napari_integrated_cell.plugin.preferences import recent_models

    assert recent_models() == [str(bundle)]
