"""The dock "Cell map", driven by its points, buttons and combos on a tiny model with made-up cells."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from integrate_window import needs_display
from map_window import at
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from toy_run import toy_store
from toy_training import MODEL

from napari_integrated_cell.data.store import PosedStore
from napari_integrated_cell.latent import groups, projection
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.population import MEASURES, population_bytes, write_population
from napari_integrated_cell.latent.position import Position, read_positions
from napari_integrated_cell.model.bundle import replace_files, save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark, LatentDistribution, LatentStatistics
from napari_integrated_cell.model.latent_files import CELLS
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.map import actions as map_actions
from napari_integrated_cell.plugin.map import opened_cell
from napari_integrated_cell.plugin.map.dock import MapWidget
from napari_integrated_cell.plugin.scene.decoder import scene_of
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.plugin.tasks import Tasks, immediately

pytestmark = [pytest.mark.gui, needs_display]


torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model():
    """Untrained, with statistics and two landmarks made up."""
    draw = np.random.default_rng(0)
    made = IntegratedCell.untrained(MODEL, seed=2)

    def spread(d):
        return LatentDistribution.of_moments(90, np.zeros(d), np.diag(np.linspace(2, 0.5, d)))

    made.latent = LatentStatistics(spread(MODEL.n_ref), {"tubes": spread(MODEL.n_struct)})
    made.landmarks = tuple(
        Landmark(
            name, f"L{i}", draw.normal(size=MODEL.n_ref).astype(np.float32) + 3, "cityblock", "all", 0, 5
        )
        for i, name in enumerate(("interphase", "metaphase"))
    )
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def cells(model, store):
    """The store's cells with measured shape, in places far apart, which an untrained encoder does not give."""
    found = embed_store(PosedStore(store.path), model)
    draw = np.random.default_rng(1)
    found = replace(found, z_ref=draw.normal(size=found.z_ref.shape).astype(np.float32))
    measured = {name: draw.uniform(1, 9, len(found)) for name in MEASURES}
    found.table[list(measured)] = pd.DataFrame(measured)
    return found


@pytest.fixture
def bundle(model, cells, tmp_path):
    path = save_bundle(model, tmp_path / "bundle", card={"simulated": True}, model_card_markdown="# Toy\n")
    replace_files(path, {CELLS: population_bytes(cells)})
    return path


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.window._qt_window.resize(1280, 800)
    return viewer


def opened(viewer, source, model, *, wait=True):
    """The dock on a model, its work done at once."""
    session = session_of(viewer)
    session.tasks = Tasks(immediately)
    session.open_model = lambda *_: model
    session.choose_model(str(source))
    dock = MapWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Cell map", area="right")
    dock.resize(340, 740)
    dock.grab()  # a window that is not shown lays its widgets out when they are asked for their picture
    assert dock.scatter.view.width > 200
    return session, dock


@pytest.fixture
def dock(viewer, bundle, model):
    return opened(viewer, bundle, model)[1]


@pytest.fixture
def session(viewer, dock):
    return session_of(viewer)


def apart(dock, session):
    """A cell that no other cell and no mark hides."""
    points = dock.scatter.view.to_pixels(session.map.projection.points)
    marks = dock.scatter.view.to_pixels([(m.x, m.y) for m in dock.scatter._marks])
    everything = np.concatenate([points, marks])
    away = np.hypot(*(points[:, None] - everything[None]).transpose(2, 0, 1))
    away[np.arange(len(points)), np.arange(len(points))] = np.inf
    return int(away.min(1).argmax())


def click(qtbot, dock, xy):
    qtbot.mouseClick(dock.scatter, Qt.MouseButton.LeftButton, pos=at(dock, xy))


