"""A run, a store and a bundle that version 0.1 wrote still open, and go on."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from napari_ic_train.cli import app
from napari_ic_train.config import read_config, validated
from napari_ic_train.data.store import CellStore
from napari_ic_train.run.checkpoint import checkpoints, read_point
from napari_integrated_cell.model import archive
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.config import ModelConfig

FILES = Path(__file__).parents[1] / "examples" / "version_0_1.zip"
DELETED = {"warm_start": False, "struct_given_ref": False}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The unpacked files: ``store/``, ``run/``, ``bundle.zip``."""
    with zipfile.ZipFile(FILES) as packed:
        packed.extractall(tmp_path)
    return tmp_path


def cli(*words: object) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


def test_the_files_hold_the_deleted_options(files: Path) -> None:
    config = yaml.safe_load((files / "run" / "config.yaml").read_text())
    assert (config["warm_start"], config["model"]["struct_given_ref"]) == (False, False)
    assert config["light_weights"] == "none"
    with zipfile.ZipFile(files / "bundle.zip") as bundle:
        assert json.loads(bundle.read(archive.MANIFEST))["config"]["struct_given_ref"] is False


def test_status_reads_the_run(files: Path) -> None:
    found = json.loads(cli("status", files / "run", "--json").stdout)
    assert [phase["epochs_done"] for phase in found["phases"]] == [2, 2]
    assert "conditional phase: 2 of 2 epochs" in cli("status", files / "run").output


def test_a_run_goes_on(files: Path) -> None:
    run = files / "run"
    cli("fit", "--data", files / "store", "--out", run, "--resume", "--device", "cpu", "--epochs", 3)
    for phase in ("reference", "conditional"):
        assert read_point(checkpoints(run / phase)[-1]).epoch == 3
    assert not DELETED.keys() & yaml.safe_load((run / "config.yaml").read_text()).keys()


def test_a_run_is_exported_as_the_bundle_that_version_0_1_made(files: Path) -> None:
    out = files / "again.zip"
    words = ("--data", files / "store", "--out", out, "--name", "again", "--device", "cpu")
    cli("export", files / "run", *words)
    old, new = load_model(files / "bundle.zip", device="cpu"), load_model(out, device="cpu")
    assert old.config == new.config
    for name, network in old.networks.items():
        other = new.networks[name].state_dict()
        # Version 0.1 rounded this bundle's weights.
        for key, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, other[key], rtol=1e-2, atol=1e-3)
    assert [mark.cell_id for mark in old.landmarks] == [mark.cell_id for mark in new.landmarks]


def test_the_metric_of_landmarks_is_kept(files: Path) -> None:
    folder = files / "run" / "landmarks"
    contents = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != archive.CHECKSUMS
    }
    chosen = contents["landmarks.json"].replace(b"cityblock", b"chebyshev")
    archive.write(folder, list((contents | {"landmarks.json": chosen}).items()))
    words = ("landmarks", files / "run", "--data", files / "store", "--device", "cpu", "--json")
    assert {mark["metric"] for mark in json.loads(cli(*words).stdout)["landmarks"]} == {"chebyshev"}


def test_landmarks_are_kept_or_chosen_again(files: Path) -> None:
    words = ("landmarks", files / "run", "--data", files / "store", "--device", "cpu", "--json")
    kept = json.loads(cli(*words).stdout)
    assert {mark["metric"] for mark in kept["landmarks"]} == {"cityblock"}
    chosen = json.loads(cli(*words, "--metric", "euclidean").stdout)
    assert {mark["metric"] for mark in chosen["landmarks"]} == {"euclidean"}
    assert chosen["missing"] == kept["missing"]


def test_a_bundle_opens_and_encodes_the_store(files: Path) -> None:
    model, store = load_model(files / "bundle.zip", device="cpu"), CellStore(files / "store")
    z_ref = model.encode(store.references(np.arange(3)))
    assert z_ref.shape == (3, model.config.n_ref)
    assert np.isfinite(z_ref).all()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"warm_start": True}, "'warm_start: True'"),
        ({"model": {"preset": "tiny", "struct_given_ref": True}}, "'struct_given_ref: True'"),
        ({"light_weights": "dimmed"}, "'light_weights' is 'dimmed'"),
    ],
)
def test_an_option_that_was_deleted_is_refused_in_one_sentence(
    fields: dict, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"model": "tiny"} | fields))
    with pytest.raises(ValueError, match=r"version 0\.1 had") as error:
        read_config(path)
    assert sentence in str(error.value)
    assert ". " not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_defaults_of_deleted_options_are_accepted() -> None:
    model = ModelConfig.model_validate({"struct_given_ref": False})
    config = validated({"model": model.model_dump() | {"struct_given_ref": False}, "warm_start": False})
    assert config.model == model
    assert not DELETED.keys() & (config.model_dump().keys() | model.model_dump().keys())


def test_a_bundle_with_a_deleted_option_is_refused_in_one_sentence(files: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(files / "bundle.zip") as bundle:
        bundle.extractall(tmp_path / "spoilt")
    path = tmp_path / "spoilt" / archive.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["config"]["struct_given_ref"] = True
    contents = {
        file.relative_to(tmp_path / "spoilt").as_posix(): file.read_bytes()
        for file in (tmp_path / "spoilt").rglob("*")
        if file.is_file() and file.name != archive.CHECKSUMS
    } | {archive.MANIFEST: json.dumps(manifest).encode()}
    archive.write(tmp_path / "resealed", list(contents.items()))
    with pytest.raises(ValueError, match=r"version 0\.1 had the option 'struct_given_ref: True'"):
        load_model(tmp_path / "resealed", device="cpu")
