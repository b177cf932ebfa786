"""NaN, a full disk, a broken checkpoint, wrong cells: the error message, and the files that stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_training import EachEpoch, ToyCells, toy_config

from napari_ic_train.fit.phase_files import TrainingDiverged
from napari_ic_train.fit.reference_phase import ReferencePhase
from napari_ic_train.fit.trainer import fit_reference
from napari_ic_train.run import checkpoint
from napari_ic_train.run.checkpoint import checkpoints, read_checkpoint
from napari_ic_train.run.watching import EpochReport


def test_a_nan_names_the_loss_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    cells = ToyCells()

    def poison(report: EpochReport) -> None:
        if report.epoch == 2:
            cells.x[0, 0, 0, 0, 0] = float("nan")

    with pytest.raises(
        TrainingDiverged, match="In epoch 3 of the reference phase the loss 'reconstruction'"
    ) as error:
        fit_reference(cells, toy_config(), tmp_path, device="cpu", watchers=[EachEpoch(poison)])
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
        if len(done) == 6:  # the last step of the second epoch; its losses were finite
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