def choose(combo, data):
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def drag(qtbot, dock, places, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.mousePress(dock.scatter, Qt.MouseButton.LeftButton, modifier, pos=places[0])
    for place in places[1:]:
        qtbot.mouseMove(dock.scatter, pos=place)
        QApplication.processEvents()
    qtbot.mouseRelease(dock.scatter, Qt.MouseButton.LeftButton, modifier, pos=places[-1])


def test_the_models_own_cells_are_on_the_map_at_once(dock, session, cells, model):
    assert len(session.map.population) == len(cells)
    axes = projection.axes_in("z_ref", model.latent, cells.z_ref)
    expected = projection.on_axes("z_ref", axes, (0, 1), np.arange(len(cells)), cells.z_ref)
    np.testing.assert_allclose(dock.scatter._points, expected.points, atol=1e-5)
    assert f"{len(cells)} cells" in dock.controls.told.text()
    assert len(dock.legend.buttons) == session.map.population.table["stage"].nunique(dropna=False)


def test_the_axes_can_be_chosen(dock, session, cells, model):
    choose(dock.controls.x, 2)
    assert session.map.view.axes == (2, 1)
    axes = projection.axes_in("z_ref", model.latent, cells.z_ref)
    expected = projection.on_axes("z_ref", axes, (2, 1), np.arange(len(cells)), cells.z_ref)
    np.testing.assert_allclose(dock.scatter._points, expected.points, atol=1e-5)
    assert dock.controls.x.currentText().startswith("PC 3")


def test_a_structures_space_shows_its_cells_only(dock, session, cells):
    assert [dock.controls.space.itemData(i) for i in range(dock.controls.space.count())] == [
        "z_ref",
        *sorted(MODEL.structures),
    ]
    choose(dock.controls.space, "tubes")
    tubes = np.flatnonzero(cells.table["structure"] == "tubes")
    np.testing.assert_array_equal(session.map.projection.cells, tubes)
    assert len(dock.scatter._points) == len(tubes)
    session.scene.go_to(Position(cells.z_ref[0], {"tubes": np.array([1, 0, 0], np.float32)}))
    x, y = session.map.projection.place(np.array([1, 0, 0], np.float32))
    here = dock.scatter._marks[-1]
    assert (here.kind, here.x, here.y) == ("cross", pytest.approx(x), pytest.approx(y))


def test_clicking_a_point_goes_there(dock, session, viewer, cells, qtbot):
    assert scene_of(viewer, session)._holders == 0, "before, the canvas is the user's"
    cell = apart(dock, session)
    click(qtbot, dock, session.map.projection.points[cell])
    assert session.map.view.selection == (cell,)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[cell], atol=1e-6)
    assert session.scene.position.name == cells.table["cell_id"].iloc[cell]
    assert session.scene.can_undo is False
    assert scene_of(viewer, session)._holders == 1, "the cell there is shown"
    other = 1 if cell == 0 else 0
    map_actions.go_to_cell(session, other)
    session.scene.undo()
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[cell], atol=1e-6)


def test_clicking_a_landmark_goes_to_it(dock, session, model, qtbot):
    landmark = model.landmarks[1]
    dock.scatter.zoom(0.5)
    click(qtbot, dock, session.map.projection.place(landmark.z_ref))
    assert session.scene.position == Position(landmark.z_ref)
    assert session.scene.position.name == "metaphase"


