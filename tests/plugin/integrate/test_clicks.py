"""Clicking cells, and segmenting a field without a segmentation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from integrate_window import add_cell, command, fields, needs_display, opened_dock, run
from napari.components import ViewerModel

from napari_integrated_cell.plugin.integrate.picking import Picking
from napari_integrated_cell.plugin.layers.marks import result_layers
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]


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
    qtbot.waitUntil(lambda: "No cell is chosen" in dock.preview.words, timeout=60_000)
    middle = np.round(np.argwhere(simulated.nucleus_mask).mean(axis=0)).astype(int)
    dock.cell._take_click(pressed(viewer, layers["membrane"], middle))
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=60_000)
    found = session_of(viewer).integrate.cell
    window = tuple(slice(o, o + n) for o, n in zip(found.offset, found.shape, strict=True))
    true = simulated.cell_mask[window]
    overlap = (found.cell_mask & true).sum() / (found.cell_mask | simulated.cell_mask[window]).sum()
    assert overlap > 0.7
    dock.structures.tick(["fibrillarin"])
    run(qtbot, viewer, dock)
    (made,) = result_layers(viewer).values()
    assert made.name == "fibrillarin · clicked cell 1"
    assert fields(made)["point"] == middle.tolist()
    assert fields(made)["label"] is None


def test_a_click_beside_every_cell(dock, viewer, notified):
    layer = viewer.layers["cell labels"]
    dock.cell._take_click(pressed(viewer, layer, (0, 0, 0)))
    assert "no cell" in notified[-1][1]
    dock.cell._take_click(pressed(viewer, layer, (0, -50, 0)))
    assert "no cell" in notified[-1][1]


def test_a_click_that_finds_no_cell_keeps_the_button_pressed(viewer, qtbot, simulated):
    place = {"scale": simulated.voxel_size, "units": ("µm",) * 3}
    membrane, dna = (
        viewer.add_image(np.pad(simulated.channels[name], ((0, 0), (0, 200), (0, 0))), name=name, **place)
        for name in ("membrane", "dna")
    )
    dock = opened_dock(viewer)
    far = (12, membrane.data.shape[1] - 2, 5)
    dock.cell._take_click(pressed(viewer, membrane, far))
    qtbot.waitUntil(lambda: "still pressed" in dock.preview.words, timeout=60_000)
    assert "no cell" in dock.preview.words
    assert dock.cell.pick.isChecked()
    viewer.layers.selection.active = dna
    assert dock.cell.pick.isChecked()
    middle = np.round(np.argwhere(simulated.nucleus_mask).mean(axis=0)).astype(int)
    dock.cell._take_click(pressed(viewer, membrane, middle))
    assert not dock.cell.pick.isChecked()
    assert dock.cell.request().point == tuple(middle)


def test_a_click_in_3d_takes_the_first_cell_along_the_line_of_sight(dock, viewer):
    labels = viewer.layers["cell labels"]
    data = np.zeros_like(labels.data)
    data[5:9, 4:20, 4:20], data[12:16, 4:20, 4:20] = 3, 8
    labels.data = data
    viewer.dims.ndisplay = 3
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
