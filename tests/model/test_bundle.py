"""Save and load models: round trips, cards, and failures while writing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tiny_bundle import CARD, CONFIG, FILES, MARKDOWN, state

from napari_integrated_cell.model import archive, bundle
from napari_integrated_cell.model.bundle import load_model, save_bundle, update_card
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.standardising import WhitenedByStructure


@pytest.mark.parametrize("place", ["bundle", "bundle.zip", "nested/folders/bundle.ZIP"])
def test_a_model_comes_back_as_it_was(
    model: IntegratedCell, save_model: Callable[..., Path], tmp_path: Path, place: str
) -> None:
    path = save_model(tmp_path / place)
    loaded = load_model(path, device="cpu")
    assert loaded.config == CONFIG
    assert loaded.name == "tiny"
    before, after = state(model), state(loaded)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    x = np.random.default_rng(0).random((1, 2, *CONFIG.box))
    for name, volumes in model.integrate(x).items():
        np.testing.assert_array_equal(loaded.integrate(x)[name], volumes)
    assert loaded.card["structures"] == CONFIG.structures
    assert {k: loaded.card[k] for k in CARD} == {**CARD, "stages": ("interphase", "metaphase")}
    assert bundle.read_model_card(path) == MARKDOWN
    assert bundle.read_manifest(path).card.simulated is True
    assert not any(network.training for network in loaded.networks.values())


def test_the_folder_holds_what_it_should_and_anyone_can_check_it(
    save_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = save_model(tmp_path / "bundle")
    assert sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()) == sorted(FILES)
    written = json.loads((path / "model.json").read_text())
    assert written["format_version"] == 1
    assert written["config"]["structures"] == list(CONFIG.structures)
    assert written["config"]["voxel_size"] == CONFIG.voxel_size
    assert {k: written["card"][k] for k in CARD} == CARD
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=path, check=True, capture_output=True
        )


def test_the_same_model_gives_the_same_zip(save_model: Callable[..., Path], tmp_path: Path) -> None:
    first, second = save_model(tmp_path / "a.zip"), save_model(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_half_precision_halves_the_file_and_loads_as_float32(
    model: IntegratedCell, save_model: Callable[..., Path], tmp_path: Path, dtype: str | torch.dtype
) -> None:
    full, half = save_model(tmp_path / "full.zip"), save_model(tmp_path / "half.zip", dtype=dtype)
    assert half.stat().st_size < 0.7 * full.stat().st_size
    after = state(load_model(half, device="cpu"))
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float16
    for name, tensor in state(model).items():
        expected = tensor.to(kind).float() if tensor.ndim > 1 else tensor
        assert torch.equal(after[name], expected), name


def test_moments_beyond_half_precisions_range_are_kept(tmp_path: Path) -> None:
    wide = IntegratedCell.untrained(CONFIG.model_copy(update={"struct_norm": True}), seed=1)
    standardise = cast(WhitenedByStructure, wide.enc_cond.standardise)
    standardise.covariance.mul_(1e5)
    path = save_bundle(wide, tmp_path / "b", card=CARD, model_card_markdown=MARKDOWN, dtype="float16")
    kept = cast(WhitenedByStructure, load_model(path, device="cpu").enc_cond.standardise)
    assert torch.equal(kept.covariance, standardise.covariance)


def test_an_unknown_dtype_is_refused(save_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int8: choose float32, bfloat16, float16"):
        save_model(tmp_path / "b", dtype="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"metrics": "good"}, "metrics"),
        ({"simulated": "perhaps"}, "simulated"),
        ({"provenance": {"when": object()}}, "provenance"),
        ({"structures": ["ZO1"]}, "card lists the structures ZO1 but the model has TOM20, ZO1, peroxisomes"),
    ],
)
def test_a_card_that_is_not_valid(
    save_model: Callable[..., Path], tmp_path: Path, card: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        save_model(tmp_path / "b", card=card)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("place", ["bundle", "bundle.zip"])
def test_a_card_can_be_replaced_and_the_weights_stay(
    save_model: Callable[..., Path], tmp_path: Path, place: str
) -> None:
    path = save_model(tmp_path / place, dtype="bfloat16")
    before = state(load_model(path, device="cpu"))
    card = {**load_model(path, device="cpu").card, "metrics": {"accuracy": 0.95}}
    update_card(path, card=card, model_card_markdown="# New\n")
    after = load_model(path, device="cpu")
    assert after.card["metrics"] == {"accuracy": 0.95}
    assert after.card["licence"] == "BSD-3-Clause"
    assert bundle.read_model_card(path) == "# New\n"
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(after).items())


@pytest.mark.parametrize("place", ["bundle", "bundle.zip"])
def test_saving_again_takes_the_place_of_the_old(
    save_model: Callable[..., Path], tmp_path: Path, place: str
) -> None:
    path = save_model(tmp_path / place)
    if path.is_dir():
        (path / ".DS_Store").write_text("x")
    save_model(path, model_card_markdown="second")
    assert bundle.read_model_card(path) == "second"
    assert [p.name for p in tmp_path.iterdir()] == [place]
    assert not (path / ".DS_Store").exists()


@pytest.mark.parametrize("place", ["bundle", "bundle.zip"])
def test_a_write_that_fails_leaves_the_old_bundle_whole(
    save_model: Callable[..., Path], tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_model(tmp_path / place)
    calls = []

    def full_disk(*arguments: object) -> bytes:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return save(*arguments)

    monkeypatch.setattr(bundle, "save", full_disk)
    with pytest.raises(ValueError, match=r"cannot be written to .*No space left on device"):
        save_model(path, model_card_markdown="second")
    assert bundle.read_model_card(path) == MARKDOWN
    load_model(path, device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == [place]


def test_a_rename_that_fails_puts_the_old_folder_back(
    save_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_model(tmp_path / "bundle")
    replace = os.replace

    def busy(source: Path, target: Path) -> None:
        if source.name.endswith(".partial"):
            raise PermissionError(13, "The folder is in use")
        replace(source, target)

    monkeypatch.setattr(archive.os, "replace", busy)
    with pytest.raises(ValueError, match="The folder is in use"):
        save_model(path, model_card_markdown="second")
    assert bundle.read_model_card(path) == MARKDOWN
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_of_other_things_is_not_overwritten(save_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(ValueError, match="folder with other files"):
        save_model(tmp_path)
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


def test_a_bundle_with_other_things_beside_it_is_not_overwritten(
    save_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = save_model(tmp_path / "bundle")
    (path / "weights" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="folder with other files"):
        save_model(path)
    assert (path / "weights" / "notes.txt").read_text() == "keep"
    load_model(path, device="cpu")


def test_a_zip_does_not_take_the_place_of_a_folder(save_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "b.zip").mkdir()
    with pytest.raises(ValueError, match="is a folder: give the"):
        save_model(tmp_path / "b.zip")


def test_a_place_that_cannot_be_written(save_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written to"):
        save_model(tmp_path / "file" / "bundle")