def test_a_click_on_nothing_changes_nothing(dock, session, qtbot):
    map_actions.select(session, [1, 2])
    dock.scatter.zoom(0.1)
    qtbot.mouseClick(dock.scatter, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    assert session.scene.position is None
    assert session.map.view.selection == (1, 2)


def test_hovering_tells_the_cell_and_leaving_tells_how_things_stand(dock, session, cells, qtbot):
    before = dock.controls.told.text()
    cell = apart(dock, session)
    qtbot.mouseMove(dock.scatter, pos=at(dock, session.map.projection.points[cell]))
    dock.scatter._hover(at(dock, session.map.projection.points[cell]).toPointF())
    told = dock.controls.told.text()
    assert f"Cell {cells.table['cell_id'].iloc[cell]}" in told
    assert cells.table["structure"].iloc[cell] in told
    dock.scatter._hover(at(dock, session.map.projection.place(session.model.landmarks[0].z_ref)).toPointF())
    assert "landmark" in dock.controls.told.text()
    dock.scatter.leaveEvent(None)
    assert dock.controls.told.text() == before


@pytest.mark.parametrize("by", ["button", "shift"])
def test_a_lasso_selects_what_lies_inside_and_tells_its_shape(dock, session, cells, qtbot, by):
    points = dock.scatter.view.to_pixels(session.map.projection.points)
    middle = dock.scatter.view.to_pixels(np.median(session.map.projection.points, 0))
    corners = middle + np.array([(-50, -40), (60, -45), (55, 50), (-45, 45)])
    if by == "button":
        qtbot.mouseClick(dock.controls.lasso, Qt.MouseButton.LeftButton)
    modifier = Qt.KeyboardModifier.ShiftModifier if by == "shift" else Qt.KeyboardModifier.NoModifier
    places = [QPoint(*np.round(c).astype(int).tolist()) for c in corners]
    drag(qtbot, dock, places, modifier)
    inner, outer = (np.array([-43, -38]), np.array([53, 43])), (np.array([-51, -46]), np.array([61, 51]))

    def within(box):
        return set(np.flatnonzero(((points - middle > box[0]) & (points - middle < box[1])).all(1)).tolist())

    chosen = set(session.map.view.selection)
    assert within(inner) <= chosen <= within(outer)
    assert len(chosen) > 1
    assert dock.cells.title() == f"{len(chosen)} selected cells"
    shape = dock.cells.shape
    assert shape.isVisibleTo(dock)
    assert shape.rowCount() == len(MEASURES)
    volumes = cells.table["cell_volume"].iloc[sorted(chosen)]
    assert float(shape.item(0, 1).text()) == pytest.approx(volumes.mean(), rel=0.01)
    assert session.scene.position is None, "selecting goes nowhere"


def test_a_group_is_gone_to_by_its_mean_and_by_its_medoid_and_is_written(
    dock, session, cells, qtbot, tmp_path, monkeypatch
):
    chosen = np.array([2, 5, 7, 11, 13])
    map_actions.select(session, chosen)
    qtbot.mouseClick(dock.cells.mean, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[chosen].mean(0), atol=1e-5)
    qtbot.mouseClick(dock.cells.medoid, Qt.MouseButton.LeftButton)
    expected = groups.medoid_cell(session.map.population, chosen)
    np.testing.assert_allclose(session.scene.position.z_ref, cells.z_ref[expected], atol=1e-6)
    assert session.map.view.selection == tuple(chosen)
    target = tmp_path / "group.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    qtbot.mouseClick(dock.cells.save, Qt.MouseButton.LeftButton)
    assert [p.name for p in read_positions(target)] == cells.table["cell_id"].iloc[chosen].tolist()


def test_without_a_selection_there_is_nothing_to_press(dock, session):
    map_actions.select(session, ())
    for button in (dock.cells.mean, dock.cells.medoid, dock.cells.save, dock.cells.open):
        assert not button.isEnabled()
    for verb in (map_actions.go_to_mean, map_actions.go_to_medoid):
        with pytest.raises(ValueError, match="lasso"):
            verb(session)


def test_a_legends_button_selects_its_class(dock, session, cells, qtbot):
    choose(dock.controls.colour, "structure")
    button = next(b for b in dock.legend.buttons if b.text().startswith("dots"))
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert session.map.view.selection == tuple(np.flatnonzero(cells.table["structure"] == "dots"))
    choose(dock.controls.colour, "stage")
    button = next(b for b in dock.legend.buttons if b.text().startswith("unknown"))
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert session.map.view.selection == tuple(np.flatnonzero(cells.table["stage"].isna()))


def test_numbers_have_a_bar_instead(dock, session):
    choose(dock.controls.colour, "height")
    assert dock.legend.buttons == []
    assert len(np.unique(dock.scatter._rgb, axis=0)) > 5


def test_a_cell_is_found_by_its_name(dock, session, cells, qtbot, notified):
    name = cells.table["cell_id"].iloc[9]
    dock.controls.find.setText(f" {name} ")
    qtbot.keyClick(dock.controls.find, Qt.Key.Key_Return)
    assert session.map.view.selection == (9,)
    dock.controls.find.setText("nobody")
    qtbot.keyClick(dock.controls.find, Qt.Key.Key_Return)
    assert "There is no cell 'nobody'" in notified[-1][1]
    assert session.map.view.selection == (9,)


def test_the_position_is_marked_while_it_is_dragged_and_points_are_not_drawn_anew(dock, session, cells):
    session.scene.set_out(Position(cells.z_ref[3], name="mine"))
    dock.scatter.grab()
    picture = dock.scatter._picture
    assert picture is not None
    for step in (0.1, 0.2, 0.3):
        z = cells.z_ref[3] + np.float32(step)
        session.scene.go_to(Position(z), remember=False)
        x, y = session.map.projection.place(z)
        ring, here = dock.scatter._marks[-2:]
        assert (here.kind, here.x, here.y) == ("cross", pytest.approx(float(x)), pytest.approx(float(y)))
        start = session.map.projection.place(cells.z_ref[3])
        assert (ring.kind, ring.x, ring.y) == ("ring", pytest.approx(start[0]), pytest.approx(start[1]))
        assert "mine" in ring.text
    dock.scatter.grab()
    assert dock.scatter._picture is picture


def test_a_position_far_outside_stays_in_sight_at_the_rim(dock, session, cells):
    session.scene.go_to(Position(cells.z_ref[0] + 1000))
    here = dock.scatter._marks[-1]
    place = dock.scatter._place(here)
    assert 0 < place.x() < dock.scatter.width()
    assert 0 < place.y() < dock.scatter.height()


def test_panning_zooming_and_keys(dock, session, qtbot):
    scatter = dock.scatter
    before = scatter.view
    drag(qtbot, dock, [QPoint(100, 100), QPoint(120, 110), QPoint(140, 115)])
    np.testing.assert_allclose(scatter.view.to_pixels((0, 0)) - before.to_pixels((0, 0)), (40, 15), atol=1e-6)
    assert session.map.view.selection == ()
    qtbot.keyClick(scatter, Qt.Key.Key_Plus)
    assert scatter.view.across < before.across
    qtbot.keyClick(scatter, Qt.Key.Key_Left)
    qtbot.keyClick(scatter, Qt.Key.Key_Home)
    assert scatter.view.across == pytest.approx(before.around(_everything(scatter)).across)


def _everything(scatter):
    return np.concatenate([scatter._points, [(m.x, m.y) for m in scatter._marks]]).astype(np.float32)


def test_escape_gives_a_lasso_up(dock, session, qtbot):
    qtbot.mousePress(
        dock.scatter, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, pos=QPoint(20, 20)
    )
    for place in (QPoint(200, 20), QPoint(200, 200), QPoint(20, 200)):
        qtbot.mouseMove(dock.scatter, pos=place)
    qtbot.keyClick(dock.scatter, Qt.Key.Key_Escape)
    qtbot.mouseRelease(dock.scatter, Qt.MouseButton.LeftButton, pos=QPoint(20, 200))
    assert session.map.view.selection == ()


def test_a_cell_of_a_store_opens_in_the_models_box(dock, session, viewer, store, cells, tmp_path, qtbot):
    path = write_population(tmp_path / "cells.parquet", cells)
    assert not dock.cells.open.isEnabled()
    map_actions.select(session, [4])
    assert not session.map.population.source or dock.cells.open.isEnabled()
    map_actions.open_cells(session, path)
    map_actions.go_to_cell(session, 4)
    assert dock.cells.open.isEnabled()
    qtbot.mouseClick(dock.cells.open, Qt.MouseButton.LeftButton)
    made = {mark_of(layer)["shows"]: layer for layer in viewer.layers if "map_cell" in mark_of(layer)}
    assert set(made) == {"membrane", "dna", cells.table["structure"].iloc[4]}
    np.testing.assert_array_equal(made["dna"].data, PosedStore(store.path).stored([4])[0, 1])
    np.testing.assert_allclose(made["dna"].scale, store.voxel_size)
    n_layers = len(viewer.layers)
    qtbot.mouseClick(dock.cells.open, Qt.MouseButton.LeftButton)
    assert len(viewer.layers) == n_layers, "opened again, it is not there twice"


def test_cells_whose_images_are_away_say_so(cells):
    assert "came without their images" in opened_cell.why_closed(replace(cells, source=""))
    assert "is missing" in opened_cell.why_closed(replace(cells, source="/nowhere"))
    assert opened_cell.why_closed(cells) == ""
    changed = replace(cells, table=cells.table.assign(cell_id="another"))
    with pytest.raises(ValueError, match="embed it again"):
        opened_cell.read_cell(changed, 0)


def test_a_store_is_embedded_in_the_dock(dock, session, store, model, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(store.path))
    dock.controls.open_store.trigger()
    z_ref = model.encode(store.references(np.arange(len(store))))
    np.testing.assert_allclose(session.map.population.z_ref, z_ref, atol=1e-6)
    assert session.map.population.source == str(store.path.resolve())


def test_foreign_cells_are_refused_and_what_was_shown_stays(
    dock, session, store, tmp_path, monkeypatch, notified
):
    foreign = embed_store(PosedStore(store.path), IntegratedCell.untrained(MODEL, seed=77), np.arange(5))
    path = write_population(tmp_path / "foreign.parquet", foreign)
    before = session.map.population
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))
    dock.controls.open_file.trigger()
    assert "embedded by another model" in notified[-1][1]
    assert session.map.population is before


