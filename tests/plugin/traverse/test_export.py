"""Write the shown walk: films of the canvas, and films, volumes and contact sheets of the decoded cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from imageio_ffmpeg import count_frames_and_secs, read_frames
from integrate_window import needs_display
from PIL import Image
from qtpy.QtWidgets import QFileDialog
from traverse_window import Gate, decoded, exported, made

from napari_integrated_cell.integration import quantised
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.traverse import export
from napari_integrated_cell.walk.pictures import contact_sheet

pytestmark = [pytest.mark.gui, needs_display]


@pytest.fixture
def shown(dock, viewer, qtbot):
    """A walk of nine frames, of which two are kept in memory, in a window that is drawn."""
    viewer.window._qt_window.show()
    session = session_of(viewer)
    session.traverse.plan = replace(
        session.traverse.plan, start="prophase-2", steps=4, budget=0, fps=20.0, structures=("TOM20",)
    )
    return made(viewer, dock, qtbot)


def keep(dock, viewer, qtbot, monkeypatch, kind, path, chosen=""):
    """Choose what to keep, press the button, choose a file, and wait until it is written."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), chosen))
    dock.keeper.kind.setCurrentIndex(dock.keeper.kind.findData(kind))
    dock.keeper.save.click()
    exported(viewer, qtbot)


def canvas(viewer, shown, qtbot, frame):
    shown.go_to(frame)
    decoded(viewer, qtbot)
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def test_a_gif_of_the_canvas_shows_what_the_canvas_shows(dock, viewer, qtbot, monkeypatch, shown, tmp_path):
    viewer.camera.zoom *= 1.7
    shown.go_to(3)
    session = session_of(viewer)
    position = session.scene.position
    moved = []
    session.scene.events.position.connect(moved.append)
    keep(dock, viewer, qtbot, monkeypatch, "canvas", tmp_path / "walk.gif")
    assert moved == [], "filming moves nobody"
    assert session.scene.position is position
    assert shown.playhead == 3
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames == len(shown.traversal) == 9
        assert gif.info["duration"] == 50
        assert b"trained on simulated cells" in gif.info["comment"]
        pictures = [np.asarray(gif.convert("RGB")).astype(int) for t in range(9) if gif.seek(t) is None]
    own = [canvas(viewer, shown, qtbot, t) for t in range(9)]
    errors = np.array([[np.abs(p - o).mean() for o in own] for p in pictures])
    assert errors.argmin(1).tolist() == list(range(9)), "each picture is its own frame's"
    assert errors.diagonal().max() < 8
    assert [p.name for p in tmp_path.iterdir()] == ["walk.gif"]


def test_a_frame_that_comes_just_after_its_place_was_drawn_is_filmed_itself(
    viewer, qtbot, monkeypatch, shown, tmp_path
):
    go_to = shown.go_to

    def late(frame):
        """Draw before the frame is decoded, and decode it before it is read, as another thread may do."""
        go_to(frame)
        shown.frames.put(frame, shown.traversal.decoded(frame))

    monkeypatch.setattr(shown, "decode", lambda: None)
    monkeypatch.setattr(shown, "go_to", late)
    export.export_canvas(session_of(viewer), tmp_path / "walk.gif")
    exported(viewer, qtbot)
    monkeypatch.undo()
    shown.draw()
    shown.decode()
    own = [canvas(viewer, shown, qtbot, t) for t in range(9)]
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames == 9
        pictures = [np.asarray(gif.convert("RGB")).astype(int) for t in range(9) if gif.seek(t) is None]
    errors = np.array([[np.abs(p - o).mean() for o in own] for p in pictures])
    assert errors.argmin(1).tolist() == list(range(9))


def test_an_mp4_of_the_canvas(dock, viewer, qtbot, monkeypatch, shown, tmp_path, notified):
    keep(dock, viewer, qtbot, monkeypatch, "canvas", tmp_path / "walk", "MP4 film (*.mp4)")
    path = tmp_path / "walk.mp4"
    frames, seconds = count_frames_and_secs(str(path))
    assert frames == 9
    assert seconds == pytest.approx(9 / 20, abs=0.06)
    stream = read_frames(str(path), pix_fmt="rgb24")
    columns, rows = next(stream)["size"]
    first = np.frombuffer(next(stream), np.uint8).reshape(rows, columns, 3)
    stream.close()
    own = canvas(viewer, shown, qtbot, 0)
    assert np.abs(first[: own.shape[0], : own.shape[1]] - own).mean() < 8
    assert "Wrote" in notified[-1][1]


def test_a_window_made_smaller_while_it_is_filmed(viewer, qtbot, shown, tmp_path):
    session, sizes = session_of(viewer), []
    take = viewer.screenshot

    def smaller(**how):
        picture = take(**how)
        picture = picture if len(sizes) < 4 else picture[:-30, :-50]
        sizes.append(picture.shape)
        return picture

    camera_sees = {"screenshot": smaller}
    lens = _Lens(viewer, camera_sees)
    shown._viewer = lambda: lens
    export.export_canvas(session, tmp_path / "walk.gif")
    exported(viewer, qtbot)
    assert len(set(sizes)) == 2
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames == 9
        assert gif.size == (sizes[0][1], sizes[0][0])


