"""The loop: resuming to the bit, stopping, what is left on disk, and that something is learnt."""

from __future__ import annotations

import csv
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
from torch import Tensor
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train.config import PhaseConfig, TrainingConfig, read_config
from napari_ic_train.fit import checkpoint, loop
from napari_ic_train.fit.checkpoint import BEST, checkpoints, read_checkpoint
from napari_ic_train.fit.distributed import World
from napari_ic_train.fit.loop import clip_gradients, learning_rate_decay, parts
from napari_ic_train.fit.phase import initialised
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_ic_train.fit.trainer import (
    TrainingDiverged,
    fit_conditional,
    fit_reference,
    fitted_conditional,
    fitted_reference,
)
from napari_integrated_cell.model.networks import reference_networks
from napari_integrated_cell.model.runtime import Cancelled, CancelToken


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def rows(run: Path, phase: str) -> list[dict[str, str]]:
    with (run / phase / "losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(run: Path, phase: str) -> list[dict[str, str]]:
    timed = ("seconds", "cells_per_second", "memory_gb")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows(run, phase)]


def last_tensors(run: Path, phase: str) -> dict[str, Tensor]:
    return load_file(checkpoints(run / phase)[-1])


def assert_same_run(a: Path, b: Path, phase: str) -> None:
    ours, theirs = last_tensors(a, phase), last_tensors(b, phase)
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different
    assert untimed(a, phase) == untimed(b, phase)


class Cut(ToyCells):
    """Cells that set a token, or fail, when they are read for the n-th time."""

    def __init__(self, at: int, token: CancelToken | None = None) -> None:
        super().__init__()
        self.left, self.token = at, token

    def images(self, indices: np.ndarray) -> Tensor:
        self.left -= 1
        if self.left == 0:
            if self.token is None:
                raise OSError("the store is gone")
            self.token.cancel()
        return super().images(indices)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both phases, unbroken."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    fit_reference(ToyCells(), toy_config(), out, device="cpu")
    fit_conditional(ToyCells(), toy_config(), out, device="cpu")
    return out


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
        with pytest.raises(Cancelled, match="resume it to go on"):
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


def test_progress_reports_each_epoch(tmp_path: Path) -> None:
    seen = []
    fit_reference(
        ToyCells(), toy_config(), tmp_path, device="cpu", progress=lambda *report: seen.append(report)
    )
    assert [(epoch, epochs) for epoch, epochs, *_ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(rate > 0 for *_, rate, _ in seen)
    assert [left > 0 for *_, left in seen] == [True, True, True, False]
    assert [f"{losses['reconstruction']:.6g}" for _, _, losses, *_ in seen] == [
        row["reconstruction"] for row in rows(tmp_path, "reference")
    ]


def test_the_clock_may_end_a_phase_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[dict[str, float]] = []
    real = ReferencePhase.gradients

    def gradients(self: ReferencePhase, *batch: Tensor, **how: object) -> dict[str, Tensor]:
        losses = real(self, *batch, **how)  # type: ignore[arg-type]
        steps.append({name: float(loss) for name, loss in losses.items()})
        return losses

    monkeypatch.setattr(ReferencePhase, "gradients", gradients)
    config = toy_config(reference=PhaseConfig(epochs=1000, max_minutes=1e-6))
    fit_reference(ToyCells(), config, tmp_path, device="cpu")
    (row,) = rows(tmp_path, "reference")
    (step,) = steps  # the one that an epoch has at least, of three
    assert {name: float(row[name]) for name in step} == pytest.approx(step, rel=1e-5)
    fitted_reference(tmp_path)


def test_learning_rates_fall_by_the_clock_that_ends_a_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors: list[float] = []
    monkeypatch.setattr(ReferencePhase, "scale_learning_rates", lambda phase, factor: factors.append(factor))
    now = iter(range(10_000))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(now)))
    length = PhaseConfig(epochs=1000, max_minutes=2)
    config = toy_config(reference=length, learning_rate_decay="cosine")
    fit_reference(ToyCells(), config, tmp_path, device="cpu")
    assert factors[0] > 0.99
    assert min(factors) < 0.01
    assert factors == sorted(factors, reverse=True)