def test_without_cells_landmarks_and_position_are_shown_and_it_says_how_to_get_some(viewer, model, tmp_path):
    path = save_bundle(model, tmp_path / "bare", card={}, model_card_markdown="# Bare\n")
    session, dock = opened(viewer, path, model)
    assert session.map.population is None
    assert "napari-ic embed" in dock.scatter._message
    session.scene.go_to(Position(np.ones(MODEL.n_ref, np.float32)))
    assert [m.kind for m in dock.scatter._marks] == ["diamond", "diamond", "cross"]
    x, y = session.map.projection.place(np.ones(MODEL.n_ref, np.float32))
    assert (dock.scatter._marks[-1].x, dock.scatter._marks[-1].y) == (
        pytest.approx(float(x)),
        pytest.approx(float(y)),
    )


def test_umap_that_is_not_installed_is_said_and_the_axes_stay(dock, session, monkeypatch, notified):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    before = session.map.projection
    choose(dock.controls.layout_kind, "UMAP")
    assert "pip install 'napari-integrated-cell[umap]'" in notified[-1][1]
    assert session.map.view.layout == "principal axes"
    assert dock.controls.layout_kind.currentData() == "principal axes"
    np.testing.assert_allclose(session.map.projection.points, before.points)


def test_a_umap_lays_the_cells_out_once(dock, session, cells, monkeypatch):
    fitted = []

    class Umap:
        def __init__(self, **_):
            pass

        def fit_transform(self, z):
            fitted.append(len(z))
            return z[:, :2] * 3

    module = types.ModuleType("umap")
    module.UMAP = Umap
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(projection, "find_spec", lambda name: object())
    choose(dock.controls.layout_kind, "UMAP")
    np.testing.assert_allclose(dock.scatter._points, cells.z_ref[:, :2] * 3, rtol=1e-5)
    assert not dock.controls.x.isEnabled()
    session.scene.go_to(Position(cells.z_ref[6]))
    here = dock.scatter._marks[-1]
    np.testing.assert_allclose((here.x, here.y), cells.z_ref[6, :2] * 3, atol=0.05)
    choose(dock.controls.layout_kind, "principal axes")
    choose(dock.controls.layout_kind, "UMAP")
    assert fitted == [len(cells)], "a second time it is kept"


