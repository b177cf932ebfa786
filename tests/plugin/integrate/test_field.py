"""All steps on the real field: open it through the plugin's reader, click a cell, press the button."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from integrate_window import DOCK, PLUGIN, EchoModel, fields, from_world, needs_display, picture, to_world
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtCore import QPoint, Qt
from scipy import ndimage

from napari_ic_train.evaluation.localisation import at_box_voxels, signed_distance
from napari_integrated_cell.plugin.integrate import actions as integrate_actions
from napari_integrated_cell.plugin.layers.marks import result_layers
from napari_integrated_cell.plugin.layers.volumes import world_to_index
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.widgets.column import Column

pytestmark = [pytest.mark.gui, pytest.mark.slow, pytest.mark.real_data, needs_display]


@pytest.fixture
def viewer(make_napari_viewer, real_data, qtbot):
    """A window of 1280 x 800 with the real field, opened through the plugin's reader, and the dock."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    for name in ("cell_labels", "nucleus_labels"):
        viewer.open(real_data / "hipsc_tomm20_field" / f"{name}.ome.tif", plugin=PLUGIN)
    viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    viewer.dims.set_point(0, 30 * 0.29)
    viewer.reset_view()
    qtbot.wait(300)
    return viewer


def dock_of(viewer):
    return viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)[1]


def click(viewer, qtbot, label: int) -> None:
    """Click on the canvas, with the mouse, in the middle of a cell."""
    cells = viewer.layers["cell_labels"]
    z = world_to_index(cells, viewer.dims.point, viewer.layers.units)[0]
    # The voxel furthest from the cell's edge: the mean of a bent cell may lie outside it.
    y, x = np.unravel_index(
        ndimage.distance_transform_edt(cells.data[z] == label).argmax(), cells.data[z].shape
    )
    world = cells.data_to_world((z, y, x))
    canvas = viewer.window._qt_viewer.canvas
    view = canvas.view
    column, row = (view.transform * view.scene.transform).map([world[2], world[1]])[:2]
    ratio = canvas.native.devicePixelRatio()
    qtbot.mouseClick(
        canvas.native, Qt.MouseButton.LeftButton, pos=QPoint(round(column / ratio), round(row / ratio))
    )


def integrate(viewer, qtbot, label: int) -> dict:
    """Click a cell, then the button; the layers made, by structure."""
    dock = dock_of(viewer)
    qtbot.mouseClick(dock.cell.pick, Qt.MouseButton.LeftButton)
    click(viewer, qtbot, label)
    qtbot.waitUntil(lambda: dock.cell.label.value() == label, timeout=60_000)
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=60_000)
    qtbot.mouseClick(dock.run, Qt.MouseButton.LeftButton)
    tasks = session_of(viewer).tasks
    qtbot.waitUntil(lambda: tasks.running(integrate_actions.SLOT) is None, timeout=300_000)
    return result_layers(viewer, f"{session_of(viewer).key}/{dock.cell.request().key}")


def share_inside(layer, cells, label: int, beyond: float) -> float:
    """Share of a layer, as napari shows it, within ``beyond`` µm of a cell's own mask.

    Shown is what exceeds the lower contrast limit. How faint a haze the model leaves elsewhere is a figure of its
    card, not a matter of where the layer is put.
    """
    bright = layer.data > layer.contrast_limits[0]
    weights = layer.data[bright]
    around = ndimage.find_objects((cells.data == label).astype(np.uint8))[0]
    start = np.array([max(0, s.start - 20) for s in around])
    crop = cells.data[tuple(slice(a, s.stop + 20) for a, s in zip(start, around, strict=True))]
    near = ndimage.distance_transform_edt(crop != label, sampling=cells.scale) <= beyond
    index = np.round(from_world(cells, to_world(layer, np.argwhere(bright)))).astype(int) - start
    on_grid = np.all((index >= 0) & (index < crop.shape), axis=1)
    within = np.zeros(len(index), bool)
    within[on_grid] = near[tuple(index[on_grid].T)]
    return float(weights[within].sum() / weights.sum())


