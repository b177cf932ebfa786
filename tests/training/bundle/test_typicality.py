"""The distributions of known cells: measured at export, put into a bundle, and calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ic_train.bundle import typicality
from napari_ic_train.bundle.typicality import bundle_typicality, typicality_reference
from napari_integrated_cell.imaging.stained_masks import overlaps
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.typicality import CELL_OVERLAP, DISTANCE, mahalanobis

torch.set_num_threads(1)


def test_an_exported_bundle_knows_how_its_cells_are_distributed(exported, store) -> None:
    model = load_model(exported, device="cpu")
    known = model.typicality
    assert (known.n, known.held_out) == (len(store), False)  # few cells are held out
    z_ref = model.encode(store.references(np.arange(len(store))))
    distances = mahalanobis(z_ref, model.latent.z_ref)
    assert known.quantiles[DISTANCE][[0, -1]] == pytest.approx([distances.min(), distances.max()], rel=1e-4)
    references = store.references(np.arange(len(store))).numpy()
    agree = [overlaps(*pair)[0] for pair in zip(references, model.decode_reference(z_ref), strict=True)]
    assert known.quantiles[CELL_OVERLAP][[0, -1]] == pytest.approx([min(agree), max(agree)], rel=1e-4)


def test_held_out_cells_alone_are_measured_if_there_are_enough(exported, store, monkeypatch) -> None:
    model = load_model(exported, device="cpu")
    monkeypatch.setattr(typicality, "FEW_CELLS", 2)
    known = typicality_reference(model, store)
    assert known.held_out
    assert known.n == int((store.table["split"] != "train").sum())


def test_a_bundle_of_an_older_version_gets_the_distributions(exported, store, tmp_path) -> None:
    import shutil

    old = shutil.copytree(exported, tmp_path / "old")
    added = bundle_typicality(old, store)
    assert load_model(old, device="cpu").typicality.percentile(DISTANCE, 1.0) == pytest.approx(
        added.percentile(DISTANCE, 1.0), abs=0.1
    )


def test_without_latent_statistics_there_is_no_reference(exported, store) -> None:
    model = load_model(exported, device="cpu")
    model.latent = None
    with pytest.raises(ValueError, match="no latent statistics"):
        typicality_reference(model, store)
