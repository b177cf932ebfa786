"""``napari-ic integrate --folder`` and ``--manifest``, as a shell runs them."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
import tifffile
from tiny_cells import write_tiny
from tiny_fields import write_image, write_labels, write_model
from typer.testing import CliRunner

from napari_integrated_cell.batch.cell_row import opened_model
from napari_integrated_cell.cli import app
from napari_integrated_cell.imaging.reading import read_image


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    write_model(folder / "tiny.zip")
    write_labels(folder / "plate", "f1_cells.ome.tif", "f1_nuclei.ome.tif")
    write_image(folder / "plate" / "f1.ome.tif")
    write_image(folder / "plate" / "odd.ome.tif", ("far red", "blue"))
    return folder


def integrate(plate, *arguments):
    command = [
        "integrate",
        "--model",
        plate / "tiny.zip",
        "--device",
        "cpu",
        "--structures",
        "TOM20",
        *arguments,
    ]
    return CliRunner().invoke(app, [str(a) for a in command])


def test_a_folder_gives_a_table_and_a_summary(plate, tmp_path):
    result = integrate(plate, "--folder", plate / "plate", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 cells in 1 field" in result.stderr
    assert "not used: odd.ome.tif" in result.stderr
    assert "2 cells integrated; 0 failed" in result.stderr
    assert "results.csv" in result.stderr
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["ok", "ok"]
    again = integrate(plate, "--folder", plate / "plate", "--out", tmp_path / "out")
    assert "2 of them by an earlier call" in again.stderr


def test_exact_integrates_with_the_plain_layers_and_again_what_was_not(plate, tmp_path):
    where = ("--folder", plate / "plate", "--out", tmp_path / "out", "--write", "none")
    assert integrate(plate, *where).exit_code == 0
    opened_model.cache_clear()
    again = integrate(plate, *where, "--exact")
    assert again.exit_code == 0, again.output
    assert "by an earlier call" not in again.stderr
    assert opened_model(str(plate / "tiny.zip"), "cpu", True).exact
    assert opened_model.cache_info().misses == 1
    assert "2 of them by an earlier call" in integrate(plate, *where, "--exact").stderr


def test_json_is_one_line_for_each_cell(plate, tmp_path):
    result = integrate(
        plate, "--folder", plate / "plate", "--out", tmp_path / "out", "--write", "none", "--json"
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["cell_id"] for row in rows] == ["f1/2", "f1/3"]
    assert len(rows[0]["z_ref"]) > 0


def test_json_has_escapes_in_place_of_what_is_no_utf_8(plate, tmp_path):
    try:
        write_labels(tmp_path / "in", *(os.fsdecode(b"r\xff_%s.ome.tif" % w) for w in (b"cells", b"nuclei")))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    more = ("--out", tmp_path / "out", "--write", "none", "--json")
    result = integrate(plate, "--folder", tmp_path / "in", *more)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["source"].rsplit("/", 1)[-1] for row in rows} == {"r\\udcff_cells.ome.tif"}


def test_a_dry_run_says_what_is_found_and_writes_nothing(plate, tmp_path):
    result = integrate(plate, "--folder", plate / "plate", "--out", tmp_path / "out", "--dry-run")
    assert result.exit_code == 0
    assert "2 cells in 1 field" in result.stderr
    assert (
        "f1: f1.ome.tif (membrane, dna, structure), f1_cells.ome.tif (cells), f1_nuclei.ome.tif (nuclei)"
        in (result.stderr)
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_cell_is_said_also_by_a_dry_run(plate, tmp_path):
    pattern = ("--pattern", "cells={field}_c.tif")
    said = integrate(plate, "--folder", plate / "plate", *pattern, "--dry-run")
    assert said.exit_code == 1
    assert "There is no cell to integrate" in said.stderr
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "broken.tif").write_bytes(b"II*\0")
    said = integrate(plate, "--folder", tmp_path / "only", "--dry-run")
    assert said.exit_code == 1
    assert "cannot be used: broken.tif" in said.stderr


@pytest.mark.parametrize("name", ["results.csv", "f1/cell_2.ome.tiff", "journal.jsonl"])
def test_a_file_of_someone_else_stops_the_command_before_it_writes(plate, tmp_path, name):
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine\n")
    result = integrate(plate, "--folder", plate / "plate", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert file.name in result.stderr.splitlines()[-1]
    assert "move it away" in result.stderr.splitlines()[-1]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [file]
    assert file.read_text() == "mine\n"


def test_channels_of_all_images_may_be_named(plate, tmp_path):
    write_image(tmp_path / "plate" / "odd.ome.tif", ("far red", "blue"))
    result = integrate(
        *(plate, "--folder", tmp_path / "plate", "--membrane", "far red", "--dna", "blue"),
        *("--out", tmp_path / "out", "--write", "none"),
    )
    assert result.exit_code == 0, result.output
    assert "segmented from membrane and DNA" in result.stderr


@pytest.mark.parametrize("write", ["cell", "field"])
def test_files_of_bytes(plate, tmp_path, write):
    out = tmp_path / "out"
    result = integrate(plate, "--folder", plate / "plate", "--out", out, "--write", write, "--dtype", "uint8")
    assert result.exit_code == 0, result.output
    (first, *_) = sorted(out.rglob("*.ome.tiff"))
    image = read_image(first)
    assert image.data.dtype == np.uint8
    assert image.channel("membrane").max() > 100
    with tifffile.TiffFile(first) as file:
        assert "255 means an intensity of 1." in (file.ome_metadata or "")


@pytest.mark.parametrize("way", ["--folder", "--manifest"])
def test_the_ensemble_of_a_folder_and_of_a_table(plate, tmp_path, way):
    source = plate / "plate" if way == "--folder" else write_tiny(tmp_path / "table", 2, {})
    result = integrate(plate, way, source, "--out", tmp_path / "out", "--ensemble", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert row["relative_spread_TOM20"] > 0
        assert read_image(row["file"]).channel_names == ("membrane", "dna", "TOM20", "TOM20 spread")


def test_a_table_with_one_bad_row_is_a_success(plate, tmp_path):
    table = write_tiny(tmp_path / "table", 3, {1: {"crop_seg": "gone.ome.tif"}})
    result = integrate(plate, "--manifest", table, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 cells integrated; 1 failed" in result.stderr
    assert "1001 failed: " in result.stderr


def test_a_voxel_size_is_that_of_every_row_of_a_table(plate, tmp_path):
    rows = [
        f"{label},f1_cells.ome.tif,f1_nuclei.ome.tif,{label},{size}\n"
        for label, size in ((2, ""), (3, '"1,1,1"'))
    ]
    table = plate / "plate" / "cells.csv"
    table.write_text("cell_id,cell_segmentation,nucleus_segmentation,cell_label,voxel_size\n" + "".join(rows))
    volumes = {}
    for name, more in (("own", ()), ("given", ("--voxel-size", "2,1,1"))):
        out = ("--out", tmp_path / name, "--write", "none")
        result = integrate(plate, "--manifest", table, *out, *more)
        assert result.exit_code == 0, result.output
        with (tmp_path / name / "results.csv").open(encoding="utf-8") as file:
            volumes[name] = [float(row["cell_volume"]) for row in csv.DictReader(file)]
    table.unlink()
    assert volumes["given"] == [2 * volume for volume in volumes["own"]]


def test_no_good_cell_is_a_failure(plate, tmp_path):
    table = write_tiny(tmp_path / "table", 1, {0: {"crop_seg": "gone.ome.tif"}})
    result = integrate(plate, "--manifest", table, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "0 cells integrated; 1 failed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--folder", "plate", "--manifest", "x.csv"), "not both"),
        (("--folder", "plate", "--label", "3"), "--label are for one field"),
        (("--folder", "plate", "--write", "all"), "cell, field or none"),
        (("--folder", "plate", "--dtype", "float32"), "choose uint16 or uint8"),
        (("--folder", "plate", "--out", "plate"), "folder of their own"),
        (("--folder", "plate", "--out", "tiny.zip"), "is a file"),
        (("--folder", "plate", "--pattern", "cells.tif"), "{field}"),
        (("--folder", "plate", "--structures", "mitochondriom"), "TOM20"),
        (("--folder", "gone"), "gone"),
        (("--manifest", "gone.csv"), "gone.csv"),
        (("--pattern", "{field}_cells.tif"), "need --folder"),
        (
            ("--manifest", "x.csv", "--pattern", "{field}_cells.tif"),
            "--pattern cannot be given with --manifest",
        ),
        (("--manifest", "x.csv", "--axes", "ZYX"), "--axes cannot be given"),
        (("--manifest", "x.csv", "--scene", "0", "--time", "0"), "--scene and --time cannot be given"),
        (("--manifest", "x.csv", "--reader", "bioio"), "--reader cannot be given"),
        (("--manifest", "x.csv", "--membrane", "0", "--dna", "1"), "--membrane and --dna cannot be given"),
    ],
)
def test_what_goes_wrong_is_said_before_anything_is_computed(plate, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(plate)
    before = sorted(plate.rglob("*"))
    out = () if "--out" in arguments else ("--out", tmp_path / "out")
    result = integrate(plate, *arguments, *out)
    assert result.exit_code == 1
    assert says in result.stderr.splitlines()[-1]
    assert sorted(plate.rglob("*")) == before


def test_the_help_has_an_example_of_each_way():
    text = CliRunner().invoke(app, ["integrate", "--help"], env={"COLUMNS": "120"}).stdout
    for part in ("--label all", "--folder plate1", "--manifest cells.csv", "--dry-run"):
        assert part in text
