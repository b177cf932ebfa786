"""Parts of ``fit`` besides the training: options, the run's record, watchers, stopping, missing stores."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fit_once
import pytest
import torch
import yaml
from fit_once import app
from toy_run import toy_store
from toy_training import MODEL, toy_config
from typer.testing import CliRunner, Result

from napari_ic_train.commands.overrides import overridden
from napari_ic_train.config import read_config, write_config
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.training_cells import StoreCells
from napari_ic_train.fit.fit_store import continue_command, fit_store
from napari_ic_train.fit.precision import _warn
from napari_ic_train.run.checkpoint import BEST, checkpoints, read_point
from napari_ic_train.run.fitted_networks import fitted_conditional, fitted_reference
from napari_ic_train.run.folder import PHASES, best_epoch, read_losses
from napari_ic_train.run.record import read_record
from napari_ic_train.run.status import run_status

PROGRAM = Path(fit_once.__file__)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_store(tmp_path_factory.mktemp("toys") / "store").path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    length = {"epochs": 3}
    write_config(toy_config(reference=length, conditional=length, picture_every=2), path)
    return path


@pytest.fixture(scope="module")
def run(store: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    done = cli("fit", "--data", store, "--out", out, "--config", recipe, "--device", "cpu", "--batch-size", 8)
    assert done.exit_code == 0, done.output
    return out


def cli(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_run_leaves_a_folder_that_explains_itself(run: Path, store: Path) -> None:
    assert read_config(run / "config.yaml").batch_size == 8
    (sitting,) = read_record(run)
    assert sitting["outcome"] == "finished"
    assert sitting["store"] == str(store)
    assert (sitting["training cells"], sitting["seed"], sitting["processes"]) == (25, 3, 1)
    assert sitting["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert sitting["git"] is None or len(sitting["git"]["commit"]) == 40
    readme = (run / "README.md").read_text()
    assert sitting["continue"] in readme
    assert shlex.split(sitting["continue"])[:2] == ["napari-ic-train", "fit"]
    for phase in PHASES:
        rows = read_losses(run / phase)
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        assert all(float(row["held_out_reconstruction"]) > 0 and float(row["code_std"]) > 0 for row in rows)
        best = min(rows, key=lambda row: float(row["held_out_reconstruction"]))
        assert best_epoch(run / phase) == int(best["epoch"])
        assert read_point(run / phase / BEST).epoch == int(best["epoch"])
        assert list((run / "tensorboard" / phase).glob("events.*"))
    assert all(0 <= float(row["held_out_accuracy"]) <= 1 for row in read_losses(run / "conditional"))
    drawn = sorted(path.name for path in (run / "pictures").iterdir())
    assert drawn == [f"{phase}-00000{n}.png" for phase in sorted(PHASES) for n in (2, 3)]
    assert not list(run.rglob("*.part"))


def test_the_best_networks_are_those_of_the_best_epoch(run: Path) -> None:
    for phase, fitted in zip(PHASES, (fitted_reference, fitted_conditional), strict=True):
        best, last = fitted(run, best=True), fitted(run)
        same = torch.equal(best.dec.project.weight, last.dec.project.weight)
        assert same == (best_epoch(run / phase) == 3)


def test_watching_changes_nothing(run: Path, store: Path, recipe: Path, tmp_path: Path) -> None:
    from napari_ic_train.fit.trainer import fit_reference

    config = overridden(read_config(recipe), ["batch_size=8"])
    plain = fit_reference(
        StoreCells(CellStore(store, "train"), in_memory=True), config, tmp_path, device="cpu"
    )
    watched = fitted_reference(run)
    for a, b in zip(plain.enc.state_dict().values(), watched.enc.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_status_tells_it_in_words_and_for_machines(run: Path) -> None:
    said = cli("status", run)
    assert said.exit_code == 0
    assert "finished" in said.output
    assert "reference phase: 3 of 3 epochs" in said.output
    assert "held_out_reconstruction" in said.output
    found = json.loads(cli("status", run, "--json").output)
    assert [phase["epochs_done"] for phase in found["phases"]] == [3, 3]
    assert cli("status", run.parent).exit_code == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "learning_rate=-1"], "'learning_rate' is -1"),
        (["--set", "learnin_rate=1"], "has no field 'learnin_rate'"),
        (["--set", "model.n_rf=3"], "has no field 'model.n_rf'"),
        (["--set", "seed.n=3"], "has no field 'seed.n'"),
        (["--set", "seed"], "'seed' sets no field"),
        (["--precision", "fp8"], "'precision' is 'fp8'"),
        (["--batch-size", "1"], "'batch_size' is 1"),
        (["--epochs", "0"], "'reference.epochs' is 0"),
        (["--phase", "third"], "no phase 'third'"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--resume"], "holds no run to resume"),
        (["--preset", "tiny"], "not both"),
        (["--set", "model.structures=[tubes, sheets]"], "the store holds tubes, sheets, dots"),
        (["--set", "model.structures=[tubes]"], "another store (--set 'model.structures=[...]')."),
        (["--set", "accumulate=4"], "leave 0 cells for a pass"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    words: list[str], sentence: str, store: Path, recipe: Path, tmp_path: Path
) -> None:
    done = cli("fit", "--data", store, "--out", tmp_path / "run", "--config", recipe, *words)
    assert done.exit_code == 1
    assert sentence in done.output
    assert not checkpoints(tmp_path / "run" / "reference")


def test_settings_reach_any_field_of_any_type() -> None:
    config = overridden(
        toy_config(),
        [
            "learning_rate=1e-3",
            "betas=[0.9, 0.99]",
            "model.n_ref=7",
            "reference.epochs=9",
            "clip_gradients=null",
        ],
    )
    assert (config.learning_rate, config.betas, config.model.n_ref) == (1e-3, (0.9, 0.99), 7)
    assert (config.reference.epochs, config.conditional.epochs, config.clip_gradients) == (9, 4, None)
    assert config.model.enc_ref_widths == MODEL.enc_ref_widths


def test_resume_keeps_the_run_s_own_configuration_and_more_epochs_go_on(
    run: Path, store: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    done = cli(
        "fit", "--data", store, "--out", tmp_path / "run", "--resume", "--epochs", 4, "--phase", "reference"
    )
    assert done.exit_code == 0, done.output
    assert [row["epoch"] for row in read_losses(tmp_path / "run" / "reference")] == ["1", "2", "3", "4"]
    assert len(read_record(tmp_path / "run")) == 2
    done = cli("fit", "--data", store, "--out", tmp_path / "run", "--preset", "tiny")
    assert done.exit_code == 1


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], ready: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_prints_the_command_that_continues(
    asked: signal.Signals, store: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a run"
    process = start(
        "fit", "--data", store, "--out", out, "--config", recipe, "--epochs", 400, "--set", "picture_every=0"
    )
    wait_for(process, lambda: checkpoints(out / "reference"))
    alive = run_status(out)
    assert alive.alive
    assert "running (process" in alive.lines()[0]
    process.send_signal(asked)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    command = said.rsplit("Continue with: ", 1)[1].strip()
    assert command == continue_command(store, out, "both", "auto")
    assert command in "\n".join(run_status(out).lines())
    assert read_record(out)[-1]["outcome"] == "stopped"
    stopped = read_point(checkpoints(out / "reference")[-1])
    _, *words = shlex.split(command)
    done = cli(*words, "--phase", "reference", "--set", f"reference.epochs={stopped.epoch + 2}")
    assert done.exit_code == 0, done.output
    assert [int(row["epoch"]) for row in read_losses(out / "reference")] == list(range(1, stopped.epoch + 3))


@pytest.mark.slow
def test_status_knows_a_dead_process(store: Path, recipe: Path, tmp_path: Path) -> None:
    process = start("fit", "--data", store, "--out", tmp_path, "--config", recipe, "--epochs", 400)
    wait_for(process, lambda: checkpoints(tmp_path / "reference"))
    process.kill()
    process.communicate()
    found = run_status(tmp_path)
    assert found.alive is False
    assert "dead" in found.lines()[0]
    assert found.lines()[-1].startswith("continue it with: napari-ic-train fit")


def test_a_store_that_vanishes_is_said_and_the_last_checkpoint_stays(
    store: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "store"
    shutil.copytree(store, mine)
    monkeypatch.setattr("napari_ic_train.data.training_cells.fits_in_memory", lambda store: False)

    def vanish(self: object, report: object, phase: object) -> None:
        shutil.rmtree(mine, ignore_errors=True)

    monkeypatch.setattr("napari_ic_train.run.watching.Terminal.epoch", vanish)
    with pytest.raises(OSError, match=r"training store .* is missing: restore it, then resume"):
        fit_store(mine, overridden(read_config(recipe), ["picture_every=0"]), tmp_path / "run", device="cpu")
    assert read_point(checkpoints(tmp_path / "run" / "reference")[-1]).epoch == 1
    assert read_record(tmp_path / "run")[-1]["outcome"].startswith("failed: The training store")


def test_a_missing_chunk_is_not_learnt_as_darkness(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    (tmp_path / "store" / "images.zarr" / "7.0.0.0.0").unlink()
    found = CellStore(tmp_path / "store")
    with pytest.raises(OSError, match="cannot be read"):
        StoreCells(found, in_memory=False).images(torch.arange(len(found)).numpy())


def test_bf16_falls_back_to_fp32_and_says_so_once(
    store: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ic_train.fit.precision.has_bf16", lambda device: False)
    _warn.cache_clear()
    config = overridden(read_config(recipe), ["precision=bf16", "reference.epochs=1", "conditional.epochs=1"])
    with pytest.warns(UserWarning, match="no bf16") as said:
        fit_store(store, config, tmp_path, device="cpu")
    assert len([one for one in said if "bf16" in str(one.message)]) == 1
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["precision"] == "bf16"
    assert read_record(tmp_path)[0]["precision"] == "fp32"
    assert read_record(tmp_path)[0]["tf32"] is False


def test_a_store_without_held_out_cells_trains_all_the_same(
    store: Path, recipe: Path, tmp_path: Path
) -> None:
    import pandas as pd

    shutil.copytree(store, tmp_path / "store")
    path = tmp_path / "store" / "cells.parquet"
    table = pd.read_parquet(path)
    table["split"] = "train"
    table.to_parquet(path)
    config = overridden(read_config(recipe), ["reference.epochs=1"])
    with pytest.warns(UserWarning, match="has no held-out cells"):
        fit_store(tmp_path / "store", config, tmp_path / "run", phase="reference", device="cpu")
    assert best_epoch(tmp_path / "run" / "reference") is None
    with pytest.raises(ValueError, match="no best checkpoint"):
        fitted_reference(tmp_path / "run", best=True)


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["one process", "torchrun"])
def test_two_processes_stop_together_and_the_command_starts_both_again(
    asked: str, store: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fitting = ["fit", "--data", store, "--out", out, "--config", recipe, "--epochs", 400, "--device", "cpu"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [sys.executable, *launcher, str(PROGRAM), *map(str, fitting), "--set", "picture_every=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, lambda: checkpoints(out / "reference"))
    sitting = read_record(out)[-1]
    assert sitting["processes"] == 2
    # If only the first process gets the signal, it informs the other, and both finish the same step.
    os.kill(sitting["pid"] if asked == "one process" else process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=100)
    assert (process.returncode == 0) == (asked == "one process"), said
    assert read_record(out)[-1]["outcome"] == "stopped"
    command = said.rsplit("Continue with: ", 1)[1].splitlines()[0]
    assert command.startswith("torchrun --nproc-per-node 2 --standalone -m napari_ic_train.cli fit --data")
    assert said.count("Continue with") == 1
    assert read_point(checkpoints(out / "reference")[-1]).epoch >= 1
