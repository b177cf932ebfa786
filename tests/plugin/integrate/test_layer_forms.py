"""The dock takes layers as people have them: one time point, labels of any type and size, units that differ."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import add_cell, needs_display, opened_dock, press, run

pytestmark = [pytest.mark.gui, needs_display]
UM = ("µm",) * 3


def same(cell, expected):
    np.testing.assert_array_equal(cell.cell_mask, expected.cell_mask)
    np.testing.assert_array_equal(cell.nucleus_mask, expected.nucleus_mask)
    np.testing.assert_allclose(cell.voxel_size, expected.voxel_size)
    assert cell.offset == expected.offset


@pytest.fixture
def expected(make_napari_viewer, simulated):
    """The cell that the dock cuts out of plain layers."""
    viewer = make_napari_viewer()
    add_cell(viewer, simulated)
    return opened_dock(viewer).cell.request().cut()


def segmentations(viewer, cell, label=1, dtype=np.uint8, before=(), **place):
    place = {"scale": (*(1,) * len(before), *cell.voxel_size), **place}
    for name, mask in (("cells", cell.cell_mask), ("nuclei", cell.nucleus_mask)):
        viewer.add_labels(mask.astype(dtype).reshape(before + mask.shape) * dtype(label), name=name, **place)


@pytest.mark.parametrize("before", [(1,), (1, 1)])
@pytest.mark.parametrize("units", [None, "µm"])
def test_axes_of_length_1(viewer, simulated, expected, before, units):
    place = {} if units is None else {"units": ("pixel",) * len(before) + UM}
    segmentations(viewer, simulated, before=before, **place)
    for name, image in simulated.channels.items():
        viewer.add_image(
            image.reshape(before + image.shape),
            name=name,
            scale=(*(1,) * len(before), *simulated.voxel_size),
            **place,
        )
    cell = opened_dock(viewer).cell.request().cut()
    same(cell, expected)
    assert set(cell.channels) == {"membrane", "dna"}


@pytest.mark.parametrize(
    ("label", "dtype"), [(2**31, np.uint32), (2**33 + 1, np.int64), (2**64 - 1, np.uint64)]
)
def test_labels_beyond_31_bits(viewer, qtbot, simulated, expected, label, dtype):
    segmentations(viewer, simulated, label, dtype)
    dock = opened_dock(viewer)
    assert dock.cell.label.value() == label
    cell = dock.cell.request().cut()
    same(cell, expected)
    assert cell.metadata["label"] == label
    edit = dock.cell.label.lineEdit()
    edit.selectAll()
    qtbot.keyClicks(edit, "4294967301")
    dock.cell.label.editingFinished.emit()
    assert dock.cell.request().label == 4294967301
    dock.cell.label.stepUp()
    assert dock.cell.request().label == 4294967302


@pytest.mark.parametrize("change", ["scale and units", "scale", "affine"])
def test_scale_and_units_that_come_after_the_dock(viewer, qtbot, simulated, expected, change):
    segmentations(viewer, simulated, scale=(1, 1, 1))
    dock = opened_dock(viewer)
    for layer in viewer.layers:
        if change == "affine":
            layer.affine = np.diag([*simulated.voxel_size, 1])
        else:
            layer.scale = simulated.voxel_size
        if change == "scale and units":
            layer.units = UM
    same(dock.cell.request().cut(), expected)
    np.testing.assert_allclose(dock.cell.voxel_size.value, simulated.voxel_size)
    qtbot.waitUntil(lambda: "µm³" in dock.preview.words, timeout=60_000)
    # A size that the user has typed stays.
    dock.cell.voxel_size.value = (0.5, 0.2, 0.2)
    for layer in viewer.layers:
        layer.scale = (9, 9, 9)
    assert dock.cell.request().voxel_size == (0.5, 0.2, 0.2)


@pytest.mark.parametrize(
    ("units", "factor"), [(("nm",) * 3, 1000), (("pixel",) * 3, None), (("µm", "nm", "µm"), (1, 1000, 1))]
)
def test_layers_of_different_units(viewer, simulated, expected, units, factor):
    """The first layer has other units, or none; the voxel size is right all the same."""
    scale = (1, 1, 1) if factor is None else np.multiply(simulated.voxel_size, factor)
    segmentations(viewer, simulated, units=UM)
    viewer.add_image(simulated.channels["dna"], name="dna", scale=scale, units=units)
    dock = opened_dock(viewer)
    assert dock.cell.combo("dna").layer is not None
    same(dock.cell.request().cut(), expected)
    silent = "'dna' states no size; that of 'cells' is used."
    assert dock.cell.voxel_size.remark == ("" if factor is not None else silent)
    viewer.layers["cells"].scale = (0.9, 0.3, 0.3)
    remark = dock.cell.voxel_size.remark
    assert "another size" in remark if factor is not None else "another size" in remark or not remark


@pytest.mark.parametrize("how", ["the button", "Integrate"])
def test_a_size_is_written_to_the_layers_that_state_none(viewer, qtbot, simulated, notified, how):
    viewer.add_image(np.zeros((4, 5, 6)), name="another image", units=UM)
    viewer.add_image(simulated.channels["membrane"], name="membrane")
    segmentations(viewer, simulated, units=UM)
    viewer.add_image(simulated.channels["dna"], name="dna", scale=simulated.voxel_size)
    dock = opened_dock(viewer)
    field = dock.cell.voxel_size
    assert field.remark == "'membrane' states no size; that of 'cells' is used."
    assert not field.write.isHidden()
    if how == "the button":
        press(qtbot, field.write)
        assert field.remark == ""
        assert field.write.isHidden()
    else:
        qtbot.wait(100)
        notified.clear()
        dock.structures.tick(["fibrillarin", "TOM20"])
        run(qtbot, viewer, dock)
        assert not [message for _, message in notified if "units" in message]
    for name in ("membrane", "dna"):
        np.testing.assert_allclose(viewer.layers[name].scale, simulated.voxel_size)
        assert [str(unit) for unit in viewer.layers[name].units] == ["micrometer"] * 3
    assert viewer.layers.extent.units is not None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32, np.float64])
def test_images_that_hold_labels(viewer, simulated, expected, dtype):
    place = {"scale": simulated.voxel_size, "units": UM}
    viewer.add_image(simulated.nucleus_mask.astype(dtype) * dtype(9), name="lamin nuclei", **place)
    viewer.add_image(simulated.cell_mask.astype(dtype) * dtype(9), name="tubulin_cells", **place)
    dock = opened_dock(viewer)
    assert dock.cell.combo("membrane").layer is None
    assert dock.cell.combo("cells").currentText() == "tubulin_cells"
    assert dock.cell.combo("nuclei").currentText() == "lamin nuclei"
    same(dock.cell.request().cut(), expected)


@pytest.mark.parametrize("names", [("channel 0", "channel 1"), ("C1-image.tif", "C2-image.tif")])
def test_guessed_stains_are_marked_and_swapped_by_one_click(viewer, qtbot, simulated, names):
    place = {"scale": simulated.voxel_size, "units": UM}
    for name, channel in zip(names, ("dna", "membrane"), strict=True):
        viewer.add_image(simulated.channels[channel], name=name, **place)
    dock = opened_dock(viewer)
    mark = dock.cell.roles.guess_marks["membrane", "dna"]

    def chosen():
        return dock.cell.combo("dna").currentText(), dock.cell.combo("membrane").currentText()

    assert chosen() == names
    assert not mark.isHidden()
    assert mark.remark.text() == "Membrane and DNA are guessed from what the layers show."
    press(qtbot, mark.swap)
    assert chosen() == names[::-1]
    assert "look exchanged" in mark.remark.text()
    viewer.add_image(np.zeros((4, 5, 6)), name="later")
    assert chosen() == names[::-1]
    press(qtbot, mark.swap)
    assert chosen() == names
    assert mark.isHidden(), "what is chosen by hand is never called guessed"
    assert "guessed" not in mark.remark.text()
    dock.cell.combo("membrane").layer = dock.cell.combo("dna").layer
    assert mark.isHidden(), "one layer for both is no exchange"
    dock.cell.combo("dna").layer = None
    assert mark.isHidden()


@pytest.mark.parametrize("given", ["by names", "by hand"])
def test_stains_whose_contents_say_the_reverse_look_exchanged(viewer, qtbot, simulated, given):
    place = {"scale": simulated.voxel_size, "units": UM}
    names = ("membrane", "dna") if given == "by names" else ("channel 0", "channel 1")
    for name, channel in zip(names, ("dna", "membrane"), strict=True):
        viewer.add_image(simulated.channels[channel], name=name, **place)
    dock = opened_dock(viewer)
    mark = dock.cell.roles.guess_marks["membrane", "dna"]
    if given == "by hand":
        for role, name in zip(("membrane", "dna"), names, strict=True):
            combo = dock.cell.combo(role)
            combo.setCurrentIndex(combo.findText(name))
            combo.activated.emit(combo.currentIndex())
    assert not mark.isHidden()
    assert mark.remark.text().startswith("⚠ Membrane and DNA look exchanged")
    press(qtbot, mark.swap)
    assert dock.cell.combo("membrane").currentText() == names[1]
    assert mark.remark.text() == "Membrane and DNA are swapped: press Swap again to undo it."
    press(qtbot, mark.swap)
    assert dock.cell.combo("membrane").currentText() == names[0]
    assert mark.remark.text().startswith("⚠ Membrane and DNA look exchanged")
    press(qtbot, mark.swap)
    dock.cell.combo("membrane").layer = None
    assert mark.isHidden()


@pytest.mark.parametrize("names", [("channel 0", "channel 1"), ("membrane", "dna")])
def test_a_swap_keeps_the_point(viewer, qtbot, simulated, names):
    for name, channel in zip(names, ("dna", "membrane"), strict=True):
        viewer.add_image(simulated.channels[channel], name=name, scale=simulated.voxel_size, units=UM)
    dock = opened_dock(viewer)
    mark = dock.cell.roles.guess_marks["membrane", "dna"]
    dock.cell._choose(0, (12, 40, 51))
    for _ in range(2):
        press(qtbot, mark.swap)
        assert dock.cell.request().point == (12, 40, 51)
        assert not dock.cell.pick.isChecked()
    dock.cell._choose(0, (11, 41, 52))
    assert dock.cell.request().point == (11, 41, 52)


def test_a_stain_chosen_by_hand_is_not_called_guessed(viewer, simulated):
    for name, channel in (("channel 0", "dna"), ("channel 1", "membrane")):
        viewer.add_image(simulated.channels[channel], name=name, scale=simulated.voxel_size, units=UM)
    dock = opened_dock(viewer)
    combo = dock.cell.combo("dna")
    combo.activated.emit(combo.currentIndex())
    text = dock.cell.roles.guess_marks["membrane", "dna"].remark.text()
    assert text == "Membrane is guessed from what the layers show."


def test_labels_that_come_later_are_chosen(viewer, qtbot, simulated, expected):
    segmentations(viewer, simulated, label=0, units=UM)
    dock = opened_dock(viewer)
    assert dock.cell.label.value() == 0
    assert dock.cell.pick.isChecked()
    viewer.layers["nuclei"].data = simulated.nucleus_mask.astype(np.uint8) * 4
    viewer.layers["cells"].data = simulated.cell_mask.astype(np.uint8) * 4
    assert dock.cell.label.value() == 4
    assert not dock.cell.pick.isChecked()
    same(dock.cell.request().cut(), expected)


def test_zarr_arrays_are_read_plane_by_plane(viewer, simulated, expected):
    import zarr

    def lazily(mask):
        array = zarr.create_array(store={}, shape=mask.shape, chunks=(4, 50, 50), dtype="int32")
        array[:] = mask * 5
        return array

    place = {"scale": simulated.voxel_size, "units": UM}
    viewer.add_labels(lazily(simulated.cell_mask), name="cells", **place)
    viewer.add_labels(lazily(simulated.nucleus_mask), name="nuclei", **place)
    dock = opened_dock(viewer)
    assert dock.cell.label.value() == 0
    dock.cell.label.setValue(5)
    same(dock.cell.request().cut(), expected)


def test_named_stains_are_not_marked(dock):
    assert all(mark.isHidden() for mark in dock.cell.roles.guess_marks.values())
