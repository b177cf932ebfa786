"""``fit --from``: adapt a bundle to few cells with other structures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from fit_once import app
from toy_run import toy_run, toy_store
from toy_training import MODEL, last_tensors, untimed
from typer.testing import CliRunner, Result

from napari_ic_train.bundle.export import export_bundle
from napari_ic_train.bundle.fitted import fitted_model
from napari_ic_train.config import TrainingConfig, read_config
from napari_ic_train.data.store import TABLE, CellStore
from napari_ic_train.data.training_cells import CellsAt
from napari_ic_train.fit.adapting import adapting_config, first_weights
from napari_ic_train.fit.fit_store import fit_store, learning_cells
from napari_ic_train.fit.loop import run_phase
from napari_ic_train.run.folder import PHASES, read_losses
from napari_ic_train.run.status import run_status
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import read_model_card
from napari_integrated_cell.model.runtime import Cancelled

SHORT = {"epochs": 2}
UNITED = (*MODEL.structures, "rings")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = toy_store(tmp_path_factory.mktemp("before"))
    run = toy_run(store, tmp_path_factory.mktemp("run"))
    path = tmp_path_factory.mktemp("out") / "before"
    return export_bundle(run, store, path, name="before", licence="CC0-1.0", weights="float32")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CellStore:
    """Cells of two known structures and a new one, which stands first in the store's order."""
    return own_store(tmp_path_factory.mktemp("own"))


def own_store(path: Path, keep: int | None = None) -> CellStore:
    toy_store(path)
    zarr.open_array(str(path / "images.zarr"), mode="r+").attrs["structures"] = ["rings", "sheets", "tubes"]
    table = pd.read_parquet(path / TABLE)
    table["structure"] = table["structure"].replace("dots", "rings")
    table["field"] = None
    table.iloc[:keep].to_parquet(path / TABLE)
    return CellStore(path)


def toy_recipe(bundle: Path, store: CellStore, **fields: object) -> TrainingConfig:
    config = adapting_config(bundle, CellStore(store.path, "train"))
    short = {name: getattr(config, name).model_dump() | SHORT for name in PHASES}
    more = {"deformed_copies": 2, "precision": "fp32", "batch_size": 8} | short | fields
    return TrainingConfig.model_validate(config.model_dump() | more)


