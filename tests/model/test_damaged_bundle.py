"""Damaged, foreign and newer bundles are refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_bundle import CARD, CONFIG, FILES, MARKDOWN, resealed, state

from napari_integrated_cell.model.bundle import load_model, save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell


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
    # A changed byte in the .zip's directory (a date) may have no effect. Then everything must be unchanged.
    assert loaded.config == CONFIG
    assert all(torch.equal(tensor, state(model)[name]) for name, tensor in state(loaded).items())


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
    resealed(path, model_DOT_json=content(path))
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
        (lambda t: {**t, "extra": torch.zeros(1)}, "does not have, 'extra'"),
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
    resealed(path, weights__enc_ref_DOT_safetensors=(tmp_path / "changed").read_bytes())
    with pytest.raises(ValueError, match=message) as raised:
        load_model(path)
    assert "weights/enc_ref.safetensors" in str(raised.value)


def test_a_pickle_in_place_of_weights_is_never_run(
    save_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLODED", str(tmp_path / "exploded"))
    path = save_model(tmp_path / "bundle")
    for content in (pickle.dumps(_Exploding()), b"", b"\xff" * 100):
        resealed(path, weights__enc_ref_DOT_safetensors=content)
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
