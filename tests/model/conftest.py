from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_bundle import CARD, CONFIG, MARKDOWN

from napari_integrated_cell.model import catalogue
from napari_integrated_cell.model.bundle import save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> IntegratedCell:
    return IntegratedCell.untrained(CONFIG, seed=1)


@pytest.fixture
def save_model(model: IntegratedCell) -> Callable[..., Path]:
    def save_model(path: Path, **changes: object) -> Path:
        arguments = {"card": CARD, "model_card_markdown": MARKDOWN, **changes}
        return save_bundle(model, path, **arguments)

    return save_model


@pytest.fixture
def models_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's models, and none packaged."""
    monkeypatch.setattr(catalogue, "PACKAGED_MODELS", tmp_path / "packaged")
    monkeypatch.setattr(catalogue, "models_folder", lambda: tmp_path / "user")
    (tmp_path / "user").mkdir()
    return tmp_path / "user"