class _Lens:
    """A viewer with some methods replaced."""

    def __init__(self, viewer, others):
        self._viewer, self._others = viewer, others

    def __getattr__(self, name):
        return self._others[name] if name in self._others else getattr(self._viewer, name)


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_filming_can_be_stopped_and_leaves_nothing(
    dock, viewer, qtbot, shown, walker, monkeypatch, tmp_path, ending
):
    session, gate = session_of(viewer), Gate(walker, monkeypatch)
    shown.go_to(5)
    decoded(viewer, qtbot)
    gate.open.clear()
    export.export_canvas(session, tmp_path / f"walk{ending}")
    assert dock.keeper.cancel.isEnabled()
    assert not dock.keeper.save.isEnabled()
    assert "Writing walk" in dock.status.text()
    qtbot.wait(100)
    dock.keeper.cancel.click()
    gate.open.set()
    qtbot.waitUntil(lambda: not session.tasks._alive, timeout=60_000)
    assert list(tmp_path.iterdir()) == []
    assert shown.playhead == 5
    assert dock.keeper.save.isEnabled()


def test_a_walk_removed_while_it_is_filmed(
    dock, viewer, qtbot, shown, walker, monkeypatch, tmp_path, notified
):
    session, gate = session_of(viewer), Gate(walker, monkeypatch)
    shown.go_to(5)
    decoded(viewer, qtbot)
    gate.open.clear()
    export.export_canvas(session, tmp_path / "walk.mp4")
    qtbot.wait(100)
    viewer.layers.clear()
    exported(viewer, qtbot)
    gate.open.set()
    assert "was removed or replaced while it was filmed" in notified[-1][1]
    assert list(tmp_path.iterdir()) == []


def test_volumes_are_those_of_the_walk(dock, viewer, qtbot, monkeypatch, shown, tmp_path):
    expected = np.stack([quantised(frame, np.uint16) for frame in shown.traversal])
    keep(dock, viewer, qtbot, monkeypatch, "volumes", tmp_path / "walk.ome.zarr")
    np.testing.assert_array_equal(zarr.open(str(tmp_path / "walk.ome.zarr"), mode="r")["0"][:], expected)
    keep(dock, viewer, qtbot, monkeypatch, "volumes", tmp_path / "walk.ome.tif")
    with tifffile.TiffFile(tmp_path / "walk.ome.tif") as tiff:
        assert tiff.series[0].axes == "TCZYX"
        np.testing.assert_array_equal(tiff.series[0].asarray(), expected)


def test_a_contact_sheet_has_two_rows_a_step(dock, viewer, qtbot, monkeypatch, shown, tmp_path):
    keep(dock, viewer, qtbot, monkeypatch, "sheet", tmp_path / "sheet.png")
    sheet = contact_sheet(export.sheet_of(shown.traversal))
    assert len(sheet.rows) == 5
    with Image.open(tmp_path / "sheet.png") as png:
        np.testing.assert_array_equal(np.asarray(png), sheet.to_rgb())
    keep(dock, viewer, qtbot, monkeypatch, "sheet", tmp_path / "sheet", "SVG (*.svg)")
    assert (tmp_path / "sheet.svg").read_text(encoding="utf-8").count("<image") == 5 * 2


def test_a_film_of_the_structures(dock, viewer, qtbot, monkeypatch, shown, tmp_path):
    keep(dock, viewer, qtbot, monkeypatch, "film", tmp_path / "walk.gif")
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames == 9


def test_what_cannot_be_kept_is_said(dock, viewer, qtbot, monkeypatch, shown, tmp_path, notified):
    def say(kind, path):
        keep(dock, viewer, qtbot, monkeypatch, kind, path)
        return notified[-1]

    assert say("canvas", tmp_path / "no" / "walk.mp4")[0] == "error"
    assert "does not exist" in notified[-1][1]
    (tmp_path / "walk.gif").mkdir()
    assert "is a folder" in say("canvas", tmp_path / "walk.gif")[1]
    before = len(notified)
    keep(dock, viewer, qtbot, monkeypatch, "canvas", "")
    assert len(notified) == before, "cancelling is not an error"
    with pytest.raises(ValueError, match="is not a film"):
        export.export_canvas(session_of(viewer), Path(tmp_path / "walk.png"))
    viewer.layers.clear()
    with pytest.raises(ValueError, match="no walk to save"):
        export.export_decoded(session_of(viewer), tmp_path / "walk.png")
    assert not (tmp_path / "walk.mp4").exists()


def test_speed_is_the_sessions(dock, viewer):
    dock.keeper.fps.setValue(24)
    assert session_of(viewer).traverse.plan.fps == 24
    session_of(viewer).traverse.plan = replace(session_of(viewer).traverse.plan, fps=5.0)
    assert dock.keeper.fps.value() == 5
