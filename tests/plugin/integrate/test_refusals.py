"""Each refusal of the dock has a button that mends it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from integrate_window import add_cell, needs_display, opened_dock, press
from qtpy.QtCore import Qt

from napari_integrated_cell.plugin.session import session_of

pytestmark = [pytest.mark.gui, needs_display]
UM = ("µm",) * 3


def says(qtbot, dock, words):
    qtbot.waitUntil(lambda: words in dock.preview.words, timeout=60_000)


def mend(qtbot, dock, title):
    qtbot.waitUntil(lambda: title in dock.preview.buttons, timeout=60_000)
    press(qtbot, dock.preview.buttons[title])


def chosen(dock):
    return {
        role: getattr(dock.cell.combo(role).layer, "name", None)
        for role in ("membrane", "dna", "cells", "nuclei")
    }


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_are_split(viewer, qtbot, simulated, axis):
    images = [simulated.channels["membrane"], simulated.channels["dna"]]
    stack = viewer.add_image(np.stack(images, axis=axis), name="stack")
    viewer.dims.set_current_step(1 - axis, 9)
    dock = opened_dock(viewer)
    says(qtbot, dock, "'stack' has 4 axes")
    in_doubt = ["Use time point 0"] if axis == 0 else []  # time never follows Z
    qtbot.waitUntil(lambda: len(dock.preview.buttons) == 1 + len(in_doubt), timeout=60_000)
    assert next(iter(dock.preview.buttons)) == "Split channels"
    mend(qtbot, dock, "Split channels")
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=60_000)
    assert not stack.visible
    for layer, image in zip(list(viewer.layers)[1:], images, strict=True):
        np.testing.assert_array_equal(layer.data, image)
    assert chosen(dock)["membrane"] == "channel 0 · stack"
    assert chosen(dock)["dna"] == "channel 1 · stack"
    assert viewer.dims.current_step[-3] == 9  # the plane that was shown
    says(qtbot, dock, "voxel size of 'channel 0 · stack' is not known")


def test_the_file_says_that_an_axis_counts_channels(viewer, qtbot, tmp_path):
    """Eight channels could also be time points or planes by their number."""
    path = tmp_path / "eight.tif"
    images = np.random.default_rng(0).integers(0, 999, (6, 8, 40, 40)).astype(np.uint16)
    tifffile.imwrite(path, images, imagej=True, metadata={"axes": "ZCYX"})
    viewer.open(path, plugin="napari")
    dock = opened_dock(viewer)
    says(qtbot, dock, "has 4 axes (6, 8, 40, 40)")
    assert list(dock.preview.buttons) == ["Split channels"]


def test_an_axis_without_a_name_may_count_time_points(viewer, qtbot):
    viewer.add_image(np.zeros((2, 12, 5, 40, 40)), name="series")
    viewer.dims.set_current_step((0, 1), (1, 7))
    dock = opened_dock(viewer)
    says(qtbot, dock, "'series' has 5 axes")
    assert list(dock.preview.buttons) == ["Use time point 7", "Split channels"]
    viewer.layers.clear()
    viewer.add_image(np.zeros((12, 9, 40, 40)), name="long series")
    viewer.dims.set_current_step(0, 3)
    says(qtbot, dock, "'long series' has 4 axes")
    assert list(dock.preview.buttons) == ["Use time point 3"]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("says_time", ["unit", "file", "name of one channel"])
def test_a_short_time_series(viewer, qtbot, tmp_path, simulated, count, says_time):
    series = np.stack([simulated.channels["membrane"]] * count).astype(np.uint16)
    if says_time == "file":
        z, y, x = simulated.voxel_size
        tifffile.imwrite(
            tmp_path / "series.tif",
            series,
            imagej=True,
            resolution=(1 / x, 1 / y),
            metadata={"axes": "TZYX", "spacing": z, "unit": "um", "finterval": 60},
        )
        viewer.open(tmp_path / "series.tif", plugin="napari")
    else:
        name, units = ("series", ("s", *UM)) if says_time == "unit" else ("CellMask", None)
        viewer.add_image(series, name=name, scale=(1, *simulated.voxel_size), units=units)
    viewer.dims.set_current_step(0, 1)
    dock = opened_dock(viewer)
    says(qtbot, dock, "has 4 axes")
    other = [] if says_time != "name of one channel" else ["Split channels"]
    assert list(dock.preview.buttons) == ["Use time point 1", *other]
    mend(qtbot, dock, "Use time point 1")
    np.testing.assert_allclose(viewer.layers[-1].scale, simulated.voxel_size, rtol=1e-4)


def test_split_channels_keeps_the_voxel_size(viewer, qtbot, tmp_path, simulated):
    """Also that of a file whose series napari's own reader has opened without a size."""
    z, y, x = simulated.voxel_size
    tifffile.imwrite(
        tmp_path / "series.tif",
        np.stack([simulated.channels["membrane"]] * 3).astype(np.uint16),
        imagej=True,
        resolution=(1 / x, 1 / y),
        metadata={"axes": "TZYX", "spacing": z, "unit": "um"},
    )
    layer = viewer.open(tmp_path / "series.tif", plugin="napari")[0]
    layer.axis_labels = ("c", "z", "y", "x")  # the user knows better
    opened_dock(viewer).mend("split channels", layer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    np.testing.assert_allclose(viewer.layers[-1].scale, simulated.voxel_size, rtol=1e-4)


@pytest.mark.parametrize("units", [None, ("pixel", *UM)])
def test_labels_of_two_channels_are_split(viewer, qtbot, simulated, units):
    masks = np.stack([simulated.cell_mask, simulated.nucleus_mask]).astype(np.int32)
    viewer.add_labels(masks, name="masks", scale=(1, *simulated.voxel_size), units=units)
    dock = opened_dock(viewer)
    says(qtbot, dock, "'masks' has 4 axes")
    assert list(dock.preview.buttons) == ["Split channels", "Use time point 0"]
    mend(qtbot, dock, "Split channels")
    says(qtbot, dock, "µm³")
    assert chosen(dock)["cells"] == "channel 0 · masks"
    assert chosen(dock)["nuclei"] == "channel 1 · masks"


def test_channels_of_an_rgb_stack_are_split(viewer, qtbot, simulated):
    membrane, dna = (simulated.channels[name] for name in ("membrane", "dna"))
    rgb = np.stack([membrane, dna, np.zeros_like(dna)], axis=-1)
    viewer.add_image(
        (rgb / rgb.max() * 255).astype(np.uint8), name="overview", rgb=True, scale=simulated.voxel_size
    )
    dock = opened_dock(viewer)
    says(qtbot, dock, "RGB")
    mend(qtbot, dock, "Split channels")
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    assert chosen(dock)["membrane"] == "red · overview"
    assert chosen(dock)["dna"] == "green · overview"


def test_a_time_point_is_used(viewer, qtbot, simulated):
    place = {"scale": (60, *simulated.voxel_size), "units": ("s", *UM), "axis_labels": tuple("tzyx")}
    series = {name: np.stack([image * 0, image, image * 0]) for name, image in simulated.channels.items()}
    for name in ("membrane", "dna"):
        viewer.add_image(series[name], name=name, **place)
    viewer.add_labels(np.stack([simulated.cell_mask] * 3).astype(np.uint8), name="cells", **place)
    viewer.dims.set_current_step(0, 2)
    dock = opened_dock(viewer)
    says(qtbot, dock, "use one of its time points")
    assert list(dock.preview.buttons) == ["Use time point 2"]
    viewer.dims.set_current_step(0, 1)
    mend(qtbot, dock, "Use time point 1")
    assert [layer.visible for layer in viewer.layers] == [False] * 3 + [True] * 3
    names = {"membrane": "membrane, time point 1", "dna": "dna, time point 1", "cells": "cells, time point 1"}
    assert chosen(dock) == names | {"nuclei": None}
    np.testing.assert_allclose(dock.cell.voxel_size.value, simulated.voxel_size)
    says(qtbot, dock, "µm³")


def test_labels_are_made_of_an_image_in_the_place_of_a_stain(viewer, qtbot, simulated):
    place = {"scale": simulated.voxel_size, "units": UM}
    image = viewer.add_image(simulated.cell_mask.astype(np.float32) * 3, name="tubulin_cells", **place)
    viewer.add_image(simulated.nucleus_mask.astype(np.int32) * 3, name="nuclei", **place)
    dock = opened_dock(viewer)
    assert chosen(dock) == {"membrane": None, "dna": None, "cells": "tubulin_cells", "nuclei": "nuclei"}
    assert dock.cell.label.value() == 3
    says(qtbot, dock, "µm³")
    combo = dock.cell.combo("membrane")
    combo.layer = image
    combo.activated.emit(combo.currentIndex())
    says(qtbot, dock, "'tubulin_cells' holds labels and no stain")
    mend(qtbot, dock, "Make labels of this layer")
    says(qtbot, dock, "µm³")
    made = viewer.layers["tubulin_cells labels"]
    assert made.data.dtype == np.int32
    assert not image.visible
    assert chosen(dock)["membrane"] is None
    assert chosen(dock)["cells"] == made.name


def test_an_image_of_which_labels_were_made_takes_no_role_again(viewer, qtbot, simulated):
    place = {"scale": simulated.voxel_size, "units": UM}
    for name in ("membrane", "dna"):
        viewer.add_image(simulated.channels[name], name=name, **place)
    image = viewer.add_image(simulated.cell_mask.astype(np.float32) * 3, name="junk", **place)
    dock = opened_dock(viewer)
    before = chosen(dock)
    assert before == {"membrane": "membrane", "dna": "dna", "cells": "junk", "nuclei": None}
    combo = dock.cell.combo("membrane")
    combo.layer = image
    combo.activated.emit(combo.currentIndex())
    mend(qtbot, dock, "Make labels of this layer")
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    assert chosen(dock) == before | {"cells": "junk labels"}
    viewer.layers.selection.active = viewer.layers["dna"]
    assert chosen(dock) == before | {"cells": "junk labels"}
    viewer.layers.remove("junk labels")
    image.visible = True
    assert chosen(dock) == before


def test_the_voxel_size_is_written_to_the_layers(viewer, qtbot, simulated):
    other = viewer.add_image(np.zeros((4, 5, 6)), name="another image")
    layers = add_cell(viewer, simulated, scale=(1, 1, 1), units=("pixel",) * 3)
    viewer.dims.set_current_step(0, 9)
    dock = opened_dock(viewer)
    says(qtbot, dock, "voxel size of 'membrane' is not known")
    assert dock.cell.voxel_size.remark == "", "one sentence is enough"
    mend(qtbot, dock, "Set voxel size")
    qtbot.keyClicks(dock.cell.voxel_size.edit, ", ".join(map(str, simulated.voxel_size)))
    qtbot.keyClick(dock.cell.voxel_size.edit, Qt.Key.Key_Return)
    for layer in layers.values():
        np.testing.assert_allclose(layer.scale, simulated.voxel_size)
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    np.testing.assert_allclose(other.scale, 1)
    assert viewer.dims.current_step[0] == 9
    says(qtbot, dock, "µm³")


@pytest.mark.slow
def test_the_field_is_segmented_with_the_layers_chosen_in_the_dock(viewer, qtbot, simulated):
    place = {"scale": (1, *simulated.voxel_size), "units": ("pixel", *UM)}
    for name, title in (("dna", "A"), ("membrane", "B")):
        viewer.add_image(simulated.channels[name][None], name=title, **place)
    dock = opened_dock(viewer)
    dock.cell.voxel_size.value = (0.6, 0.3, 0.3)
    mend(qtbot, dock, "Segment this field")
    task = session_of(viewer).tasks.running("segment")
    assert task.what == "Segmenting B"
    assert dock.cancel.isEnabled()
    press(qtbot, dock.cancel)
    assert task.token.cancelled
    assert session_of(viewer).tasks.running("segment") is None
    qtbot.waitUntil(lambda: task.ended, timeout=60_000)
    assert len(viewer.layers) == 2
    mend(qtbot, dock, "Segment this field")
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    assert viewer.layers["cells of B"].data.shape == (1, *simulated.shape)
    assert chosen(dock) == {"membrane": "B", "dna": "A", "cells": "cells of B", "nuclei": "nuclei of B"}
    says(qtbot, dock, "µm³")


def test_a_field_larger_than_the_memory_is_not_segmented(viewer, qtbot, simulated, notified, monkeypatch):
    import psutil

    for name in ("membrane", "dna"):
        viewer.add_image(simulated.channels[name], name=name, scale=simulated.voxel_size, units=UM)
    dock = opened_dock(viewer)
    little = psutil.virtual_memory()._replace(available=1_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    mend(qtbot, dock, "Segment this field")
    assert "more memory than is free" in notified[-1][1]
    assert session_of(viewer).tasks.running("segment") is None


def test_a_layer_that_comes_later_replaces_the_refusal(viewer, qtbot, simulated):
    dock = opened_dock(viewer)
    says(qtbot, dock, "No layer is chosen")
    stack = viewer.add_image(np.stack(list(simulated.channels.values())[:2]), name="later")
    says(qtbot, dock, "'later' has 4 axes")
    viewer.layers.remove(stack)
    says(qtbot, dock, "No layer is chosen")
    assert dock.preview.buttons == {}
    labels = viewer.add_labels(simulated.cell_mask.astype(np.uint8), name="cells", scale=simulated.voxel_size)
    says(qtbot, dock, "nucleus is missing")
    viewer.add_image(np.stack(list(simulated.channels.values())[:2]), name="stack")
    says(qtbot, dock, "nucleus is missing")
    qtbot.waitUntil(lambda: "Split channels" in dock.preview.buttons, timeout=60_000)
    assert labels.visible


def test_one_layer_is_not_both_stains(viewer, qtbot, simulated):
    add_cell(viewer, simulated)
    dock = opened_dock(viewer)
    dock.cell.combo("membrane").layer = viewer.layers["dna"]
    says(qtbot, dock, "'dna' is chosen as Membrane and as DNA")


def test_layers_of_other_shapes_are_named_where_a_layer_is_missing(viewer, qtbot, simulated):
    place = {"scale": simulated.voxel_size, "units": UM}
    viewer.add_image(simulated.channels["membrane"], name="CellMask", **place)
    viewer.add_image(simulated.channels["dna"][:-2], name="Hoechst", **place)
    dock = opened_dock(viewer)
    says(qtbot, dock, "layers of one image have the same")
    z, y, x = simulated.shape
    assert f"'CellMask' has ({z}, {y}, {x}) voxels" in dock.preview.words
    assert f"'Hoechst' has ({z - 2}, {y}, {x})" in dock.preview.words


def test_open_images_of_which_none_is_chosen_are_in_the_lists(viewer, qtbot):
    viewer.add_image(np.random.default_rng(0).integers(0, 200, (5, 40, 40)), name="noise")
    dock = opened_dock(viewer)
    says(qtbot, dock, "No layer is chosen: choose your layers in the lists above.")
