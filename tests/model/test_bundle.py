"""The model on disk: round trips, every kind of damage, and what stays whole when writing fails."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from napari_integrated_cell.model import archive, bundle, catalogue
from napari_integrated_cell.model.bundle import load_model, save_bundle, update_card
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import NETWORK_NAMES, IntegratedCell
from napari_integrated_cell.model.standardising import WhitenedByStructure

torch.set_num_threads(1)
CONFIG = preset("tiny").model_copy(update={"structures": ("TOM20", "ZO1", "peroxisomes")})
CARD = {
    "simulated": True,
    "licence": "BSD-3-Clause",
    "provenance": {"cells": 12, "seed": 1},
    "metrics": {"accuracy": 0.9},
    "preprocessing": {"voxel_size": 1.268},
    "stages": ["interphase", "metaphase"],
    "note": "a further field",
}
MARKDOWN = "# Tiny\n\nTrained on *simulated* cells.\n"
FILES = ["model.json", "MODEL_CARD.md", "SHA256SUMS", *(f"weights/{n}.safetensors" for n in NETWORK_NAMES)]


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


def _state(model: IntegratedCell) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v for n, network in model.networks.items() for k, v in network.state_dict().items()}


def _resealed(folder: Path, **changes: bytes | None) -> Path:
    """``folder`` with files changed and checksums to match: damage that checksums do not show."""
    files = {name: (folder / name).read_bytes() for name in FILES if name != "SHA256SUMS"}
    files |= {name.replace("__", "/").replace("_DOT_", "."): content for name, content in changes.items()}
    archive.write(folder, [(name, content) for name, content in files.items() if content is not None])
    return folder


@pytest.mark.parametrize("place", ["bundle", "bundle.zip", "nested/folders/bundle.ZIP"])
def test_a_model_comes_back_as_it_was(
    model: IntegratedCell, save_model: Callable[..., Path], tmp_path: Path, place: str
) -> None:
    path = save_model(tmp_path / place)
    loaded = load_model(path, device="cpu")
    assert loaded.config == CONFIG
    assert loaded.name == "tiny"
    before, after = _state(model), _state(loaded)
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
    after = _state(load_model(half, device="cpu"))
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float16
    for name, tensor in _state(model).items():
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
    before = _state(load_model(path, device="cpu"))
    card = {**load_model(path, device="cpu").card, "metrics": {"accuracy": 0.95}}
    update_card(path, card=card, model_card_markdown="# New\n")
    after = load_model(path, device="cpu")
    assert after.card["metrics"] == {"accuracy": 0.95}
    assert after.card["licence"] == "BSD-3-Clause"
    assert bundle.read_model_card(path) == "# New\n"
    assert all(torch.equal(tensor, before[name]) for name, tensor in _state(after).items())


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
    with pytest.raises(ValueError, match="folder with other things"):
        save_model(tmp_path)
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


def test_a_bundle_with_other_things_beside_it_is_not_overwritten(
    save_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = save_model(tmp_path / "bundle")
    (path / "weights" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="folder with other things"):
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


# Damage.


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damage_to_any_file_is_found(
    save_model: Callable[..., Path], tmp_path: Path, file: str, damage: str
) -> None:
    path = save_model(tmp_path / "bundle")
    content = (path / file).read_bytes()
    if damage == "missing":
        (path / file).unlink()
    elif damage == "truncated":
        (path / file).write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        (path / file).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(ValueError, match="bundle") as raised:
        load_model(path, device="cpu")
    assert "\n" not in str(raised.value)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_flipped_byte_of_a_zip_gets_through(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    model = IntegratedCell.untrained(CONFIG)
    path = save_bundle(model, folder / "b.zip", card=CARD, model_card_markdown=MARKDOWN)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = load_model(path, device="cpu")
    except ValueError:
        return
    # A byte of the .zip's own bookkeeping may not matter (a date): then everything must be as it was.
    assert loaded.config == CONFIG
    assert all(torch.equal(tensor, _state(model)[name]) for name, tensor in _state(loaded).items())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_zip_cut_short(save_model: Callable[..., Path], tmp_path: Path, share: float) -> None:
    path = save_model(tmp_path / "b.zip")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"neither a bundle's folder nor a whole \.zip"):
        load_model(path)


def _manifest(folder: Path, **changes: object) -> bytes:
    return json.dumps({**json.loads((folder / "model.json").read_text()), **changes}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda f: b"{", "damaged .no valid JSON"),
        (lambda f: b"\xff\xfe", "damaged .no valid JSON"),
        (lambda f: b"[1]", "not an integrated-cell model: model.json has no format_version"),
        (lambda f: b'{"format": "layers-model"}', "not an integrated-cell model"),
        (lambda f: _manifest(f, format_version="1"), "not an integrated-cell model"),
        (lambda f: _manifest(f, format_version=2, new=1), r"format version 2 but .* up to 1: update it"),
        (lambda f: _manifest(f, format_version=0), "format_version"),
        (lambda f: _manifest(f, colour="red"), "colour"),
        (lambda f: _manifest(f, config={"box": [1, 2]}), r"config\.box"),
        (lambda f: _manifest(f, card=None), "card"),
    ],
)
def test_a_foreign_or_newer_manifest(
    save_model: Callable[..., Path], tmp_path: Path, content: Callable[[Path], bytes], message: str
) -> None:
    path = save_model(tmp_path / "bundle")
    _resealed(path, model_DOT_json=content(path))
    with pytest.raises(ValueError, match=message) as raised:
        load_model(path)
    assert "\n" not in str(raised.value)


def test_a_newer_bundle_says_so_even_if_its_files_are_checked_otherwise(
    save_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = save_model(tmp_path / "bundle")
    (path / "model.json").write_bytes(_manifest(path, format_version=3))
    (path / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="update it"):
        load_model(path)


class _Exploding:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["EXPLODED"],)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {k: v for k, v in t.items() if k != "z_ref.bias"}, "lacks 'z_ref.bias'"),
        (lambda t: {**t, "extra": torch.zeros(1)}, "has not, 'extra'"),
        (lambda t: {**t, "z_ref.bias": torch.zeros(9)}, r"'z_ref.bias' has shape \(9,\) instead of \(8,\)"),
        (
            lambda t: {**t, "z_ref.bias": torch.zeros(8, dtype=torch.int32)},
            "'z_ref.bias' is of type torch.int32",
        ),
        (lambda t: {**t, "z_ref.bias": torch.full((8,), torch.nan)}, "'z_ref.bias' holds NaN"),
        (lambda t: {**t, "extra": torch.zeros(2_000_000)}, "bytes where at most"),
    ],
)
def test_weights_that_do_not_fit(
    save_model: Callable[..., Path],
    tmp_path: Path,
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    message: str,
) -> None:
    path = save_model(tmp_path / "bundle")
    tensors = load_file(path / "weights" / "enc_ref.safetensors")
    save_file(change(tensors), tmp_path / "changed")
    _resealed(path, weights__enc_ref_DOT_safetensors=(tmp_path / "changed").read_bytes())
    with pytest.raises(ValueError, match=message) as raised:
        load_model(path)
    assert "weights/enc_ref.safetensors" in str(raised.value)


def test_a_pickle_in_place_of_weights_is_never_run(
    save_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLODED", str(tmp_path / "exploded"))
    path = save_model(tmp_path / "bundle")
    for content in (pickle.dumps(_Exploding()), b"", b"\xff" * 100):
        _resealed(path, weights__enc_ref_DOT_safetensors=content)
        with pytest.raises(ValueError, match="not a safetensors file"):
            load_model(path)
    assert not (tmp_path / "exploded").exists()


def test_a_zip_of_the_folder_as_a_whole_opens(save_model: Callable[..., Path], tmp_path: Path) -> None:
    save_model(tmp_path / "here" / "bundle")
    path = shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "here")
    assert load_model(path).config == CONFIG


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped", "..\\escaped"])
def test_a_zip_that_points_outside_itself_is_refused(
    save_model: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    path = save_model(tmp_path / "in" / "b.zip")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, "x")
    with pytest.raises(ValueError, match="unsafe path"):
        load_model(path)
    assert not list(tmp_path.rglob("*escaped"))


@pytest.mark.parametrize("kind", ["absent", "empty folder", "text", "empty zip", "zip of photographs"])
def test_what_is_no_bundle_at_all(tmp_path: Path, models_folder: Path, kind: str) -> None:
    path = tmp_path / "thing.zip"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello")
    elif kind != "absent":
        with zipfile.ZipFile(path, "w") as file:
            for name in ["cat.jpg"] if "photo" in kind else []:
                file.writestr(name, "meow")
    with pytest.raises(ValueError, match=r"no model|neither a bundle|not an integrated-cell model"):
        load_model(path)


# Names.


def test_models_are_listed_and_opened_by_name(save_model: Callable[..., Path], models_folder: Path) -> None:
    assert catalogue.list_models() == []
    save_model(models_folder / "mine")
    save_model(models_folder / "yours.zip")
    (models_folder / "notes").mkdir()
    (models_folder / ".hidden.zip").write_text("")
    demo = save_model(catalogue.PACKAGED_MODELS / "demo")
    # What is packaged comes first, and is not replaced by a user's model of the same name.
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