def test_what_is_looked_at_outlives_the_dock(dock, session, viewer, qtbot):
    choose(dock.controls.colour, "structure")
    choose(dock.controls.y, 3)
    map_actions.select(session, [1, 4])
    dock._go(lambda: None)
    dock.scatter.zoom(4)
    qtbot.keyClick(dock.scatter, Qt.Key.Key_Left)
    seen = dock.scatter.view.part
    viewer.window.remove_dock_widget(dock)
    assert scene_of(viewer, session)._holders == 0
    session.scene.go_to(Position(np.zeros(MODEL.n_ref, np.float32)))  # a closed dock listens no more
    again = MapWidget(viewer)
    viewer.window.add_dock_widget(again, name="Cell map", area="right")
    assert again.controls.colour.currentData() == "structure"
    assert again.controls.y.currentIndex() == 3
    assert again.cells.title() == "2 selected cells"
    np.testing.assert_allclose(again.scatter._points, session.map.projection.points)
    assert again.scatter.view.part == pytest.approx(seen)
    choose(again.controls.y, 2)  # another plane: all of it
    everything = again.scatter.view.around(_everything(again.scatter))
    assert again.scatter.view.part == pytest.approx(everything.part)


def test_another_model_brings_its_own_cells(dock, session, store, tmp_path):
    other = IntegratedCell.untrained(MODEL, seed=50)
    path = save_bundle(other, tmp_path / "other", card={}, model_card_markdown="# Other\n")
    found = embed_store(PosedStore(store.path), other, np.arange(8))
    replace_files(path, {CELLS: population_bytes(found)})
    session.open_model = lambda *_: other
    map_actions.select(session, [20])
    session.choose_model(str(path))
    QApplication.processEvents()
    assert len(session.map.population) == 8
    assert session.map.view.selection == ()
    assert len(dock.scatter._points) == 8


def test_damaged_cells_are_said_and_the_landmarks_stay(viewer, bundle, model, notified):
    (bundle / "cells.parquet").write_bytes(b"nothing")
    session, dock = opened(viewer, bundle, model)
    assert "damaged" in notified[-1][1]
    assert session.map.population is None
    assert len(dock.scatter._marks) == 2


def test_it_fits_beside_a_canvas_in_both_themes(dock, viewer):
    assert dock.minimumSizeHint().width() <= 360
    for theme in ("light", "dark"):
        viewer.theme = theme
        QApplication.processEvents()
        grab = dock.scatter.grab().toImage()
        corner = grab.pixelColor(3, grab.height() // 2)
        assert (corner.lightness() > 128) == (theme == "light")


def test_every_control_is_named_and_explained(dock):
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit

    for kind in (QComboBox, QLineEdit, QAbstractButton):
        for widget in dock.findChildren(kind):
            if (
                not widget.isVisibleTo(dock)
                or widget.objectName().startswith("qt_")
                or widget.parent() is dock.cells.shape
            ):
                continue
            assert widget.toolTip(), widget
            assert widget.accessibleName() or getattr(widget, "text", str)(), widget
            assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus, widget