def test_cosine_decay_ends_at_nothing() -> None:
    factors = [learning_rate_decay(toy_config(learning_rate_decay="cosine"), d) for d in (0, 0.25, 0.5, 1)]
    assert factors == pytest.approx([1, (1 + 2**-0.5) / 2, 0.5, 0])
    assert learning_rate_decay(toy_config(), 0.95) == 1


def test_a_phase_that_its_clock_ends_has_come_to_its_end_by_then() -> None:
    by_epochs, by_both = PhaseConfig(epochs=10), PhaseConfig(epochs=10, max_minutes=5)
    assert [by_epochs.done(e, 10_000) for e in (0, 2.5, 10)] == [0, 0.25, 1]
    assert [by_both.done(2.5, s) for s in (0, 60, 150, 300, 400)] == [0.25, 0.25, 0.5, 1, 1]
    assert by_both.ended(1, 300)
    assert not by_both.ended(9, 299)


def test_decay_reaches_the_optimisers(tmp_path: Path, whole_run: Path) -> None:
    fit_reference(ToyCells(), toy_config(learning_rate_decay="cosine"), tmp_path, device="cpu")
    slower, steady = last_tensors(tmp_path, "reference"), last_tensors(whole_run, "reference")
    assert not torch.equal(slower["enc.z_ref.weight"], steady["enc.z_ref.weight"])


def test_a_phase_knows_how_far_it_is_after_a_restart_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    real = ReferencePhase.gradients

    def gradients(self: ReferencePhase, *batch: Tensor, **how: object) -> dict[str, Tensor]:
        told.append(self.done)
        return real(self, *batch, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(ReferencePhase, "gradients", gradients)
    token = CancelToken()
    with pytest.raises(Cancelled):
        fit_reference(Cut(6, token), toy_config(), tmp_path, device="cpu", cancel=token)
    before = len(told)
    fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu", resume=True)
    assert 0 < before < len(told)
    assert told == pytest.approx(np.arange(len(told)) / len(told))


def test_a_nan_names_the_loss_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    cells = ToyCells()

    def poison(epoch: int, *_: object) -> None:
        if epoch == 2:
            cells.x[0, 0, 0, 0, 0] = float("nan")

    with pytest.raises(
        TrainingDiverged, match="In epoch 3 of the reference phase the loss 'reconstruction'"
    ) as error:
        fit_reference(cells, toy_config(), tmp_path, device="cpu", progress=poison)
    good = checkpoints(tmp_path / "reference")[-1]
    assert str(good) in str(error.value)
    position, tensors = read_checkpoint(good)
    assert position.epoch == 2
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_weights_that_are_nan_are_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update, done = ReferencePhase.update, []

    def poisoned(phase: ReferencePhase) -> None:
        update(phase)
        done.append(1)
        if len(done) == 6:  # the last step of the second epoch, whose losses were fine
            next(phase.networks.dec.parameters()).data[0] = float("nan")

    monkeypatch.setattr(ReferencePhase, "update", poisoned)
    with pytest.raises(TrainingDiverged, match=r"In epoch \d of the reference phase .* became NaN"):
        fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu")
    assert [path.name[:6] for path in checkpoints(tmp_path / "reference")] == ["000001"]


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, written = checkpoint.save_file, []

    def full(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        written.append(path)
        if len(written) == 3:
            Path(path).write_bytes(b"half a checkpoi")
            raise OSError(28, "No space left on device")
        save(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(
        OSError, match=r"could not be written .*No space left.*; the last good checkpoint is .*000002"
    ):
        fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu")
    assert not list((tmp_path / "reference").glob("*.part"))
    assert read_checkpoint(checkpoints(tmp_path / "reference")[-1])[0].epoch == 2


def test_a_broken_checkpoint_is_said(tmp_path: Path) -> None:
    fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu")
    path = checkpoints(tmp_path / "reference")[-1]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"000004.* is broken .*delete it to use the one before"):
        fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu", resume=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"x": torch.zeros(10, 3, 8, 8, 8)},
            r"are \(C, Z, Y, X\) = \(3, 8, 8, 8\), but the model 'toy' takes \(3, 8, 8, 12\)",
        ),
        ({"labels": np.full(10, 3)}, "labels run from 3 to 3, but the model has 3 structures"),
        ({"x": torch.zeros(1, 3, 8, 8, 12)}, "There are 1 training cells"),
    ],
)
def test_cells_that_do_not_fit_the_model_are_refused(change: dict, words: str, tmp_path: Path) -> None:
    cells = ToyCells()
    vars(cells).update(change)
    with pytest.raises(ValueError, match=words):
        fit_reference(cells, toy_config(), tmp_path, device="cpu")