@pytest.fixture(scope="module")
def run(bundle: Path, store: CellStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted")
    fit_store(store.path, toy_recipe(bundle, store), out, device="cpu")
    return out


def cli(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_classes_are_united_and_new_ones_start_as_the_nearest_known_one(bundle, store):
    config = toy_recipe(bundle, store)
    assert config.model.structures == UNITED
    before = load_model(bundle, device="cpu", exact=True)
    assert set(config.adapted_from.nearest) == {"rings"}
    nearest = config.adapted_from.nearest["rings"]
    mine = np.flatnonzero((CellStore(store.path, "train").table["structure"] == "rings").to_numpy())
    seen = before.classify(CellStore(store.path, "train").images(mine)).mean(0)
    assert nearest == MODEL.structures[int(seen.argmax())]

    from napari_integrated_cell.model.integrated_cell import IntegratedCell

    united = IntegratedCell.untrained(config.model)
    states = first_weights(config)
    united.enc_ref.load_state_dict(states["reference"]["enc"])
    united.enc_cond.load_state_dict(states["conditional"]["enc"])
    united.dec_cond.load_state_dict(states["conditional"]["dec"])
    z_ref = before.encode(store.references(np.arange(4)))
    for name in UNITED:
        known = nearest if name == "rings" else name
        np.testing.assert_allclose(united.decode(z_ref, name), before.decode(z_ref, known), atol=1e-6)


def test_every_epoch_has_as_many_copies_for_few_cells_as_for_many(bundle, store):
    assert adapting_config(bundle, CellStore(store.path, "train")).deformed_copies == round(480 / 25)


def test_the_test_split_has_no_part_in_the_training(bundle, store):
    train = CellStore(store.path, "train").in_classes_of(UNITED)
    cells, choosing = learning_cells(train, toy_recipe(bundle, store), "conditional")
    assert isinstance(choosing, CellsAt)
    assert len(choosing) == 5
    assert len(cells) == 2 * 20
    every = np.concatenate([cells.images(np.arange(20)), choosing.images(np.arange(5))])
    assert len(np.unique(every.reshape(25, -1), axis=0)) == 25
    known = {image.tobytes() for image in train.images(np.arange(25)).numpy()}
    assert {image.tobytes() for image in every} == known


def test_the_networks_of_the_best_epoch_are_used(run):
    config = read_config(run / "config.yaml")
    for phase, column, best in (
        ("reference", "held_out_reconstruction", min),
        ("conditional", "held_out_at_mode", max),
    ):
        rows = read_losses(run / phase)
        assert [row["epoch"] for row in rows] == ["0", "1", "2"]
        wanted = best(rows, key=lambda row: float(row[column]))["epoch"]
        (status,) = (one for one in run_status(run).phases if one.name == phase)
        assert status.best_epoch == int(wanted)
    assert fitted_model(run).config == config.model


def test_a_phase_that_gets_worse_keeps_the_networks_of_the_bundle(bundle, store, tmp_path):
    config = toy_recipe(bundle, store, learning_rate=3.0, warm_up=0)
    fit_store(store.path, config, tmp_path / "run", phase="reference", device="cpu")
    from napari_ic_train.run.fitted_networks import fitted_reference

    kept, before = fitted_reference(tmp_path / "run"), load_model(bundle, device="cpu", exact=True)
    for name, tensor in before.enc_ref.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(kept.enc.state_dict()[name], tensor), name


@pytest.mark.parametrize("at", [2, 5])
def test_a_stopped_run_ends_like_an_unbroken_one(run, bundle, store, tmp_path, monkeypatch, at):
    out = tmp_path / "run"
    left = [at]

    def stopped(job):
        steps = job.phase.update

        def update() -> None:
            steps()
            left[0] -= 1
            if left[0] == 0:
                job.cancel.cancel()

        job.phase.update = update
        run_phase(job)

    monkeypatch.setattr("napari_ic_train.fit.trainer.run_phase", stopped)
    with pytest.raises(Cancelled):
        fit_store(store.path, toy_recipe(bundle, store), out, device="cpu")
    monkeypatch.undo()
    fit_store(store.path, read_config(out / "config.yaml"), out, device="cpu", resume=True)
    for phase in PHASES:
        ours, theirs = last_tensors(run, phase), last_tensors(out, phase)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert untimed(run, phase) == untimed(out, phase)


def test_the_bundle_of_an_adapted_run_opens_and_its_card_says_what_it_beats(run, store, tmp_path):
    out = export_bundle(run, store, tmp_path / "mine", name="mine", licence="CC0-1.0", weights="float32")
    model = load_model(out, device="cpu")
    assert model.config.structures == UNITED
    assert set(model.latent.z_struct) == {"tubes", "sheets", "rings"}
    assert model.typicality is not None
    assert [mark.stage for mark in model.landmarks]
    facts = model.card["adapted_from"]
    assert (facts["model"], facts["cells"], facts["without_cells"]) == ("before", 25, ["dots"])
    text = read_model_card(out)
    assert "Adapted from the model 'before'" in text
    assert "No cell of dots was among these cells" in text
    found = model.card["metrics"]["localisation"]
    assert set(found) == {"tubes", "sheets", "rings"}
    for score in found.values():
        assert ("beats the mean image" in text) or score["model"] <= score["mean_image"]


def test_the_command_adapts_and_its_own_settings_can_be_changed(bundle, store, tmp_path):
    out = tmp_path / "run"
    words = ["fit", "--from", bundle, "--data", store.path, "--out", out, "--device", "cpu", "--epochs", 1]
    done = cli(*words, "--precision", "fp32", "--set", "deformed_copies=1")
    assert done.exit_code == 0, done.output
    config = read_config(out / "config.yaml")
    assert config.adapted_from.bundle == str(bundle.resolve())
    assert config.model.structures == UNITED
    again = cli("fit", "--data", store.path, "--out", out, "--resume", "--device", "cpu")
    assert again.exit_code == 0, again.output


def test_what_cannot_be_adapted_is_said_in_one_sentence(bundle, store, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    (damaged / "weights" / "dec_cond.safetensors").write_bytes(b"half of it")
    few = own_store(tmp_path / "few", keep=9)
    manifest = json.loads((store.path / "images.zarr" / ".zattrs").read_text())
    other = tmp_path / "other"
    shutil.copytree(store.path, other)
    (other / "images.zarr" / ".zattrs").write_text(json.dumps(manifest | {"voxel_size": 0.5}))
    for start, data, says in (
        (damaged, store.path, "damaged"),
        (bundle, few.path, "adapting a model needs 8 or more"),
        (bundle, other, "prepare the store with --model BUNDLE"),
        ("demo", store.path, "prepare the store with --model BUNDLE"),
        ("nothing", store.path, "There is no model 'nothing'"),
    ):
        done = cli("fit", "--from", start, "--data", data, "--out", tmp_path / "run", "--device", "cpu")
        assert done.exit_code == 1
        assert says in done.output.replace("\n", " "), done.output
        assert not (tmp_path / "run").exists()
    both = cli("fit", "--from", bundle, "--preset", "demo", "--data", store.path, "--out", tmp_path / "run")
    assert "without --preset" in both.output


def test_another_bundle_at_the_same_place_is_refused(bundle, store, tmp_path):
    config = toy_recipe(bundle, store)
    fields = config.adapted_from.model_dump() | {"fingerprint": "0" * 64}
    changed = TrainingConfig.model_validate(config.model_dump() | {"adapted_from": fields})
    with pytest.raises(ValueError, match="another one than at the start of the run"):
        fit_store(store.path, changed, tmp_path / "run", device="cpu")


def test_cells_without_a_structure_teach_phase_1_only(bundle, tmp_path):
    path = tmp_path / "own"
    own_store(path)
    table = pd.read_parquet(path / TABLE)
    nameless = table.index[table["split"] == "train"][:6]
    table.loc[nameless, "split"], table.loc[nameless, "structure"] = "shape", None
    table.to_parquet(path / TABLE)
    store = CellStore(path)
    config = toy_recipe(bundle, store, deformed_copies=0)
    train = CellStore(path, "train").in_classes_of(UNITED)
    first, _ = learning_cells(train, config, "reference")
    second, choosing = learning_cells(train, config, "conditional")
    assert (len(first), len(second), len(choosing)) == (22, 16, 3)
    assert np.asarray(second.labels).min() >= 0
    run = tmp_path / "run"
    fit_store(path, config, run, device="cpu")
    out = export_bundle(run, store, tmp_path / "mine", name="mine", licence="CC0-1.0", weights="float32")
    card = load_model(out, device="cpu").card
    assert card["provenance"]["cells without a structure, for phase 1 only"] == 6
    assert card["provenance"]["held-out cells"] == 11
