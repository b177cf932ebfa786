"""The dock "Integrate structures", driven by its buttons in a real viewer."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from plugin_fixtures import (
    DOCK,
    PLUGIN,
    EchoModel,
    add_cell,
    echo,
    fields,
    needs_display,
    no_memory,
    notified,
    sampled,
    simulated,
    to_world,
)
from qtpy.QtCore import Qt

from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.plugin import integrating
from napari_integrated_cell.plugin.picking import Picking
from napari_integrated_cell.plugin.results import result_layers
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES, structure

pytestmark = [pytest.mark.gui, needs_display]

# ruff: noqa: F401, F811


@pytest.fixture
def viewer(make_napari_viewer, echo):
    viewer = make_napari_viewer()
    session_of(viewer).open_model = lambda source, device: echo
    return viewer


@pytest.fixture
def dock(viewer, qtbot, simulated):
    """The dock of a viewer that shows one simulated cell."""
    add_cell(viewer, simulated)
    return opened_dock(viewer)


def opened_dock(viewer):
    return viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)[1]


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def finished(qtbot, viewer):
    """Wait until the run has ended."""
    qtbot.waitUntil(lambda: session_of(viewer).tasks.running(integrating.SLOT) is None, timeout=60_000)


def run(qtbot, viewer, dock):
    press(qtbot, dock.run)
    finished(qtbot, viewer)


def running(viewer):
    return session_of(viewer).tasks.running(integrating.SLOT)


def inside(cell, layers):
    """World positions of voxels in the nucleus and well outside the cell, as napari shows them."""
    from scipy import ndimage

    far = ndimage.distance_transform_edt(~cell.cell_mask, sampling=cell.voxel_size) > 1.0
    rng = np.random.default_rng(0)

    def points(mask):
        index = np.argwhere(mask)
        return to_world(layers["cells"], rng.permutation(index)[:2000])

    return points(ndimage.binary_erosion(cell.nucleus_mask, iterations=1)), points(far)


# ---------------------------------------------------------------------------- opening and choosing


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
    qtbot.waitUntil(lambda: "No layer is chosen" in dock.preview.words, timeout=5000)
    press(qtbot, dock.run)
    assert notified[-1][0] == "error"
    assert "No layer is chosen" in notified[-1][1]


def test_the_preview_shows_the_posed_cell(dock, viewer, qtbot):
    qtbot.waitUntil(lambda: dock.preview.has_picture, timeout=20_000)
    assert "µm³" in dock.preview.words
    cell = session_of(viewer).cell
    assert cell.metadata["label"] == 1
    for warning in pose_of(cell).warnings:
        assert warning in dock.preview.words


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
    qtbot.waitUntil(lambda: device.findData("cpu") >= 0, timeout=30_000)
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


# ---------------------------------------------------------------------------- the result


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        {},
        {"translate": (10.0, -20.0, 30.0)},
        {"affine": np.array([[1, 0, 0, 3], [0, 0, -1, 40], [0, 1, 0, -7], [0, 0, 0, 1.0]])},
    ],
    ids=["as it is", "translated", "turned"],
)
def test_structures_lie_over_the_cell(viewer, qtbot, simulated, place):
    """The stand-in answers with the posed DNA: it must come back over the nucleus, wherever that lies."""
    layers = add_cell(viewer, simulated, **place)
    dock = opened_dock(viewer)
    dock.structures.tick(["fibrillarin"])
    run(qtbot, viewer, dock)
    made = result_layers(viewer, f"{session_of(viewer).key}/{dock.cell.request().key}")
    assert list(made) == ["fibrillarin"]
    nucleus, outside = inside(simulated, layers)
    fibrillarin = made["fibrillarin"]
    assert sampled(fibrillarin, nucleus).mean() > 0.3
    assert sampled(fibrillarin, outside).mean() < 0.02
    # Its centre of mass is the nucleus's, to within half a voxel of the image.
    weights = fibrillarin.data / fibrillarin.data.sum()
    centre = fibrillarin.data_to_world(
        np.tensordot(weights, np.indices(weights.shape), ([0, 1, 2], [1, 2, 3]))
    )
    true = layers["cells"].data_to_world(np.argwhere(simulated.nucleus_mask).mean(axis=0))
    np.testing.assert_allclose(centre, true, atol=0.4)


@pytest.mark.slow
def test_layers_carry_colour_unit_scale_and_where_they_come_from(dock, viewer, qtbot, echo):
    dock.structures.tick(["TOM20", "lamin-B1"])
    run(qtbot, viewer, dock)
    session = session_of(viewer)
    assert [fields(layer)["structure"] for layer in result_layers(viewer).values()] == ["lamin-B1", "TOM20"]
    for layer in result_layers(viewer).values():
        about = fields(layer)
        colour = structure(about["structure"]).colour
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        np.testing.assert_allclose(layer.colormap.colors[-1][:3], rgb, atol=1e-3)
        np.testing.assert_allclose(layer.colormap.colors[0][:3], 0)
        assert layer.blending == "additive"
        assert [str(u) for u in layer.units] == ["micrometer"] * 3
        assert layer.axis_labels == ("z", "y", "x")
        np.testing.assert_allclose(layer.scale, echo.config.voxel_size)
        np.testing.assert_allclose(
            layer.affine.affine_matrix, session.integration.pose.layer_affine, atol=1e-9
        )
        assert layer.contrast_limits[0] == 0
        assert about["model"] == "echo"
        assert about["cell"] == "cell 1"
        assert about["label"] == 1
        assert about["source"] == "membrane"
        assert about["pose_warnings"] == list(session.integration.pose.warnings)
        np.testing.assert_allclose(about["z_ref"], session.integration.z_ref)
    assert session.model is echo
    assert set(session.integration.volumes) == {"lamin-B1", "TOM20"}


@pytest.mark.slow
def test_running_again_updates_what_it_made_and_nothing_else(dock, viewer, qtbot):
    dock.structures.tick(["TOM20", "ZO1"])
    mine = viewer.add_image(np.ones((4, 5, 6)), name="TOM20 · cell 1")
    run(qtbot, viewer, dock)
    first = result_layers(viewer)
    others = [layer for layer in viewer.layers if layer not in first.values()]
    tom20, zo1 = first.values()
    tom20.name = "mitochondria"  # found again by what it carries, not by its name
    tom20.data = np.zeros_like(tom20.data)
    tom20.visible = False
    tom20.contrast_limits = (0.2, 0.4)
    viewer.layers.remove(zo1)
    count = len(viewer.layers)
    run(qtbot, viewer, dock)
    again = result_layers(viewer)
    assert next(iter(again.values())) is tom20
    assert tom20.data.max() > 0.5
    assert tuple(tom20.contrast_limits) == (0.2, 0.4)
    assert not tom20.visible
    assert len(viewer.layers) == count + 1  # the removed one is there again
    assert [layer for layer in viewer.layers if layer not in again.values()] == others
    assert mine.data.max() == 1
    assert mine.data.shape == (4, 5, 6)


@pytest.mark.slow
def test_another_model_s_box_updates_the_same_layers(dock, viewer, qtbot):
    dock.structures.tick(["TOM20"])
    run(qtbot, viewer, dock)
    (layer,) = result_layers(viewer).values()
    other = EchoModel("tiny")
    session_of(viewer).open_model = lambda source, device: other
    session_of(viewer).choose_model("other")
    run(qtbot, viewer, dock)
    assert list(result_layers(viewer).values()) == [layer]
    assert layer.data.shape == other.config.box
    np.testing.assert_allclose(layer.scale, other.config.voxel_size)


@pytest.mark.slow
def test_the_library_s_own_untrained_model_runs(dock, viewer, qtbot, tmp_path):
    """Everything real but the training: a bundle on the disk, opened by its path, on the CPU."""
    import torch

    from napari_integrated_cell.model.bundle import load_model, save_bundle
    from napari_integrated_cell.model.config import preset
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

    torch.set_num_threads(1)
    path = tmp_path / "tiny"
    save_bundle(
        IntegratedCell.untrained(preset("tiny"), 0), path, card={"simulated": True}, model_card_markdown="x"
    )
    session = session_of(viewer)
    session.open_model = lambda source, device: load_model(source, device=device)
    session.choose_model(str(path))
    session.choose_device("cpu")
    run(qtbot, viewer, dock)
    made = result_layers(viewer)
    assert len(made) == 11
    expected = session.model.integrate(session.integration.references[None], ["TOM20"])["TOM20"][0]
    layer = next(layer for layer in made.values() if fields(layer)["structure"] == "TOM20")
    np.testing.assert_allclose(layer.data, expected, atol=1e-5)


@pytest.mark.slow
def test_the_classifier_is_asked_about_a_structure_layer(dock, viewer, qtbot, simulated):
    layer = viewer.add_image(
        simulated.channels["membrane"], name="unknown", scale=simulated.voxel_size, units=("µm",) * 3
    )
    dock.structure_layer.layer = layer
    qtbot.waitUntil(lambda: bool(dock.opinion.ranked), timeout=30_000)
    assert dock.opinion.ranked[0][0] == "TOM20"
    assert not dock.opinion.isHidden()
    dock.structure_layer.setCurrentIndex(0)
    qtbot.waitUntil(lambda: dock.opinion.isHidden(), timeout=5000)


# ---------------------------------------------------------------------------- things that go wrong


def held(qtbot, viewer, dock, echo):
    """A run that has shown its first structure and waits before the next."""
    echo.gate.clear()
    press(qtbot, dock.run)
    qtbot.waitUntil(lambda: len(result_layers(viewer)) == 1, timeout=30_000)
    assert dock.cancel.isEnabled()


def no_thread_left(qtbot):
    from napari.qt.threading import FunctionWorker

    qtbot.waitUntil(lambda: not FunctionWorker._worker_set, timeout=20_000)


@pytest.mark.slow
def test_structures_stream_in_and_cancel_keeps_what_is_ready(dock, viewer, qtbot, echo, notified):
    held(qtbot, viewer, dock, echo)
    press(qtbot, dock.cancel)
    assert running(viewer) is None
    no_thread_left(qtbot)
    assert len(result_layers(viewer)) == 1
    assert not dock.cancel.isEnabled()
    assert [n for n in notified if n[0] == "error"] == []
    echo.gate.set()
    run(qtbot, viewer, dock)
    assert len(result_layers(viewer)) == 11


@pytest.mark.slow
def test_a_source_layer_removed_in_mid_run(dock, viewer, qtbot, echo, notified):
    held(qtbot, viewer, dock, echo)
    viewer.layers.remove("membrane")
    assert running(viewer) is None
    assert any("'membrane' was removed" in message for _, message in notified)
    no_thread_left(qtbot)
    assert len(result_layers(viewer)) == 1


@pytest.mark.slow
def test_a_result_layer_removed_in_mid_run_disturbs_nothing(dock, viewer, qtbot, echo, notified):
    held(qtbot, viewer, dock, echo)
    viewer.layers.remove(next(iter(result_layers(viewer).values())))
    echo.gate.set()
    finished(qtbot, viewer)
    assert len(result_layers(viewer)) == 10
    assert [n for n in notified if n[0] == "error"] == []


@pytest.mark.slow
@pytest.mark.parametrize("change", ["model", "device"])
def test_the_model_changed_in_mid_run(dock, viewer, qtbot, echo, notified, change):
    held(qtbot, viewer, dock, echo)
    session = session_of(viewer)
    session.choose_model("other") if change == "model" else session.choose_device("cpu")
    assert running(viewer) is None
    assert any("model was changed" in message for _, message in notified)
    no_thread_left(qtbot)
    assert session.model is None


@pytest.mark.slow
def test_a_second_run_overtakes_the_first(dock, viewer, qtbot, echo):
    held(qtbot, viewer, dock, echo)
    dock.structures.tick(["ZO1"])
    press(qtbot, dock.run)
    echo.gate.set()
    finished(qtbot, viewer)
    no_thread_left(qtbot)
    assert {fields(layer)["structure"] for layer in result_layers(viewer).values()} == {
        "alpha-actinin",
        "ZO1",
    }


@pytest.mark.slow
def test_the_viewer_closed_in_mid_run_leaves_nothing_running(dock, viewer, qtbot, echo):
    before = set(threading.enumerate())
    held(qtbot, viewer, dock, echo)
    task = running(viewer)
    viewer.close()
    assert task.token.cancelled
    no_thread_left(qtbot)
    assert task.wait(0)
    assert [t for t in set(threading.enumerate()) - before if not t.daemon and t.name != "MainThread"] == []


@pytest.mark.slow
def test_the_dock_closed_in_mid_run_lets_the_run_end(dock, viewer, qtbot, echo):
    held(qtbot, viewer, dock, echo)
    viewer.window.remove_dock_widget(dock.parent())
    echo.gate.set()
    finished(qtbot, viewer)
    assert len(result_layers(viewer)) == 11
    again = opened_dock(viewer)
    run(qtbot, viewer, again)
    assert len(result_layers(viewer)) == 11


def test_layers_of_different_size(dock, viewer, qtbot, notified):
    other = viewer.add_image(np.zeros((5, 6, 7)), name="Hoechst", scale=(1, 1, 1), units=("µm",) * 3)
    combo = dock.cell.combo("dna")
    combo.layer = other
    press(qtbot, dock.run)
    severity, message = notified[-1]
    assert severity == "error"
    assert "'Hoechst'" in message
    assert "(5, 6, 7)" in message
    assert running(viewer) is None


def test_wrong_layers_are_not_offered_and_explained(viewer, qtbot, notified):
    viewer.add_image(np.zeros((5, 6, 7, 3), np.uint8), rgb=True, name="overview")
    viewer.add_image(np.zeros((6, 7)), name="slice")
    viewer.add_points(np.zeros((1, 3)), name="clicks")
    dock = opened_dock(viewer)
    assert dock.cell.layers == []
    viewer.layers.selection.active = viewer.layers["overview"]
    press(qtbot, dock.run)
    assert "RGB" in notified[-1][1]


def test_a_layer_without_a_voxel_size_asks_for_it(viewer, qtbot, simulated, notified):
    add_cell(viewer, simulated, scale=(1, 1, 1), units=("pixel",) * 3)
    dock = opened_dock(viewer)
    assert dock.cell.voxel_size.value is None
    press(qtbot, dock.run)
    assert "voxel size of 'membrane' is not known" in notified[-1][1]
    dock.cell.voxel_size.value = simulated.voxel_size
    dock.structures.tick(["fibrillarin"])
    run(qtbot, viewer, dock)
    (made,) = result_layers(viewer).values()
    # It lies over the image in the window, whose voxels napari shows as cubes of 1.
    nucleus, outside = inside(simulated, {"cells": viewer.layers["cell labels"]})
    assert sampled(made, nucleus).mean() > 0.3
    assert sampled(made, outside).mean() < 0.02


def test_a_label_that_does_not_exist(dock, viewer, qtbot, notified):
    labels = viewer.layers["cell labels"]
    labels.data = np.where(labels.data, 5, 0).astype(np.uint8)
    dock.cell.label.setMaximum(5)
    dock.cell.label.setValue(3)
    run(qtbot, viewer, dock)
    assert any(severity == "error" and "no cell with label 3" in message for severity, message in notified)
    assert result_layers(viewer) == {}


def test_a_model_that_cannot_be_opened(dock, viewer, qtbot, notified):
    def broken(source, device):
        raise ValueError("model.json of this bundle is damaged: get the model again.")

    session_of(viewer).open_model = broken
    run(qtbot, viewer, dock)
    assert ("error", "model.json of this bundle is damaged: get the model again.") in notified


def command(name):
    """Run a command as the palette and the menus do."""
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command(f"{PLUGIN}.{name}").result()


@pytest.mark.slow
def test_commands_of_the_palette(viewer, qtbot, simulated, echo, notified):
    add_cell(viewer, simulated)
    command("integrate")
    finished(qtbot, viewer)
    assert len(result_layers(viewer)) == 11
    viewer.add_image(np.zeros((3, 3, 3)), name="keep me")
    command("cancel")
    assert notified[-1] == ("info", "No structures are being integrated.")
    command("remove")
    assert result_layers(viewer) == {}
    assert "keep me" in viewer.layers


# ---------------------------------------------------------------------------- clicking, segmenting


def pressed(viewer, layer, index, ndisplay=2):
    return SimpleNamespace(
        position=layer.data_to_world(index),
        view_direction=np.array([1.0, 0, 0]) if ndisplay == 3 else None,
        dims_displayed=list(range(3))[-ndisplay:],
    )


@pytest.mark.slow
def test_a_cell_without_a_segmentation_is_found_at_the_click(viewer, qtbot, simulated):
    layers = add_cell(viewer, simulated)
    for role in ("cells", "nuclei"):
        viewer.layers.remove(layers[role])
    dock = opened_dock(viewer)
    qtbot.waitUntil(lambda: "No cell is chosen" in dock.preview.words, timeout=20_000)
    middle = np.round(np.argwhere(simulated.nucleus_mask).mean(axis=0)).astype(int)
    dock.cell._take_click(pressed(viewer, layers["membrane"], middle))
    qtbot.waitUntil(lambda: dock.preview.has_picture, timeout=60_000)
    found = session_of(viewer).cell
    window = tuple(slice(o, o + n) for o, n in zip(found.offset, found.shape, strict=True))
    true = simulated.cell_mask[window]
    overlap = (found.cell_mask & true).sum() / (found.cell_mask | simulated.cell_mask[window]).sum()
    assert overlap > 0.7
    dock.structures.tick(["fibrillarin"])
    run(qtbot, viewer, dock)
    (made,) = result_layers(viewer).values()
    assert fields(made)["point"] == middle.tolist()
    assert fields(made)["label"] is None


def test_a_click_beside_every_cell(dock, viewer, notified):
    layer = viewer.layers["cell labels"]
    dock.cell._take_click(pressed(viewer, layer, (0, 0, 0)))
    assert "no cell" in notified[-1][1]
    dock.cell._take_click(pressed(viewer, layer, (0, -50, 0)))
    assert "no cell" in notified[-1][1]


def test_a_click_in_3d_takes_the_first_cell_along_the_line_of_sight(dock, viewer):
    labels = viewer.layers["cell labels"]
    data = np.zeros_like(labels.data)
    data[5:9, 4:20, 4:20], data[12:16, 4:20, 4:20] = 3, 8
    labels.data = data
    viewer.dims.ndisplay = 3
    dock.cell.label.setMaximum(8)
    dock.cell._take_click(pressed(viewer, labels, (0, 10, 10), ndisplay=3))
    assert dock.cell.label.value() == 3


def test_a_drag_is_no_click():
    clicks = []
    picking = Picking(ViewerModel(), clicks.append)

    def gesture(*moves, button=1, modifiers=()):
        event = SimpleNamespace(
            type="mouse_press",
            button=button,
            modifiers=modifiers,
            pos=(10, 10),
            position=(0.0, 1.0, 2.0),
            view_direction=None,
            dims_displayed=[1, 2],
        )
        steps = picking._callback(None, event)
        for kind, pos in [("mouse_press", (10, 10)), *moves]:
            event.type, event.pos = kind, pos
            if next(steps, "over") == "over":
                return

    gesture(("mouse_move", (80, 40)), ("mouse_release", (80, 40)))
    gesture(("mouse_release", (10, 10)), button=2)
    gesture(("mouse_release", (10, 10)), modifiers=("Shift",))
    assert clicks == []
    gesture(("mouse_move", (11, 11)), ("mouse_release", (11, 11)))
    assert [c.position for c in clicks] == [(0.0, 1.0, 2.0)]


@pytest.mark.slow
def test_a_field_is_segmented_on_demand(viewer, qtbot, simulated):
    layers = add_cell(viewer, simulated, translate=(1, 2, 3))
    for role in ("cells", "nuclei"):
        viewer.layers.remove(layers[role])
    command("segment")
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    cells = viewer.layers["cells of membrane"]
    np.testing.assert_allclose(cells.translate, (1, 2, 3))
    np.testing.assert_allclose(cells.scale, simulated.voxel_size)
    assert cells.data.shape == simulated.shape
    inside_nucleus = viewer.layers["nuclei of membrane"].data[simulated.nucleus_mask]
    assert (inside_nucleus > 0).mean() > 0.7
