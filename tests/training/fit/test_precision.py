"""Float32 is float32: TF32 is a setting, and it is restored."""

from __future__ import annotations

import pytest
import torch
from toy_training import ToyCells, toy_config

from napari_ic_train.config import preset, presets
from napari_ic_train.fit import trainer
from napari_ic_train.fit.precision import float32_products
from napari_ic_train.fit.trainer import fit_reference


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_set_for_the_block_alone(tf32: bool) -> None:
    before = allowed()
    with float32_products(tf32=tf32):
        assert allowed() == (tf32, tf32)
    assert allowed() == before
    with pytest.raises(KeyError), float32_products(tf32=tf32):
        raise KeyError
    assert allowed() == before


@pytest.mark.parametrize("tf32", [False, True])
def test_a_run_trains_with_its_setting(tf32, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(trainer, "run_phase", lambda job: seen.append(allowed()))
    fit_reference(ToyCells(), toy_config(tf32=tf32), tmp_path, device="cpu")
    assert seen == [(tf32, tf32)]


def test_no_preset_of_the_paper_uses_tf32() -> None:
    assert not any(preset(name).tf32 for name in presets() if name.startswith("paper"))