def pictures(viewer, qtbot, tmp_path: Path, name: str) -> None:
    """The window in 2D, and in 3D with all structures and with a few that do not hide each other."""
    cells, nuclei = viewer.layers["cell_labels"], viewer.layers["nucleus_labels"]
    made = result_layers(viewer).values()
    box = np.mean([layer.extent.world for layer in made], axis=0)
    cells.contour, nuclei.contour = 2, 1
    viewer.camera.center = box.mean(axis=0)
    viewer.camera.zoom = 12
    for notification in viewer.window._qt_window.findChildren(NapariQtNotification):
        notification.close()
    qtbot.wait(500)
    picture(viewer, tmp_path, f"{name}-2d")
    cells.visible = nuclei.visible = False
    viewer.dims.ndisplay = 3
    viewer.camera.angles = (10, 25, 60)
    viewer.camera.center = box.mean(axis=0)
    viewer.camera.zoom = 14
    qtbot.wait(500)
    picture(viewer, tmp_path, f"{name}-3d-all")
    for layer in made:
        layer.visible = fields(layer)["structure"] in ("fibrillarin", "lamin-B1", "ST6GAL1", "TOM20", "ZO1")
        layer.opacity = 0.8
    qtbot.wait(500)
    picture(viewer, tmp_path, f"{name}-3d")


def test_a_clicked_cell_is_integrated_where_it_lies(viewer, qtbot, tmp_path):
    """With a stand-in model that predicts the posed cell itself, every layer must lie inside the clicked cell."""
    echo = EchoModel("demo")
    session_of(viewer).open_model = lambda source, device: echo
    cells, nuclei = viewer.layers["cell_labels"], viewer.layers["nucleus_labels"]
    made = integrate(viewer, qtbot, 9)
    assert len(made) == 11
    for name, layer in made.items():
        assert share_inside(layer, cells, 9, 1.0) > 0.99, name
        assert fields(layer)["label"] == 9
    assert share_inside(made["fibrillarin"], nuclei, 9, 1.0) > 0.99
    assert share_inside(made["fibrillarin"], nuclei, 1, 1.0) < 0.01
    column = dock_of(viewer).findChild(Column)
    assert column.widget().width() <= column.viewport().width()  # the dock fits into 1280 x 800
    picture(viewer, tmp_path, "clicked-cell")


def test_a_cell_longer_than_the_box_is_said_to_be(viewer, qtbot, notified):
    echo = EchoModel("demo", structures=("TOM20",))
    session_of(viewer).open_model = lambda source, device: echo
    dock = dock_of(viewer)
    integrate(viewer, qtbot, 7)
    # The preview poses the cell in a task of its own, which may end after the run.
    qtbot.waitUntil(lambda: "longer than the model's box" in dock.preview.words, timeout=60_000)
    assert any(severity == "warning" and "longer than the model's box" in said for severity, said in notified)


def test_the_demo_model_puts_structures_into_the_clicked_cell(viewer, qtbot, tmp_path):
    session_of(viewer).choose_device("cpu")
    cells, nuclei = viewer.layers["cell_labels"], viewer.layers["nucleus_labels"]
    made = integrate(viewer, qtbot, 9)
    assert len(made) == 11
    # Where napari shows the layers is where the library says they lie in the cell.
    done = session_of(viewer).integrate.integration
    to_cell = at_box_voxels(
        signed_distance(done.cell.cell_mask, done.cell.voxel_size),
        done.cell.voxel_size,
        done.cell.offset,
        done.pose,
    )
    for name, layer in made.items():
        shown = layer.data > layer.contrast_limits[0]
        expected = layer.data[shown & (to_cell <= 1.0)].sum() / layer.data[shown].sum()
        assert share_inside(layer, cells, 9, 1.0) == pytest.approx(expected, abs=0.03), name
    assert share_inside(made["fibrillarin"], nuclei, 9, 1.0) > 0.75
    assert share_inside(made["TOM20"], nuclei, 9, 0.0) < 0.25
    pictures(viewer, qtbot, tmp_path, "integrate-field")
