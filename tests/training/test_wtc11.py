"""The preset wtc11 from a table to a bundle, on simulated cells in the public layout, at reduced size."""

from __future__ import annotations

import pytest

from napari_ic_train.bundle.export import export_bundle
from napari_ic_train.commands.overrides import overridden
from napari_ic_train.config import preset
from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.store import CellStore
from napari_ic_train.fit.fit_store import fit_store
from napari_ic_train.fit.forecast import forecast
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.simulation import write_dataset

SMALLER = (
    "model.box=[16,24,32]",
    "model.voxel_size=1.268",
    "model.n_ref=8",
    "model.n_struct=4",
    "model.enc_ref_widths=[4,8,16]",
    "model.enc_cond_widths=[4,8,16]",
    "model.dec_widths=[16,8,4]",
    "model.enc_d_widths=[16,16,8]",
    "model.dec_d_widths=[4,8,16]",
    "reference.epochs=1",
    "conditional.epochs=1",
    "batch_size=8",
    "picture_every=0",
)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_wtc11_goes_from_a_table_to_a_bundle(tmp_path) -> None:
    config = overridden(preset("wtc11"), list(SMALLER))
    table = write_dataset(tmp_path / "cells", 24, seed=5, voxel_size=0.8)
    prepare(table, tmp_path / "store", model_box(config.model), test_fraction=0.2, workers=1)
    assert all(one.hours is not None for one in forecast(tmp_path / "store", config, device="cpu"))
    fit_store(tmp_path / "store", config, tmp_path / "run", device="cpu")
    store = CellStore(tmp_path / "store")
    export_bundle(tmp_path / "run", store, tmp_path / "bundle", name="wtc11", licence="none")
    model = load_model(tmp_path / "bundle", device="cpu")
    assert model.config.structures == config.model.structures
    assert model.card["decoded_at"] == "target"
