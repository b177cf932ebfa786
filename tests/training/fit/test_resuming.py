"""A stopped or killed run resumes with the same result, bit for bit. Also the files in its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_training
from safetensors.torch import load_file
from toy_training import Cut, ToyCells, assert_same_run, last_tensors, rows, toy_config, untimed

from napari_ic_train.config import PhaseConfig, read_config
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_ic_train.run.checkpoint import BEST, checkpoints, read_checkpoint
from napari_ic_train.run.fitted_networks import fitted_conditional, fitted_reference
from napari_integrated_cell.model.runtime import Cancelled, CancelToken


def test_a_run_is_a_folder_that_explains_itself(whole_run: Path) -> None:
    assert read_config(whole_run / "config.yaml") == toy_config()
    for phase, own in (("reference", []), ("conditional", ["structure", "latent"])):
        table = rows(whole_run, phase)
        assert [row["epoch"] for row in table] == ["1", "2", "3", "4"]
        adversarial = [
            "encoder_deception",
            "decoder_deception",
            "encoding_discriminator",
            "decoding_discriminator",
        ]
        assert list(table[0]) == [
            "epoch",
            "seconds",
            "cells_per_second",
            "reconstruction",
            *own,
            *adversarial,
            "code_mean",
            "code_std",
            "memory_gb",
            "warnings",
        ]
        assert len(checkpoints(whole_run / phase)) == toy_config().keep_checkpoints
        assert not list((whole_run / phase).glob("*.part"))


def test_the_same_seed_gives_the_same_run_and_another_another(whole_run: Path, tmp_path: Path) -> None:
    fit_reference(ToyCells(), toy_config(), tmp_path / "again", device="cpu")
    assert_same_run(tmp_path / "again", whole_run, "reference")
    fit_reference(ToyCells(), toy_config(seed=4), tmp_path / "other", device="cpu")
    assert untimed(tmp_path / "other", "reference") != untimed(whole_run, "reference")


@pytest.mark.parametrize("at", [1, 3, 5, 8])
def test_cancel_keeps_every_batch_and_resume_is_bit_exact(at: int, whole_run: Path, tmp_path: Path) -> None:
    for phase, fit in (("reference", fit_reference), ("conditional", fit_conditional)):
        token = CancelToken()
        # Phase 2 reads every cell once before it trains.
        cells = Cut(at + (2 if phase == "conditional" else 1), token)
        with pytest.raises(Cancelled, match="resume it to continue"):
            fit(cells, toy_config(), tmp_path, device="cpu", cancel=token)
        fit(ToyCells(), toy_config(), tmp_path, device="cpu", resume=True)
        assert_same_run(tmp_path, whole_run, phase)


def test_a_cancelled_phase_is_not_a_fitted_one(tmp_path: Path) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        fit_reference(Cut(6, token), toy_config(), tmp_path, device="cpu", cancel=token)
    with pytest.raises(ValueError, match=r"reference phase of .* is not finished"):
        fit_conditional(ToyCells(), toy_config(), tmp_path, device="cpu")


def test_a_vanished_store_leaves_the_last_epoch(whole_run: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the store is gone"):
        fit_reference(Cut(11), toy_config(), tmp_path, device="cpu")
    position, _ = read_checkpoint(checkpoints(tmp_path / "reference")[-1])
    assert (position.epoch, position.batch) == (2, 0)
    fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu", resume=True)
    assert_same_run(tmp_path, whole_run, "reference")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_twenty_kills_change_no_bit(tmp_path: Path) -> None:
    script = Path(toy_training.__file__).with_name("kill_series.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "1"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    series = json.loads(done.stdout)
    deaths = [death for phase in series.values() for death in phase]
    assert [death["killed"] for death in deaths] == [True] * 20
    for death in deaths:
        if death["moment"] != "anywhere":
            assert bool(death["half"]) == (death["moment"] != "renamed"), death
    assert any(death["last"] and not death["last"].endswith("-000000.safetensors") for death in deaths)
    for phase in series:
        assert len({death["last"] for death in series[phase]}) > 3, "it never came far"
        assert_same_run(tmp_path / "broken", tmp_path / "unbroken", phase)
        best = [load_file(tmp_path / run / phase / BEST) for run in ("broken", "unbroken")]
        assert all(torch.equal(tensor, best[1][name]) for name, tensor in best[0].items())
        assert not list((tmp_path / "broken" / phase).glob("*.part"))


def test_fitted_networks_are_those_that_were_trained(tmp_path: Path) -> None:
    trained = fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu")
    x = ToyCells().references(np.arange(3))
    loaded = fitted_reference(tmp_path)
    for ours, theirs in zip(trained, loaded, strict=True):
        there = theirs.state_dict()
        assert all(torch.equal(value, there[name]) for name, value in ours.state_dict().items())
    # The trained ones lie in memory with their channels last: other kernels may round otherwise.
    with torch.no_grad():
        torch.testing.assert_close(trained.dec(trained.enc(x)), loaded.dec(loaded.enc(x)))
    assert not any(network.training for network in (*trained, *loaded))
    with pytest.raises(ValueError, match=r"conditional phase of .* is not finished"):
        fitted_conditional(tmp_path)


def test_resuming_a_finished_run_changes_nothing_and_more_epochs_go_on(
    whole_run: Path, tmp_path: Path
) -> None:
    short = toy_config(reference=PhaseConfig(epochs=2))
    fit_reference(ToyCells(), short, tmp_path, device="cpu")
    before = last_tensors(tmp_path, "reference")
    fit_reference(ToyCells(), short, tmp_path, device="cpu", resume=True)
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in last_tensors(tmp_path, "reference").items()
    )
    fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu", resume=True)
    assert_same_run(tmp_path, whole_run, "reference")


def test_a_folder_with_a_run_is_not_overwritten(whole_run: Path) -> None:
    with pytest.raises(ValueError, match="already holds a reference phase"):
        fit_reference(ToyCells(), toy_config(), whole_run, device="cpu")
    with pytest.raises(ValueError, match="another configuration"):
        fit_reference(ToyCells(), toy_config(learning_rate=1e-3), whole_run, device="cpu", resume=True)
