"""Models are listed and found by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_bundle import CONFIG

from napari_integrated_cell.model import catalogue
from napari_integrated_cell.model.bundle import load_model


def test_models_are_listed_and_opened_by_name(save_model: Callable[..., Path], models_folder: Path) -> None:
    assert catalogue.list_models() == []
    save_model(models_folder / "mine")
    save_model(models_folder / "yours.zip")
    (models_folder / "notes").mkdir()
    (models_folder / ".hidden.zip").write_text("")
    demo = save_model(catalogue.PACKAGED_MODELS / "demo")
    # Packaged models come first. A user's model of the same name does not replace them.
    save_model(models_folder / "demo")
    assert catalogue.list_models() == [
        ("demo", demo),
        ("mine", models_folder / "mine"),
        ("yours", models_folder / "yours.zip"),
    ]
    for name in ("demo", "mine", "yours"):
        assert load_model(name, device="cpu").config == CONFIG
    with pytest.raises(ValueError, match=r"no model 'his': give a name \(demo, mine, yours\) or the path"):
        load_model("his")


def test_without_the_demo_model_it_says_how_to_get_it(models_folder: Path) -> None:
    with pytest.raises(ValueError, match="make demo-model"):
        load_model("demo")


def test_an_absent_device_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no device 'abacus'"):
        load_model(tmp_path / "absent", device="abacus")


def test_listing_models_and_reading_their_cards_needs_no_torch(
    save_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = save_model(tmp_path / "b.zip")
    code = (
        "import sys, napari_integrated_cell as nic\n"
        "from napari_integrated_cell.model.catalogue import read_manifest, read_model_card\n"
        "nic.list_models(); read_model_card(sys.argv[1])\n"
        "assert read_manifest(sys.argv[1]).config.n_ref == 8\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
