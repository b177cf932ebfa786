"""Files that version 0.1 wrote still open: a bundle, its population, a store and positions."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import napari_integrated_cell as nic
from napari_integrated_cell.model.fingerprint import fingerprint

STRUCTURES = ("tubes", "sheets", "dots")
STAGES = ["interphase", "prophase-1", "metaphase", "anaphase"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("version_0_1")
    with zipfile.ZipFile(Path(__file__).parent / "examples" / "version_0_1.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def model(files: Path) -> nic.IntegratedCell:
    return nic.load_model(files / "bundle.zip", device="cpu")


def test_its_bundle_opens_with_all_that_it_holds(model: nic.IntegratedCell) -> None:
    assert model.config.structures == STRUCTURES
    assert model.config.box == (8, 8, 12)
    assert model.card["simulated"]
    assert model.latent is not None
    assert [mark.stage for mark in model.landmarks] == STAGES


def test_its_weights_have_the_fingerprint_that_it_gave_them(files: Path, model: nic.IntegratedCell) -> None:
    position = json.loads((files / "position.json").read_text("utf-8"))
    assert fingerprint(model) == position["weights"]


def test_its_bundles_population_opens(files: Path, model: nic.IntegratedCell, tmp_path: Path) -> None:
    population = nic.bundled_population(files / "bundle.zip", model)
    assert population is not None
    assert len(population) > 0
    assert population.has_z_struct.all()
    assert set(population.structures) <= set(STRUCTURES)
    population.check_fits(model)
    again = nic.read_population(nic.write_population(tmp_path / "cells.parquet", population))
    np.testing.assert_array_equal(again.z_ref, population.z_ref)


def test_its_store_opens_and_gives_the_bundles_positions(files: Path, model: nic.IntegratedCell) -> None:
    store = nic.PosedStore(files / "store")
    assert len(store) == len(store.table) == 36
    assert store.simulated
    assert store.channels == ("membrane", "dna", "structure")
    embedded = nic.embed_store(store, model)
    bundled = nic.bundled_population(files / "bundle.zip", model)
    assert bundled is not None
    rows = embedded.table.set_index("cell_id").index.get_indexer(bundled.table["cell_id"])
    assert (rows >= 0).all()
    # A bundle keeps its population in half precision.
    np.testing.assert_allclose(embedded.z_ref[rows], bundled.z_ref, rtol=2e-3, atol=2e-3)


def test_its_positions_open_and_decode(files: Path, model: nic.IntegratedCell) -> None:
    copied = nic.Position.from_json((files / "position.json").read_text("utf-8"))
    kept = nic.read_positions(files / "positions.csv")
    assert kept[0] == copied
    assert [position.name for position in kept] == [f"kept {i}" for i in range(len(kept))]
    for position in kept:
        position.check_fits(model)
    decoded = nic.decode(model, copied, ["membrane", *STRUCTURES])
    assert list(decoded) == ["membrane", *STRUCTURES]
    assert all(np.isfinite(v).all() and v.shape == (8, 8, 12) for v in decoded.values())
    mode = nic.decode(model, nic.Position(copied.z_ref), ["tubes"])["tubes"]
    assert not np.array_equal(mode, decoded["tubes"]), "the z^s that the file holds is used"


def test_a_walk_between_its_landmarks_decodes(model: nic.IntegratedCell) -> None:
    walk = nic.plan_walk([nic.stop_at_stage(model, STAGES[0]), nic.stop_at_stage(model, STAGES[-1])], 3)
    assert nic.Traversal(model, walk, ["dots"])[1].shape == (3, 8, 8, 12)
