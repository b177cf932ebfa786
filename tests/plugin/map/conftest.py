"""Fixtures for the tests of the dock "Cell map": a tiny model with made-up cells, and the dock on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyqtgraph as pg
import pytest
import torch
from map_window import opened
from toy_run import toy_store
from toy_training import MODEL

from napari_integrated_cell.data.store import PosedStore
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.population import MEASURES, population_bytes
from napari_integrated_cell.model.bundle import replace_files, save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark, LatentDistribution, LatentStatistics
from napari_integrated_cell.model.latent_files import CELLS
from napari_integrated_cell.plugin.session import session_of

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model():
    """An untrained model with made-up statistics and two made-up landmarks."""
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
    """The cells of the store, with made-up measured shapes and made-up positions that are far apart."""
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


@pytest.fixture(autouse=True)
def every_mouse_event(monkeypatch):
    """Let the plots see every mouse event. Outside tests they skip those that follow too soon."""
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", 0)


@pytest.fixture
def dock(viewer, bundle, model):
    return opened(viewer, bundle, model)[1]


@pytest.fixture
def session(viewer, dock):
    return session_of(viewer)
