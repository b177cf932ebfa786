"""Which cell the dock starts with, and how another one is chosen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from integrate_window import add_cell, click_at, needs_display, opened_dock, press
from qtpy.QtCore import Qt

pytestmark = [pytest.mark.gui, needs_display]
UM = ("µm",) * 3


@pytest.fixture
def field(viewer, simulated):
    """A field of a simulated cell, label 5, and fragments without a nucleus, labels 1 and 9.

    Some voxels of the nucleus reach over into fragment 1, as those of neighbours do.
    """
    depth, rows, columns = simulated.shape
    cells = np.zeros((depth, rows, columns + 60), np.uint16)
    nuclei = np.zeros_like(cells)
    cells[:, :, :columns][simulated.cell_mask], nuclei[:, :, :columns][simulated.nucleus_mask] = 5, 5
    for label, start in ((1, columns), (9, columns + 30)):
        cells[5:20, 10:40, start + 5 : start + 25] = label
    nuclei[10, 10, columns + 5 : columns + 15] = 5
    place = {"scale": simulated.voxel_size, "units": UM}
    return {
        "cells": viewer.add_labels(cells, name="cells", **place),
        "nuclei": viewer.add_labels(nuclei, name="nuclei", **place),
    }


def test_the_dock_starts_with_a_cell_that_has_a_nucleus(viewer, qtbot, field):
    assert field["cells"].selected_label == 1
    dock = opened_dock(viewer)
    assert dock.cell.label.value() == 5
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=60_000)
    dock.cell.label.setValue(1)
    qtbot.waitUntil(lambda: "nucleus lies in" in dock.preview.words, timeout=60_000)
    assert dock.preview.words == "No nucleus lies in cell 1: choose another cell."


def test_nuclei_that_lie_in_no_cell_are_of_another_image(viewer, qtbot, field):
    field["nuclei"].data = np.where(field["cells"].data == 0, 3, 0).astype(np.uint16)
    dock = opened_dock(viewer)
    qtbot.waitUntil(lambda: "nucleus lies in" in dock.preview.words, timeout=60_000)
    assert dock.preview.words.endswith("check that both segmentations come from the same image.")


def test_nuclei_that_come_later_change_the_offered_cell_and_no_choice(viewer, field):
    nuclei = viewer.layers.pop(viewer.layers.index("nuclei"))
    dock = opened_dock(viewer)
    assert dock.cell.label.value() == 1
    viewer.layers.append(nuclei)
    assert dock.cell.label.value() == 5
    viewer.layers.remove(nuclei)
    dock.cell.label.setValue(9)
    viewer.layers.append(nuclei)
    assert dock.cell.label.value() == 9


@pytest.mark.parametrize("segmented", [True, False])
def test_a_click_chooses_one_cell_and_ends_the_choosing(viewer, qtbot, simulated, segmented):
    viewer.window.resize(1280, 800)
    viewer.window._qt_window.show()
    layers = add_cell(viewer, simulated)
    if not segmented:
        for role in ("cells", "nuclei"):
            viewer.layers.remove(layers[role])
    middle = np.round(np.argwhere(simulated.nucleus_mask).mean(axis=0)).astype(int)
    viewer.dims.set_current_step(0, middle[0])
    qtbot.wait(200)
    dock = opened_dock(viewer)
    assert dock.cell.pick.isChecked() == (not segmented), "a cell is chosen already, or a click is missing"
    if segmented:
        press(qtbot, dock.cell.pick)
        assert dock.cell.pick.isChecked()
        click_at(viewer, qtbot, layers["membrane"], (middle[0], 0, 0))
        assert dock.cell.pick.isChecked(), "no cell lies there"
    click_at(viewer, qtbot, layers["membrane"], tuple(middle))
    assert not dock.cell.pick.isChecked()
    request = dock.cell.request()
    assert request.point is not None
    assert request.label == (1 if segmented else None)
    # Then a click in the canvas changes nothing.
    click_at(viewer, qtbot, layers["membrane"], (middle[0], middle[1] + 3, middle[2]))
    assert dock.cell.request().point == request.point


def test_clicked_cells_have_short_names_of_their_own(viewer, qtbot, simulated):
    layers = add_cell(viewer, simulated)
    for role in ("cells", "nuclei"):
        viewer.layers.remove(layers[role])
    dock = opened_dock(viewer)

    def name_at(*index):
        press = SimpleNamespace(
            position=layers["membrane"].data_to_world(index), view_direction=None, dims_displayed=[1, 2]
        )
        dock.cell._take_click(press)
        return dock.cell.request().name

    assert name_at(12, 40, 51) == "clicked cell 1"
    assert name_at(10, 52, 40) == "clicked cell 2"
    assert name_at(12, 40, 51) == "clicked cell 1"


def test_long_names_are_shortened_in_the_middle(viewer, qtbot):
    for channel in ("C0", "C1"):
        viewer.add_image(np.zeros((4, 5, 6)), name=f"20240311_hiPSC_plate2_well3_{channel}")
    dock = opened_dock(viewer)
    combo = dock.cell.combo("membrane")
    combo.resize(191, combo.height())
    combo.setCurrentIndex(1)
    assert combo.shown_text().startswith("2024")
    assert "…" in combo.shown_text()
    assert combo.shown_text().endswith("C1")
    for role in ("membrane", "dna", "cells", "nuclei"):
        combo = dock.cell.combo(role)
        combo.resize(191, combo.height())
        combo.layer = None
        assert "…" not in combo.shown_text(), "what happens without a layer is always readable"


@pytest.mark.parametrize("named", [False, True])
def test_a_guessed_stain_that_does_not_fit_is_said_to_be_perhaps_wrong(viewer, qtbot, simulated, named):
    place = {"scale": simulated.voxel_size, "units": UM}
    membrane, dna = (simulated.channels[name] for name in ("membrane", "dna"))
    viewer.add_image(membrane, name="membrane" if named else "C0", **place)
    viewer.add_image(np.roll(dna, 12, axis=1), name="dna" if named else "C1", **place)
    for name, mask in (("cells", simulated.cell_mask), ("nuclei", simulated.nucleus_mask)):
        viewer.add_labels(mask.astype(np.uint8), name=name, **place)
    dock = opened_dock(viewer)
    qtbot.waitUntil(lambda: "do not lie on each other" in dock.preview.words, timeout=60_000)
    first = dock.preview.words.splitlines()[1]
    assert first.startswith("⚠ Membrane and DNA were guessed and may be wrong") != named


def test_segmentations_that_come_later_take_a_guessed_stain_back(viewer, simulated):
    place = {"scale": simulated.voxel_size, "units": UM}
    protein = viewer.add_image(np.roll(simulated.channels["dna"], 12, axis=1), name="protein", **place)
    dock = opened_dock(viewer)
    assert dock.cell.combo("dna").layer is protein
    for name, mask in (("cells", simulated.cell_mask), ("nuclei", simulated.nucleus_mask)):
        viewer.add_labels(mask.astype(np.uint8), name=name, **place)
    assert dock.cell.combo("dna").layer is None


@pytest.mark.parametrize("label", [7, 2147483725, 2**40])
def test_a_label_is_readable_in_a_narrow_dock(viewer, qtbot, simulated, label):
    viewer.window._qt_window.show()
    viewer.add_labels(simulated.cell_mask * np.uint64(label), name="cells", scale=simulated.voxel_size)
    dock = opened_dock(viewer)
    dock.parent().resize(320, 700)
    dock.resize(320, 700)
    viewer.window._qt_window.resizeDocks([dock.parent()], [320], Qt.Orientation.Horizontal)
    qtbot.wait(300)
    edit = dock.cell.label.lineEdit()
    assert edit.text() == str(label)
    assert edit.fontMetrics().horizontalAdvance(edit.text()) <= edit.width()
