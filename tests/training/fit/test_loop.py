"""The training loop: reports, the clock, learning rates, passes; and a model learns something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_training import MODEL, Cut, EachEpoch, ToyCells, assert_same_run, last_tensors, rows, toy_config

from napari_ic_train.config import PhaseConfig, TrainingConfig
from napari_ic_train.fit import loop
from napari_ic_train.fit.distributed import World
from napari_ic_train.fit.job import parts
from napari_ic_train.fit.loop import clip_gradients, learning_rate_decay
from napari_ic_train.fit.phase import initialised
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_ic_train.run.fitted_networks import fitted_reference
from napari_ic_train.run.watching import EpochReport
from napari_integrated_cell.model.networks import reference_networks
from napari_integrated_cell.model.runtime import Cancelled, CancelToken


def test_watchers_get_a_report_of_each_epoch(tmp_path: Path) -> None:
    seen: list[EpochReport] = []
    fit_reference(ToyCells(), toy_config(), tmp_path, device="cpu", watchers=[EachEpoch(seen.append)])
    assert [(report.epoch, report.epochs) for report in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(report.cells_per_second > 0 for report in seen)
    assert [report.seconds_left > 0 for report in seen] == [True, True, True, False]
    assert [f"{report.losses['reconstruction']:.6g}" for report in seen] == [
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
    (step,) = steps  # the minimum: one of the three batches of an epoch
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
    clip_gradients(phase.networks, limit)
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
        # Given a cell's shape, the decoder puts the requested structure in its correct place.
        z_ref, z_struct = reference.enc(x[:, :2]), torch.zeros(len(x), MODEL.n_struct)
        asked, another = (conditional.dec(torch.eye(3)[k], z_ref, z_struct) for k in (y, (y + 1) % 3))

    def agreement(made: Tensor) -> float:
        pairs = zip(made[:, 2].flatten(1), x[:, 2].flatten(1), strict=True)
        return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    assert agreement(asked) > 0.5
    assert agreement(asked) > agreement(another) + 0.05