def test_passes_and_shares_cover_a_batch_once() -> None:
    batch = (np.arange(20, 33), np.arange(13) % 4)
    everyone = [parts(batch, 3, World(torch.device("cpu"), rank, 2)) for rank in (0, 1)]
    pieces = [part for process in everyone for part in process]
    assert sorted(np.concatenate([part.cells[0] for part in pieces])) == list(range(20, 33))
    assert sum(part.weight for part in pieces) == pytest.approx(1)
    assert all(
        part.share.total == sum(len(p[i].cells[0]) for p in everyone)
        for i in range(3)
        for part in [everyone[0][i]]
    )
    (whole,) = parts(batch, 1, World(torch.device("cpu")))
    assert (whole.share, whole.weight) == (None, 1.0)


def test_accumulated_passes_learn_and_resume_to_the_bit(tmp_path: Path) -> None:
    config = toy_config(batch_size=5, accumulate=2, clip_gradients=0.1)
    fit_reference(ToyCells(), config, tmp_path / "whole", device="cpu")
    token = CancelToken()
    with pytest.raises(Cancelled):
        fit_reference(Cut(7, token), config, tmp_path / "broken", device="cpu", cancel=token)
    fit_reference(ToyCells(), config, tmp_path / "broken", device="cpu", resume=True)
    assert_same_run(tmp_path / "broken", tmp_path / "whole", "reference")


def test_gradients_are_clipped_network_by_network() -> None:
    networks = initialised(reference_networks(MODEL), torch.Generator().manual_seed(0))
    phase = ReferencePhase(toy_config(), networks, torch.Generator().manual_seed(0))
    phase.gradients(ToyCells().references(np.arange(4)))

    def norms() -> list[float]:
        return [float(torch.cat([p.grad.flatten() for p in n.parameters()]).norm()) for n in phase.networks]

    before = norms()
    limit = sorted(before)[1] * 1.01
    clip_gradients(phase, limit)
    assert norms() == pytest.approx([min(norm, limit) for norm in before], rel=1e-3)


def learning(**fields: object) -> TrainingConfig:
    length = PhaseConfig(epochs=60)
    return toy_config(reference=length, conditional=length, learning_rate=5e-3, batch_size=4, **fields)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields", [{}, {"precision": "bf16", "augment_flips": True, "learning_rate_decay": "cosine"}]
)
def test_something_is_learnt(fields: dict, tmp_path: Path) -> None:
    cells, config = ToyCells(24), learning(**fields)
    reference = fit_reference(cells, config, tmp_path, device="cpu")
    conditional = fit_conditional(cells, config, tmp_path, device="cpu")

    first, *_, last = rows(tmp_path, "reference")
    assert float(last["reconstruction"]) < 0.6 * float(first["reconstruction"])
    first, *_, last = rows(tmp_path, "conditional")
    assert float(last["reconstruction"]) < 0.7 * float(first["reconstruction"])
    assert float(last["structure"]) < 0.2 * float(first["structure"])
    assert float(last["latent"]) < 0.5 * float(first["latent"])

    x, y = cells.x, torch.from_numpy(cells.labels)
    with torch.no_grad():
        code = conditional.enc(x)
        assert (code.y_logits.argmax(1) == y).float().mean() > 0.9
        # Given a cell's shape, the decoder puts the structure it is asked for where that one lies.
        z_ref, z_struct = reference.enc(x[:, :2]), torch.zeros(len(x), MODEL.n_struct)
        asked, another = (conditional.dec(torch.eye(3)[k], z_ref, z_struct) for k in (y, (y + 1) % 3))

    def agreement(made: Tensor) -> float:
        pairs = zip(made[:, 2].flatten(1), x[:, 2].flatten(1), strict=True)
        return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    assert agreement(asked) > 0.5
    assert agreement(asked) > agreement(another) + 0.05
