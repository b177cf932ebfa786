"""The files of a bundle: saved again, damaged, or not those of its model."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from toy_run import STAGES

from napari_integrated_cell.model import archive
from napari_integrated_cell.model.bundle import (
    load_model,
    save_bundle,
    update_card,
)
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent_files import COUNTS, LANDMARKS, STATISTICS, thumbnail_names

torch.set_num_threads(1)
INTERPHASE = thumbnail_names("interphase")[0]


@pytest.fixture
def bundle(exported, tmp_path):
    """A copy of the bundle, which tests may damage."""
    return _resealed(exported, tmp_path / "copy")


def _resealed(source: Path, to: Path, **changes: bytes | None) -> Path:
    """The bundle with files changed and checksums to match."""
    files = {
        p.relative_to(source).as_posix(): p.read_bytes()
        for p in source.rglob("*")
        if p.is_file() and p.name != archive.CHECKSUMS
    }
    files |= changes
    archive.write(to, [(name, content) for name, content in files.items() if content is not None])
    return to


def _assert_same(a: IntegratedCell, b: IntegratedCell) -> None:
    assert [m.stage for m in a.landmarks] == [m.stage for m in b.landmarks]
    for one, other in zip(a.landmarks, b.landmarks, strict=True):
        np.testing.assert_array_equal(one.z_ref, other.z_ref)
        for name in ("cell_id", "metric", "among", "n_held_out", "n_cells", "thumbnail", "decoded_thumbnail"):
            assert getattr(one, name) == getattr(other, name)
    assert a.latent.z_struct.keys() == b.latent.z_struct.keys()
    for one, other in zip(
        (a.latent.z_ref, *a.latent.z_struct.values()),
        (b.latent.z_ref, *b.latent.z_struct.values()),
        strict=True,
    ):
        assert one.n == other.n
        for name in ("mean", "covariance", "axes", "variances"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(other, name).dtype == np.float32


@pytest.mark.parametrize("place", ["again", "again.zip"])
def test_what_is_loaded_is_saved_again(exported, tmp_path, place) -> None:
    first = load_model(exported, device="cpu")
    path = save_bundle(first, tmp_path / place, card=first.card, model_card_markdown="x")
    _assert_same(first, load_model(path, device="cpu"))
    update_card(path, card={**first.card, "metrics": {"a": 1}}, model_card_markdown="y")
    _assert_same(first, load_model(path, device="cpu"))


def test_a_bundle_without_any_of_it_opens(exported, tmp_path) -> None:
    pictures = [n for s in STAGES for n in thumbnail_names(s)]
    path = _resealed(exported, tmp_path / "old", **dict.fromkeys([STATISTICS, COUNTS, LANDMARKS, *pictures]))
    model = load_model(path, device="cpu")
    assert model.latent is None
    assert model.landmarks == ()
    update_card(path, card=model.card, model_card_markdown="")
    assert load_model(path, device="cpu").latent is None


def test_pictures_may_be_left_out(exported, tmp_path) -> None:
    path = _resealed(exported, tmp_path / "b", **{INTERPHASE: None})
    mark = load_model(path, device="cpu").landmarks[0]
    assert mark.thumbnail == b""
    assert mark.decoded_thumbnail


def test_one_format_version_serves_both(exported) -> None:
    assert json.loads((exported / "model.json").read_text())["format_version"] == 1


@pytest.mark.parametrize("file", [STATISTICS, COUNTS, LANDMARKS, INTERPHASE])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damage_to_any_of_it_is_found(bundle, file, damage) -> None:
    content = (bundle / file).read_bytes()
    if damage == "missing":
        (bundle / file).unlink()
    elif damage == "truncated":
        (bundle / file).write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        (bundle / file).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(ValueError, match=file) as raised:
        load_model(bundle, device="cpu")
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=file):
        update_card(bundle, card={}, model_card_markdown="")


def _png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def _changed(content: bytes, **changes: object) -> bytes:
    """landmarks.json with fields of its first landmark changed."""
    fields = json.loads(content)
    fields["landmarks"][0].update(changes)
    return json.dumps(fields).encode()


def _tensors(content: bytes, **changes: np.ndarray | None) -> bytes:
    tensors = {**load(content), **{name.replace("__", "/"): t for name, t in changes.items()}}
    return save({name: t for name, t in tensors.items() if t is not None})


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (LANDMARKS, lambda c: b"[]", "landmarks.json of .* is not valid"),
        (LANDMARKS, lambda c: b"{", "landmarks.json of .* is not valid"),
        (LANDMARKS, lambda c: _changed(c, stage="../../x"), r"unknown stage '\.\./\.\./x'"),
        (LANDMARKS, lambda c: _changed(c, z_ref=[1.0]), "z_ref of interphase has 1 numbers instead of 4"),
        (LANDMARKS, lambda c: _changed(c, z_ref=[float("nan")] * 4), "not valid"),
        (LANDMARKS, lambda c: _changed(c, z_ref=[1e300] * 4), "not valid"),
        (LANDMARKS, lambda c: _changed(c, among="some"), "among"),
        (LANDMARKS, lambda c: _changed(c, n_cells=-1), "n_cells"),
        (INTERPHASE, lambda c: b"GIF89a" + bytes(50), "not a PNG"),
        (INTERPHASE, lambda c: b"", "not a PNG"),
        (INTERPHASE, lambda c: _png(30_000, 30_000), "larger than 1024 pixels"),
        (
            COUNTS,
            lambda c: json.dumps({"z_ref": 3, "z_struct": {"hair": 3}}).encode(),
            "'hair', which the model",
        ),
        (COUNTS, lambda c: b"{}", "z_ref"),
        (STATISTICS, lambda c: b"", "not a safetensors file"),
        (STATISTICS, lambda c: b"\xff" * 100, "not a safetensors file"),
        (STATISTICS, lambda c: c + bytes(1 << 22), "bytes where at most"),
        (STATISTICS, lambda c: _tensors(c, z_ref__mean=None), r"z_ref/mean is not \(4,\)"),
        (STATISTICS, lambda c: _tensors(c, z_ref__axes=np.ones((4, 3), "f4")), r"z_ref/axes is not \(4, 4\)"),
        (STATISTICS, lambda c: _tensors(c, z_ref__mean=np.full(4, np.nan, "f4")), "z_ref/mean holds NaN"),
        (STATISTICS, lambda c: _tensors(c, z_ref__mean=np.ones(4, "i8")), "z_ref/mean is not"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(exported, tmp_path, file, change, message) -> None:
    path = _resealed(exported, tmp_path / "b", **{file: change((exported / file).read_bytes())})
    with pytest.raises(ValueError, match=message) as raised:
        load_model(path, device="cpu")
    assert "\n" not in str(raised.value)


def test_further_fields_of_a_later_version_are_passed_over(exported, tmp_path) -> None:
    content = _changed((exported / LANDMARKS).read_bytes(), mood="calm")
    path = _resealed(exported, tmp_path / "b", **{LANDMARKS: content})
    assert len(load_model(path, device="cpu").landmarks) == len(STAGES)
