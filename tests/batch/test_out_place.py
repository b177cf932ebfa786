"""Where results are written is checked before anything is computed."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import pytest

from napari_integrated_cell.batch import out_place
from napari_integrated_cell.batch.cell_row import BatchSettings
from napari_integrated_cell.batch.field_files import FieldFiles
from napari_integrated_cell.batch.listing import ListedField
from napari_integrated_cell.batch.out_place import (
    bytes_needed,
    check_out_file,
    check_out_folder,
    check_writable,
)

Usage = namedtuple("Usage", "total used free")


def test_a_missing_folder_is_made(tmp_path):
    check_out_file(tmp_path / "a" / "b" / "x.ome.tiff", [])
    check_out_folder(tmp_path / "c" / "d", [])
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "c" / "d").is_dir()
    assert not any(path.is_file() for path in tmp_path.rglob("*")), "nothing is left behind"


def test_an_input_is_never_overwritten(tmp_path):
    given = tmp_path / "x.ome.tiff"
    given.write_bytes(b"")
    (tmp_path / "link.ome.tiff").symlink_to(given)
    for out in (given, tmp_path / "link.ome.tiff", tmp_path / "." / "x.ome.tiff"):
        with pytest.raises(ValueError, match="is an input"):
            check_out_file(out, [given])
    check_out_file(tmp_path / "y.ome.tiff", [given])


def test_results_of_a_batch_do_not_lie_among_the_images(tmp_path):
    given = tmp_path / "x.ome.tiff"
    given.write_bytes(b"")
    with pytest.raises(ValueError, match="folder of their own"):
        check_out_folder(tmp_path, [given])
    with pytest.raises(ValueError, match="folder of their own"):
        check_out_folder(tmp_path, [tmp_path])
    check_out_folder(tmp_path / "results", [tmp_path, given])


@pytest.mark.parametrize(
    ("check", "name", "says"),
    [
        (check_out_file, "folder.ome.tiff", "is a folder"),
        (check_out_file, "x.png", "end it in .ome.tiff"),
        (check_out_file, "file/x.ome.tiff", "cannot be made"),
        (check_out_folder, "file", "is a file"),
        (check_out_folder, "file/out", "cannot be made"),
    ],
)
def test_what_cannot_be_written_to_is_said(tmp_path, check, name, says):
    (tmp_path / "folder.ome.tiff").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((OSError, ValueError), match=says):
        check(tmp_path / name, [])


def test_a_read_only_folder_is_said(tmp_path, monkeypatch):
    def refuse(self: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)  # for the super-user no folder is read-only
    with pytest.raises(OSError, match=r"Nothing can be written to .*Permission denied"):
        check_writable(tmp_path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user writes everywhere"
)
def test_a_folder_without_the_right_to_write_is_said(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OSError, match="Nothing can be written"):
        check_writable(tmp_path / "closed")


def test_a_full_disk_is_said_with_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(out_place.shutil, "disk_usage", lambda path: Usage(10, 10, 3_000_000))
    with pytest.raises(OSError, match=r"16\.8 MB .*3 MB are free"):
        check_writable(tmp_path)
    with pytest.raises(OSError, match=r"2\.5 GB"):
        check_writable(tmp_path, 2_500_000_000)


def test_the_estimate_grows_with_cells_channels_and_joined_files():
    files = FieldFiles("f", None, None)
    listed = [ListedField(files, "d", (1, 2), voxels=1_000_000, nbytes=10**9)]
    settings = BatchSettings("demo")

    def needed(n_channels: int, several: bool = False, **changes: object) -> int:
        return bytes_needed(listed, BatchSettings("demo", **changes), n_channels, 0, several=several)  # type: ignore[arg-type]

    assert settings.write == "cell"
    assert needed(13) > needed(3) > 10**9, "a field above the limit is kept in files"
    assert needed(3, write="field") > needed(3)
    assert needed(3, write="none") == 10**9
