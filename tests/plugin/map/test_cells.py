"""Open the cells of the dock "Cell map" from bundles, files, tables and stores, and open their images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from integrate_window import needs_display
from map_window import opened
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from toy_training import MODEL

from napari_integrated_cell.data.store import PosedStore
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.population import population_bytes, write_population
from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.model.bundle import replace_files, save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent_files import CELLS
from napari_integrated_cell.plugin.layers.marks import mark_of
from napari_integrated_cell.plugin.map import actions as map_actions
from napari_integrated_cell.plugin.map import opened_cell

pytestmark = [pytest.mark.gui, needs_display]


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
    assert "have no images" in opened_cell.why_not_openable(replace(cells, source=""))
    assert "is missing" in opened_cell.why_not_openable(replace(cells, source="/nowhere"))
    assert opened_cell.why_not_openable(cells) == ""
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
    assert "napari-ic embed" in dock.scatter.message.text()
    session.scene.go_to(Position(np.ones(MODEL.n_ref, np.float32)))
    assert [m.kind for m in dock.scatter.marks] == ["diamond", "diamond", "cross"]
    x, y = session.map.projection.place(np.ones(MODEL.n_ref, np.float32))
    assert (dock.scatter.marks[-1].x, dock.scatter.marks[-1].y) == (
        pytest.approx(float(x)),
        pytest.approx(float(y)),
    )


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
    assert len(dock.scatter.points) == 8


def test_damaged_cells_are_said_and_the_landmarks_stay(viewer, bundle, model, notified):
    (bundle / "cells.parquet").write_bytes(b"nothing")
    session, dock = opened(viewer, bundle, model)
    assert "damaged" in notified[-1][1]
    assert session.map.population is None
    assert len(dock.scatter.marks) == 2
