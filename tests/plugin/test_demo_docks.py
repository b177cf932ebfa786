"""The docks of the latent spaces on the demo model: their buttons give the same results as calls of the library.

Each leaves the picture of the window that the documentation shows.
"""

from __future__ import annotations

import numpy as np
import pytest
from explore_window import assert_shows, choose, drag, settled
from integrate_window import PLUGIN, add_cell, needs_display, picture, press
from map_window import click, to_pixels
from traverse_window import assert_drawn, decoded, made, planned

from napari_integrated_cell.imaging.pose import pose_of, posed_mask, posed_references
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.latent.population import bundled_population
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.plugin.explore import actions as explore_actions
from napari_integrated_cell.plugin.layers.place import image_frame_of
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.variation import actions as variation_actions
from napari_integrated_cell.plugin.variation.state import DEVIATION, DRAW, MEAN
from napari_integrated_cell.variation.structure_variation import Draws, structure_variation

pytestmark = [pytest.mark.gui, pytest.mark.slow, needs_display]


@pytest.fixture(scope="module")
def model():
    return load_model("demo", device="cpu")


@pytest.fixture
def viewer(make_napari_viewer, model):
    """A window of 1280 x 800 whose session opens the demo model."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    session_of(viewer).open_model = lambda source, device: model
    return viewer


def dock_of(viewer, name: str):
    return viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]


def in_3d(viewer, qtbot, zoom: float) -> None:
    """Look at all layers in 3D, from a little above, and give the window time to draw."""
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    viewer.camera.angles = (10, 25, 60)
    viewer.camera.zoom = zoom
    qtbot.wait(700)


def test_the_explorer_shows_what_is_decoded_where_its_sliders_stand(viewer, qtbot, tmp_path):
    dock, session = dock_of(viewer, "Latent explorer"), session_of(viewer)
    settled(viewer, qtbot)
    dock.sliders.effects.click()
    for row, value in zip(dock.sliders.rows, (1.5, -1.0), strict=False):
        drag(row, value / 3, value)
    settled(viewer, qtbot)
    values = explore_actions.axes_of(session).values(session.scene.position.z_ref)
    np.testing.assert_allclose(values[:2], (1.5, -1.0), atol=0.01)
    assert_shows(viewer, session.scene.position, session.scene.shown)

    choose(dock.sliders.space, "TOM20")
    drag(dock.sliders.rows[0], 2.0)
    settled(viewer, qtbot)
    assert np.abs(session.scene.position.z_struct["TOM20"]).max() > 0.5
    assert_shows(viewer, session.scene.position, session.scene.shown)

    choose(dock.sliders.space, "z_ref")
    qtbot.waitUntil(lambda: all(row.effect.effect is not None for row in dock.sliders.rows), timeout=60_000)
    in_3d(viewer, qtbot, 16)
    picture(viewer, tmp_path, "explore")


def test_the_traversal_shows_every_frame_of_the_librarys_walk(viewer, qtbot, tmp_path):
    dock = dock_of(viewer, "Mitosis traversal")
    planned(dock, qtbot)
    dock.way.steps.setValue(5)
    dock.structures.tick(["alpha-tubulin", "fibrillarin", "lamin-B1"])
    planned(dock, qtbot)
    shown = made(viewer, dock, qtbot)
    for frame in (0, len(shown.traversal) - 1, len(shown.traversal) // 2):
        shown.go_to(frame)
        decoded(viewer, qtbot)
        assert_drawn(viewer, shown, frame)
    in_3d(viewer, qtbot, 16)
    picture(viewer, tmp_path, "traverse")


def test_the_map_holds_the_bundles_cells_and_goes_to_the_one_that_is_clicked(viewer, qtbot, model, tmp_path):
    dock, session = dock_of(viewer, "Cell map"), session_of(viewer)
    qtbot.waitUntil(
        lambda: session.map.population is not None and session.map.projection is not None, timeout=60_000
    )
    cells = bundled_population("demo", model)
    assert len(session.map.population) == len(cells)
    np.testing.assert_array_equal(session.map.population.z_ref, cells.z_ref)
    qtbot.wait(200)
    points = to_pixels(dock.scatter.plane, session.map.projection.points)
    near = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(near, np.inf)
    lonely = int(near.min(1).argmax())
    click(qtbot, dock, session.map.projection.points[lonely])
    settled(viewer, qtbot)
    cell = int(session.map.projection.cells[lonely])
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[cell], atol=1e-6)
    assert_shows(viewer, session.scene.position, session.scene.shown)

    press(qtbot, next(b for b in dock.legend.buttons if " metaphase" in f" {b.accessibleName()}".casefold()))
    chosen = np.array(session.map.view.selection)
    assert set(cells.table["stage"].iloc[chosen]) == {"metaphase"}
    press(qtbot, dock.cells.mean)
    settled(viewer, qtbot)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[chosen].mean(0), atol=1e-5)
    assert_shows(viewer, session.scene.position, session.scene.shown)
    in_3d(viewer, qtbot, 16)
    picture(viewer, tmp_path, "map")


def test_the_variation_is_algorithm_4s_in_the_active_cell(viewer, qtbot, model, simulated, tmp_path):
    session = session_of(viewer)
    layers = add_cell(viewer, simulated)
    session.integrate.image_frame = image_frame_of(layers["cells"], simulated.voxel_size)
    session.integrate.cell = simulated
    dock = dock_of(viewer, "Structure variation")
    qtbot.waitUntil(lambda: session.model is not None or dock.run.isEnabled(), timeout=60_000)
    n = 20 if model.variation is None else model.variation.n
    dock.n.setValue(n)
    press(qtbot, dock.run)
    qtbot.waitUntil(lambda: session.tasks.running(variation_actions.SLOT) is None, timeout=300_000)
    assert tuple(session.variation.found) == model.config.structures

    pose = pose_of(simulated, model_box(model.config))
    mask = posed_mask(simulated, pose)
    z_ref = model.encode(posed_references(simulated, pose)[None])
    wanted = structure_variation(model, z_ref, "TOM20", n, 0, mask=mask)
    found = session.variation.found["TOM20"]
    assert found.score == pytest.approx(wanted.score, rel=1e-6)
    assert found.effective_rank == pytest.approx(wanted.effective_rank, rel=1e-6)
    dock.scrubber.structure_chosen.emit("TOM20")
    for figure, volume in ((MEAN, wanted.mean), (DEVIATION, wanted.deviation)):
        np.testing.assert_allclose(dock.layers.layer(figure, "TOM20").data, volume * mask, atol=1e-5)
    dock.scrubber.slider.setValue(7)
    qtbot.waitUntil(lambda: dock.layers.layer(DRAW) is not None, timeout=60_000)
    draw = Draws(model, z_ref[0], "TOM20").draw(7) * mask
    qtbot.waitUntil(lambda: np.allclose(dock.layers.layer(DRAW).data, draw, atol=1e-5), timeout=60_000)

    layers["cells"].visible = layers["nuclei"].visible = False
    for name in simulated.channels:
        layers[name].visible = False
    dock.layers.layer(DRAW).visible = dock.layers.layer(MEAN, "TOM20").visible = False
    viewer.dims.ndisplay = 2
    viewer.reset_view()
    viewer.dims.set_point(0, 4.5)
    qtbot.wait(700)
    picture(viewer, tmp_path, "variation")
