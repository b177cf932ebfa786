"""Export a run as a bundle: its content, the type of its weights, and where it is listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from toy_run import STAGES
from toy_training import MODEL
from typer.testing import CliRunner

from napari_ic_train.bundle.export import export_bundle
from napari_ic_train.bundle.fitted import FOLDER, fitted_model
from napari_ic_train.bundle.held_out import decoding_difference, score_held_out
from napari_ic_train.bundle.model_card import model_card
from napari_ic_train.commands.export import export as export_command
from napari_ic_train.config import PhaseConfig, read_config, write_config
from napari_integrated_cell.cli import app as napari_ic
from napari_integrated_cell.model import catalogue
from napari_integrated_cell.model.bundle import (
    as_stored,
    load_model,
    read_model_card,
    save_bundle,
)
from napari_integrated_cell.vocabulary import STAGE_NAMES

torch.set_num_threads(1)


def test_the_bundle_carries_landmarks_statistics_metrics_and_provenance(exported, run, store) -> None:
    model = load_model(exported, device="cpu")
    assert model.name == "toy"
    assert [mark.stage for mark in model.landmarks] == [name for name in STAGE_NAMES if name in STAGES]
    assert all(mark.thumbnail and mark.decoded_thumbnail for mark in model.landmarks)
    fitted = fitted_model(run)
    for name, network in model.networks.items():
        other = fitted.networks[name].state_dict()
        assert all(torch.equal(t, other[k]) for k, t in network.state_dict().items() if t.is_floating_point())
    for mark in model.landmarks:
        position = np.flatnonzero(store.table["CellId"] == mark.cell_id)
        np.testing.assert_allclose(model.encode(store.references(position))[0], mark.z_ref, atol=1e-6)
    assert tuple(model.latent.z_struct) == MODEL.structures
    n_held_out = sum(n for n, _ in STAGES.values())
    assert model.card["metrics"]["held_out"]["n_cells"] == n_held_out
    assert model.card["weights"] == {"stored_as": "float32"}
    assert model.card["licence"] == "CC0-1.0"
    assert model.card["provenance"]["training cells"] == "25 simulated cells (toys)"
    assert set(model.card["stages"]) == set(STAGES)


def test_a_phase_that_its_clock_ended_is_said_to_have_the_epochs_it_had(run, store, tmp_path) -> None:
    config = read_config(run / "config.yaml")
    done = {phase: getattr(config, phase).epochs for phase in ("reference", "conditional")}
    cut = {phase: PhaseConfig(epochs=1000, max_minutes=1e-9) for phase in done}
    short = tmp_path / "short"
    shutil.copytree(run, short)
    write_config(config.model_copy(update=cut), short / "config.yaml")
    out = export_bundle(short, store, tmp_path / "b", name="toy", licence="CC0-1.0", weights="float32")
    provenance = catalogue.read_manifest(out).card.provenance
    assert [provenance[f"{phase} phase"].split()[0] for phase in done] == [str(n) for n in done.values()]


def test_the_card_shows_them(exported) -> None:
    text = read_model_card(exported)
    model = load_model(exported, device="cpu")
    assert "Trained on simulated cells only" in text
    assert "- licence: CC0-1.0" in text
    assert "cityblock distance" in text
    for mark in model.landmarks:
        assert f"| {mark.cell_id} | {mark.n_held_out} | {mark.n_cells} | {mark.note} |" in text
    assert "Stages without cells have no landmark: Prophase 2, " in text
    assert "| z^r, cell and nuclear shape | 25 | 4 |" in text
    for name, space in model.latent.z_struct.items():
        assert f"| z^s, {name} | {space.n} | 3 |" in text
    assert f"{model.card['metrics']['held_out']['label_accuracy']:.3f}" in text


def test_landmarks_that_were_chosen_before_are_taken(run, store, tmp_path) -> None:
    from napari_ic_train.bundle.fitted import measure

    measure(fitted_model(run), store, run, metric="chebyshev")
    path = export_bundle(run, store, tmp_path / "b.zip", name="b", licence="CC0-1.0")
    assert {mark.metric for mark in load_model(path, device="cpu").landmarks} == {"chebyshev"}
    measure(fitted_model(run), store, run, metric="cityblock")


# How weights are stored.


@pytest.mark.parametrize(("weights", "dtype"), [("bf16", "bfloat16"), ("float16", "float16")])
def test_rounded_weights_come_with_the_difference_they_make(
    exported, run, store, tmp_path, weights, dtype
) -> None:
    path = export_bundle(run, store, tmp_path / "b", name="b", licence="CC0-1.0", weights=weights)
    full, rounded = load_model(exported, device="cpu"), load_model(path, device="cpu")
    said = rounded.card["weights"]
    assert said["stored_as"] == dtype
    assert said["cells"] == 11
    assert said["held_out"] is True
    differences = []
    for position in np.flatnonzero(store.table["split"] == "test"):
        image = store.images(np.array([position]))
        for x in (image[:, :-1], image):
            differences.append(np.abs(full.reconstruct(x) - rounded.reconstruct(x)).ravel())
    together = np.concatenate(differences)
    assert together.max() > 0
    assert said["mean_absolute_difference"] == pytest.approx(together.mean(), rel=1e-3)
    assert said["max_absolute_difference"] == pytest.approx(together.max(), rel=1e-3)
    text = read_model_card(path)
    assert f"stored as {dtype}; compared with float32" in text
    assert f"{together.mean():.1e} on average and by {together.max():.1e} at most" in text


def test_a_model_as_stored_is_what_the_bundle_gives_back(run, tmp_path) -> None:
    model = fitted_model(run)
    before = {k: t.clone() for k, t in model.enc_ref.state_dict().items()}
    stored = as_stored(model, "bfloat16")
    path = save_bundle(model, tmp_path / "b", card={}, model_card_markdown="", dtype="bfloat16")
    loaded = load_model(path, device="cpu")
    for name, network in loaded.networks.items():
        other = stored.networks[name].state_dict()
        assert all(torch.equal(t, other[k]) for k, t in network.state_dict().items() if t.is_floating_point())
    assert all(torch.equal(t, before[k]) for k, t in model.enc_ref.state_dict().items())


def test_weights_beyond_the_range_are_not_stored_as_infinity(run) -> None:
    model = fitted_model(run)
    weight = next(p for p in model.dec_cond.parameters() if p.ndim > 1)
    with torch.no_grad():
        weight.view(-1)[0] = 1e6
    with pytest.raises(
        ValueError, match=r"of dec_cond cannot be stored as float16: some are beyond its range"
    ):
        as_stored(model, "float16")
    as_stored(model, "bfloat16")


def test_unknown_weights_are_refused_before_anything_is_measured(run, store, tmp_path) -> None:
    with pytest.raises(ValueError, match="as int4: choose float32, bf16, float16"):
        export_bundle(run, store, tmp_path / "b", name="b", licence="", weights="int4")
    assert not (tmp_path / "b").exists()


def test_an_unfinished_run_is_refused(run, store, tmp_path) -> None:
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(ValueError, match="not finished"):
        export_bundle(tmp_path, store, tmp_path / "b", name="b", licence="")


# Held-out cells.


def test_held_out_labels_are_scored(run, store) -> None:
    model = fitted_model(run)
    rows = np.flatnonzero(store.table["split"] == "test")
    predicted = model.classify(store.images(rows)).argmax(1)
    scores = score_held_out(model, store)
    assert scores["label_accuracy"] == pytest.approx((predicted == store.labels[rows]).mean())
    for label, name in enumerate(MODEL.structures):
        own = store.labels[rows] == label
        assert scores["label_recall"][name] == pytest.approx((predicted[own] == label).mean())
    assert scores["macro_recall"] == pytest.approx(np.mean(list(scores["label_recall"].values())))


def test_with_no_cell_held_out_there_is_no_score_and_training_cells_are_compared(
    run, store, monkeypatch
) -> None:
    model = fitted_model(run)
    monkeypatch.setattr(store, "table", store.table.assign(split="train"))
    assert score_held_out(model, store) is None
    said = decoding_difference(model, as_stored(model, "bfloat16"), store, most=3)
    assert said["held_out"] is False
    assert said["cells"] == 3


# The command, and where the model is found.


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(export_command)
    return app


@pytest.fixture
def user_models(monkeypatch, tmp_path) -> Path:
    monkeypatch.setattr(catalogue, "models_folder", lambda: tmp_path / "models")
    return tmp_path / "models"


def test_a_model_exported_into_the_users_folder_is_listed_and_opened_by_name(run, store, user_models) -> None:
    said = CliRunner().invoke(
        _app(), [str(run), "--data", str(store.path), "--out", str(user_models / "toy"), "--device", "cpu"]
    )
    assert said.exit_code == 0, said.output
    assert "napari lists it" not in said.stdout
    listed = CliRunner().invoke(napari_ic, ["models", "--json"])
    assert "toy" in [entry["name"] for entry in json.loads(listed.stdout)["models"]], listed.output
    model = load_model("toy", device="cpu")
    assert model.card["weights"] == {"stored_as": "float32"}
    assert len(model.landmarks) == len(STAGES)


@pytest.mark.gui
def test_the_plugin_lists_it(run, store, user_models, qtbot, monkeypatch) -> None:
    from napari_integrated_cell.plugin.integrate.choose_model import ModelChooser
    from napari_integrated_cell.plugin.session import Session

    export_bundle(run, store, user_models / "toy.zip", name="toy", licence="CC0-1.0")
    session = Session()
    chooser = ModelChooser(session)
    qtbot.addWidget(chooser)
    qtbot.waitUntil(lambda: chooser.model.findData("toy") >= 0, timeout=60_000)
    chooser.close_down()


def test_elsewhere_the_command_says_where_napari_looks(run, store, user_models, tmp_path) -> None:
    said = CliRunner().invoke(
        _app(),
        [
            *(str(run), "--data", str(store.path), "-o", str(tmp_path / "b.zip"), "--weights", "bf16"),
            *("--device", "cpu", "--name", "cells", "--licence", "CC0-1.0"),
        ],
    )
    assert said.exit_code == 0, said.output
    assert str(user_models) in " ".join(said.stdout.split())
    model = load_model(tmp_path / "b.zip", device="cpu")
    assert (model.name, model.card["licence"]) == ("cells", "CC0-1.0")
    assert (run / FOLDER / "landmarks.json").is_file()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({}, "does not name the store that it was fitted on: give the training store (--data)."),
        ({"sittings": [{"store": "/gone"}]}, "which does not exist: give the training store (--data)."),
    ],
)
def test_a_store_that_is_not_found_is_asked_for_by_its_option(run, tmp_path, record, sentence) -> None:
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    (moved / "run.json").write_text(json.dumps(record))
    said = CliRunner().invoke(_app(), [str(moved), "--out", str(tmp_path / "b")])
    assert said.exit_code == 1
    assert sentence in " ".join(said.output.split())


# The card's text.


def _real(**more: object) -> dict:
    shares = {"tubes": 0.91, "dots": 0.87}
    return {"n_cells": 2, "inside_cell_mean": shares, "inside_cell_least": shares, **more}


def test_shares_before_masking_stand_beside_those_given() -> None:
    card = {"simulated": False, "licence": "", "provenance": {}, "metrics": {"real": _real()}}
    text = model_card("m", "d", card)
    assert "| tubes | 0.910 | 0.910 |\n" in text
    assert "before masking, mean over cells" not in text
    unmasked = {"tubes": 0.55, "dots": 0.66}
    card["metrics"] = {"real": _real(inside_cell_unmasked_mean=unmasked)}
    text = model_card("m", "d", card)
    assert "| tubes | 0.910 | 0.910 | 0.550 |\n" in text
    assert "before masking" in text
