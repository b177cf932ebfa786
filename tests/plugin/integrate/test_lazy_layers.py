"""Of lazy layers the dock reads the chosen cell only, also if a field is larger than the memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from integrate_window import click_at, fields, finished, needs_display, opened_dock, press
from lazy_field import LazyField

from napari_integrated_cell.plugin.layers.marks import result_layers
from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, pytest.mark.slow, needs_display]
ROLES = ("membrane", "dna", "cells", "nuclei")


@pytest.fixture
def window(viewer):
    viewer.window.resize(1280, 800)
    viewer.window._qt_window.show()
    return viewer


def add(viewer, field, names, *, pyramid=False):
    """Layers of a lazy field; of a pyramid, napari shows a smaller level, which is empty here."""
    layers = {}
    for name in names:
        data = field.volume(name)
        z, y, x = field.shape
        smaller = [da.zeros((z, y // n, x // n), chunks=(1, -1, -1), dtype=data.dtype) for n in (8, 32)]
        levels = [data, *smaller] if pyramid else data
        place = {"scale": field.cell.voxel_size, "units": ("µm",) * 3, "name": name, "multiscale": pyramid}
        if name in ("cells", "nuclei"):
            layers[name] = viewer.add_labels(levels, **place)
        else:
            layers[name] = viewer.add_image(levels, contrast_limits=(0, 1000), blending="additive", **place)
    viewer.dims.set_current_step(0, field.nucleus[0])
    return layers


def quiet(qtbot, viewer):
    """Wait until nothing runs."""
    tasks = session_of(viewer).tasks
    qtbot.wait(600)  # longer than the dock's pause before it looks at a cell
    qtbot.waitUntil(
        lambda: not any(tasks.running(s) for s in ("preview", "contents", "click")), timeout=60_000
    )


@pytest.mark.parametrize("names", [ROLES, ("membrane", "dna")])
def test_nothing_is_read_before_a_cell_is_chosen_and_then_only_that_cell(window, qtbot, simulated, names):
    field = LazyField(simulated, (60, 1_500, 1_600), (1, 100, 100), (20, 700, 800))
    layers = add(window, field, names)
    quiet(qtbot, window)
    field.read.clear()
    dock = opened_dock(window)
    assert [dock.cell.combo(role).layer for role in names] == [layers[name] for name in names]
    quiet(qtbot, window)
    assert field.read == []
    assert dock.cell.pick.isChecked()  # only the click is missing
    assert "click" in dock.preview.words
    z, y, x = field.nucleus
    window.camera.center = layers["dna"].data_to_world((z, y, x))
    window.camera.zoom = 10
    qtbot.wait(200)
    field.read.clear()
    said = []
    say = dock.preview.say
    dock.preview.say = lambda words, buttons=(): (said.append(words), say(words, buttons))
    click_at(window, qtbot, layers["dna"], (z, y, x))
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=120_000)
    assert said == ["Reading around the click…"]
    assert session_of(window).integrate.cell.offset[0] >= 15
    reach = (60, int(48 / 0.3), int(48 / 0.3)) if "cells" not in names else (16, int(27 / 0.3), int(27 / 0.3))
    assert {where for _, where in field.read} <= field.chunks_around(reach)
    dock.structures.tick(["fibrillarin"])
    press(qtbot, dock.run)
    finished(qtbot, window)
    (made,) = result_layers(window).values()
    assert fields(made)["label"] == (7 if "cells" in names else None)
    assert {where for _, where in field.read} <= field.chunks_around(reach)


def test_unnamed_lazy_stains_are_sampled_in_the_background(window, qtbot, simulated):
    field = LazyField(simulated, (40, 600, 600), (1, 100, 100), (8, 250, 250))
    layers = add(window, field, ("dna", "membrane"))
    for number, layer in enumerate(layers.values()):
        layer.name = f"channel {number}"
    quiet(qtbot, window)
    field.read.clear()
    dock = opened_dock(window)
    qtbot.waitUntil(lambda: dock.cell.combo("dna").layer is layers["dna"], timeout=60_000)
    assert dock.cell.combo("membrane").layer is layers["membrane"]
    quiet(qtbot, window)
    assert len({where[0] for _, where in field.read}) <= 5  # planes


def test_a_field_of_100_gb_opens_and_a_clicked_cell_is_integrated(window, qtbot, simulated):
    field = LazyField(simulated, (100, 20_000, 25_000), (1, 2_000, 2_500), (40, 9_100, 12_600))
    layers = add(window, field, ROLES, pyramid=True)
    quiet(qtbot, window)
    dock = opened_dock(window)
    quiet(qtbot, window)
    field.read.clear()
    window.camera.center = layers["cells"].data_to_world(field.nucleus)
    qtbot.wait(200)
    click_at(window, qtbot, layers["cells"], field.nucleus)
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=120_000)
    dock.structures.tick(["fibrillarin"])
    press(qtbot, dock.run)
    finished(qtbot, window)
    (made,) = result_layers(window).values()
    centre = np.asarray(made.extent.world).mean(axis=0)
    np.testing.assert_allclose(centre, layers["cells"].data_to_world(field.nucleus), atol=12)
    inside = field.chunks_around((16, int(27 / 0.3), int(27 / 0.3)))
    assert {where for name, where in field.read if name in ROLES} <= inside
