"""What a fit needs: counted memory, steps on this machine, and nothing written."""

from __future__ import annotations

import pytest
import torch
from toy_run import toy_store
from toy_training import MODEL, toy_config
from typer.testing import CliRunner

from napari_ic_train.cli import app
from napari_ic_train.config import preset, write_config
from napari_ic_train.fit import forecast as forecasting
from napari_ic_train.fit.forecast import TRAINED, count, forecast
from napari_integrated_cell.model.networks import conditional_networks, reference_networks


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("forecast") / "store"
    toy_store(path)
    return path


def test_weights_are_counted_and_kept_tensors_grow_with_the_box() -> None:
    for phase, make in (("reference", reference_networks), ("conditional", conditional_networks)):
        weights, kept = count(phase, toy_config())
        assert weights == sum(p.numel() for network in make(MODEL) for p in network.parameters())
        wide = MODEL.model_copy(update={"box": tuple(2 * n for n in MODEL.box)})
        assert count(phase, toy_config(model=wide))[1] == pytest.approx(8 * kept, rel=0.2)
        assert count(phase, toy_config(precision="bf16"))[1] == kept // 2


def test_a_forecast_has_both_phases_and_writes_nothing(store) -> None:
    before = sorted(store.rglob("*"))
    moved = []
    found = forecast(store, toy_config(), device="cpu", progress=lambda *step: moved.append(step))
    assert [one.phase for one in found] == ["reference", "conditional"]
    for one in found:
        assert one.training_bytes == TRAINED * one.parameters
        assert one.hours == pytest.approx(4 * 25 / one.cells_per_second / 3600)
    assert len(moved) == 6
    assert sorted(store.rglob("*")) == before
    (only,) = forecast(store, toy_config(decoding_discriminator_every=4), phase="conditional", device="cpu")
    assert only.phase == "conditional"


def test_without_enough_memory_no_step_is_taken(store, monkeypatch) -> None:
    monkeypatch.setattr(forecasting, "_free_bytes", lambda device: 1)
    for one in forecast(store, toy_config(), device="cpu"):
        assert one.cells_per_second is one.hours is None
        assert one.bytes > 0


def test_wtc11_fits_in_a_consumer_gpu_by_its_counts() -> None:
    config = preset("wtc11")
    for phase in ("reference", "conditional"):
        weights, kept = count(phase, config)
        assert TRAINED * weights + config.batch_size * kept < 3e9
    paper = preset("paper").model
    assert [2 * n for n in config.model.box] == list(paper.box)
    assert config.model.voxel_size == pytest.approx(2 * paper.voxel_size)


def test_the_dry_run_prints_memory_speed_and_time(store, tmp_path) -> None:
    torch.set_num_threads(1)
    write_config(toy_config(), tmp_path / "toy.yaml")
    call = ["fit", "--data", str(store), "--config", str(tmp_path / "toy.yaml"), "--device", "cpu"]
    done = CliRunner().invoke(app, [*call, "--dry-run", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "Estimated memory" in done.stdout
    assert "cells a second on this machine" in done.stdout
    assert "The whole fit takes about" in done.stdout
    assert not (tmp_path / "run").exists()
    failed = CliRunner().invoke(app, call)
    assert failed.exit_code == 1
    assert "give one with --out, or use --dry-run." in failed.stderr
