"""Dialog "Open image with choices": what is offered for a file, what is refused, and what opens."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from integrate_window import PLUGIN, fields, needs_display
from napari.layers import Labels
from ome_zarr_files import write_ome_zarr
from qtpy.QtWidgets import QLabel
from stack_files import (
    SHAPE,
    VOXEL,
    intensities,
    labels,
    write_imagej,
    write_ome,
    write_rgb,
    write_two_scenes,
)

from napari_integrated_cell.imaging.choices import ReadingChoices
from napari_integrated_cell.imaging.formats.planes import Planes
from napari_integrated_cell.plugin.layers.volumes import voxel_size_of
from napari_integrated_cell.plugin.opening import command, dialog
from napari_integrated_cell.plugin.opening.dialog import OpenDialog
from napari_integrated_cell.plugin.opening.notices import BUTTON, NotOpened

pytestmark = [needs_display, pytest.mark.gui]


@pytest.fixture
def show(viewer, qtbot):
    """Show the dialog for a file."""

    def shown(path) -> OpenDialog:
        made = OpenDialog(viewer, path)
        qtbot.addWidget(made)
        made.show()
        return made

    return shown


def choose(box, data) -> None:
    """Choose an item of a combo box by what it stands for."""
    index = box.findData(data)
    assert index >= 0
    box.setCurrentIndex(index)


def test_the_stack_is_offered_and_the_overview_is_refused_in_one_sentence(show, tmp_path, viewer):
    asked = show(write_two_scenes(tmp_path / "a.ome.tif"))
    assert [asked.scene.itemText(i) for i in range(2)] == [
        "0: overview (3 colours, 64 × 64)",
        f"1: field (2 channels, {SHAPE[0]} Z planes, {SHAPE[1]} × {SHAPE[2]})",
    ]
    assert asked.scene.currentData() == 1
    assert asked.names.value is None
    assert [edit.text() for edit in asked.names.edits] == ["CellMask", "Hoechst"]
    assert [float(edit.text()) for edit in asked.voxel_size.edits] == list(VOXEL)
    assert asked.picture.pixmap().width() >= 2 * SHAPE[2]
    assert asked.open_button.isEnabled()
    choose(asked.scene, 0)
    assert not asked.open_button.isEnabled()
    assert "colour (RGB) picture" in asked.status.text()
    assert not asked.picture.isVisible()
    choose(asked.scene, 1)
    asked.open_button.click()
    assert not asked.isVisible()
    assert [fields(layer)["channel"] for layer in viewer.layers] == ["CellMask", "Hoechst"]


def test_each_edge_of_a_voxel_has_its_letter(show, tmp_path):
    asked = show(write_two_scenes(tmp_path / "a.ome.tif"))
    letters = [label for label in asked.voxel_size.findChildren(QLabel) if label.text() in ("Z", "Y", "X")]
    letters.sort(key=lambda label: label.x())
    assert [label.text() for label in letters] == list("ZYX")
    assert [label.buddy() for label in letters] == asked.voxel_size.edits
    assert all(label.isVisible() for label in letters)


def test_z_that_was_stored_as_time_is_offered_as_z(show, tmp_path, viewer, notified):
    asked = show(write_imagej(tmp_path / "cells.tif", labels(), "TYX", 0.4, 0.6, "um"))
    assert [box.currentData() for box in asked.axes] == ["Z"]
    assert asked.choices == ReadingChoices(axes="ZYX")
    asked.voxel_size.edits[0].setText("0.6")
    asked.add_layers()
    (layer,) = viewer.layers
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, labels())
    np.testing.assert_allclose(voxel_size_of(layer), VOXEL)
    assert notified == []


def test_an_axis_that_is_no_stack_is_refused_until_it_is_z(show, tmp_path):
    data = np.stack([intensities()] * 5)[:, :, 6]
    asked = show(write_ome(tmp_path / "a.ome.tif", data, "TCYX"))
    planes, channels = asked.axes
    assert (planes.currentData(), channels.currentData()) == ("Z", "C")
    choose(planes, "T")
    assert "if T is really Z" in asked.status.text()
    assert not asked.open_button.isEnabled()
    choose(planes, "C")
    assert "each once" in asked.status.text()
    choose(planes, "Z")
    assert asked.open_button.isEnabled()
    assert asked.status.text() == ""


@pytest.mark.parametrize("time", [-1, 2])
def test_a_time_point_or_the_whole_series_opens(show, tmp_path, viewer, notified, time):
    data = np.stack([intensities() + 10 * t for t in range(4)]).astype(np.uint16)
    asked = show(write_ome(tmp_path / "a.ome.tif", data, "TCZYX"))
    assert asked.time.text() == "all"
    assert asked.time.maximum() == 3
    asked.time.setValue(time)
    asked.add_layers()
    expected = data[:, 1] if time < 0 else data[time, 1]
    np.testing.assert_array_equal(viewer.layers[1].data, expected)
    assert notified == []


def test_names_and_voxel_size_can_be_given(show, tmp_path, viewer):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, intensities(), photometric="minisblack", metadata={"axes": "CZYX"})
    asked = show(path)
    assert [edit.text() for edit in asked.names.edits] == ["channel 0", "channel 1"]
    for edit, name in zip(asked.names.edits, ("membrane", "DNA"), strict=True):
        edit.setText(name)
    for edit, text, ready in zip(
        asked.voxel_size.edits, ("0.6", "0.4", "0.4"), (False, False, True), strict=True
    ):
        edit.setText(text)
        edit.textEdited.emit(text)
        assert asked.open_button.isEnabled() == ready
    asked.voxel_size.edits[2].setText("wide")
    asked.voxel_size.edits[2].textEdited.emit("wide")
    assert not asked.open_button.isEnabled()
    assert asked.status.text()
    asked.voxel_size.edits[2].setText("0.4")
    asked.add_layers()
    assert [fields(layer)["shows"] for layer in viewer.layers] == ["membrane", "dna"]
    assert [voxel_size_of(layer) for layer in viewer.layers] == [VOXEL] * 2


def test_what_the_file_states_in_part_is_kept_and_said(show, tmp_path):
    sizes = {"PhysicalSizeZ": 0}
    asked = show(write_ome(tmp_path / "a.ome.tif", intensities(), "CZYX", **sizes))
    assert [edit.text() for edit in asked.voxel_size.edits] == ["", "0.4", "0.4"]
    assert asked.open_button.isEnabled()


def test_planes_that_fit_no_metadata_can_be_divided_into_channels(show, tmp_path, viewer):
    data = intensities(3)
    path = write_ome(tmp_path / "a.ome.tif", data, "CZYX", ("CellMask", "Hoechst", "GFP"))
    with tifffile.TiffFile(path) as tif:
        text = tif.ome_metadata
    tifffile.tiffcomment(path, text.replace('SizeZ="12"', 'SizeZ="7"').encode())
    asked = show(path)
    (planes,) = asked.axes
    assert "3 channels of 12 Z planes each" in [planes.itemText(i) for i in range(planes.count())]
    assert planes.currentData() == "CZ"
    asked.add_layers()
    assert [fields(layer)["channel"] for layer in viewer.layers] == ["CellMask", "Hoechst", "GFP"]
    np.testing.assert_array_equal(viewer.layers[2].data, data[2])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: write_rgb(p), "colour (RGB) picture"),
        (lambda p: p.write_bytes(b"II*\0 this is no image"), "damaged"),
        (lambda p: write_ome(p, intensities()[:, 5], "CYX"), "flat picture"),
    ],
)
def test_what_is_no_stack_cannot_be_opened(show, tmp_path, viewer, write, said):
    path = tmp_path / "a.tif"
    write(path)
    asked = show(path)
    assert said in asked.status.text()
    assert not asked.open_button.isEnabled()
    asked.reject()
    assert len(viewer.layers) == 0


def test_another_file_and_a_zarr_folder_can_be_chosen(show, tmp_path, viewer, monkeypatch):
    path = tmp_path / "a.tif"
    write_rgb(path)
    zarr = write_ome_zarr(tmp_path / "b.ome.zarr", intensities(), names=("membrane", "dna"))
    asked = show(path)
    monkeypatch.setattr(dialog.QFileDialog, "getExistingDirectory", lambda *_: str(zarr))
    asked._other_folder()
    assert asked.file.text() == "b.ome.zarr"
    assert asked.open_button.isEnabled()
    monkeypatch.setattr(dialog.QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    asked._other_file()  # cancelled
    assert asked.file.text() == "b.ome.zarr"
    asked.add_layers()
    assert [fields(layer)["channel"] for layer in viewer.layers] == ["membrane", "dna"]


def test_a_reader_that_is_not_installed_is_said(show, tmp_path):
    asked = show(write_ome(tmp_path / "a.ome.tif", intensities(), "CZYX"))
    choose(asked.reader, "bioio")
    assert asked.open_button.isEnabled()
    choose(asked.reader, "aicsimageio")
    from napari_integrated_cell.imaging.formats.libraries import has

    assert asked.open_button.isEnabled() == has("aicsimageio")
    assert has("aicsimageio") or "not installed" in asked.status.text()


def test_the_dialog_reads_only_the_planes_of_its_picture(show, tmp_path, monkeypatch):
    path = write_ome(tmp_path / "a.ome.tif", np.stack([intensities(6)] * 4), "TCZYX")
    seen = []
    whole = Planes.plane
    monkeypatch.setattr(Planes, "plane", lambda self, index: seen.append(index) or whole(self, index))
    show(path)
    assert len(set(seen)) <= 3


@pytest.mark.parametrize("opens", [True, False])
def test_a_notification_opens_the_dialog_of_its_file(viewer, tmp_path, monkeypatch, opens):
    """The button in the notification of napari's own reading leads to the dialog with the file."""
    from napari.utils.notifications import Notification, notification_manager

    shown = []
    monkeypatch.setattr(
        OpenDialog, "exec", lambda self: shown.append((self._path, self.open_button.isEnabled()))
    )
    told: list[Notification] = []
    notification_manager.notification_ready.connect(told.append)
    path = tmp_path / "a.ome.tif"
    if opens:
        write_two_scenes(path)
        viewer.open(str(path), plugin=PLUGIN)
    else:
        write_imagej(path, labels(), "TYX", 0.4, 0.6, "um")
        with pytest.raises(NotOpened) as refused:
            viewer.open(str(path), plugin=PLUGIN)
        # As napari's hook for errors does in the window.
        notification_manager.receive_error(type(refused.value), refused.value)
    notification_manager.notification_ready.disconnect(told.append)
    ((text, press),) = told[-1].actions
    assert text == BUTTON
    press(None)
    assert shown == [(path, True)]


def test_the_command_is_in_the_menu_and_the_palette(viewer):
    from napari._app_model import get_app_model

    name = f"{PLUGIN}.open_with_choices"
    app = get_app_model()
    assert name in app.commands
    menu = app.menus.get_menu("napari/file/io_utilities")
    assert name in [item.command.id for item in menu if hasattr(item, "command")]
    assert name in [item.command.id for item in app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)]


def test_the_command_asks_for_a_file(viewer, tmp_path, monkeypatch):
    path = write_two_scenes(tmp_path / "a.ome.tif")
    shown = []
    monkeypatch.setattr(OpenDialog, "exec", lambda self: shown.append(self._path))
    for answer, expected in (((str(path), ""), [path]), (("", ""), [path])):
        monkeypatch.setattr(dialog.QFileDialog, "getOpenFileName", lambda *_, answer=answer: answer)
        command.open_with_choices()
        assert shown == expected
