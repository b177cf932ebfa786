"""The command reports the result for every cell, and draws some cells."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import typer
from PIL import Image
from tiny_cells import BOX, prepared, write_tiny
from typer.testing import CliRunner

from napari_ic_train.commands.prepare import prepare
from napari_ic_train.data.posed_picture import draw_posed, views
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.model.catalogue import read_manifest

app = typer.Typer()
app.command()(prepare)


def call(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in ("--workers", 1, "--preset", "tiny", *arguments)])


@pytest.fixture
def dataset(tmp_path):
    change = {1: {"structure_name": "NPM1"}, 2: {"crop_raw": "gone.ome.tif"}, 3: {"outlier": "Yes"}}
    return write_tiny(tmp_path / "cells", 6, change)


def test_what_was_kept_left_out_and_refused_is_said(dataset, tmp_path):
    said = call("--manifest", dataset, "--out", tmp_path / "store", "--picture", tmp_path / "posed.png")
    assert said.exit_code == 0, said.output
    assert "Prepared 3 cells" in said.stdout
    assert "Left out: 1 other structure NPM1, 1 outlier." in said.stdout
    assert "1 could not be prepared" in said.stdout
    assert "napari-ic-train: 1002 could not be prepared: There is no file" in said.stderr
    assert Image.open(tmp_path / "posed.png").width > 500


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"name_dict": "{'crop_raw': "}, "not a Python literal"), ({"crop_raw": "gone.tif"}, "no file")],
)
def test_reasons_are_printed_and_reported_if_every_row_is_faulty(tmp_path, change, reason):
    table = write_tiny(tmp_path / "cells", 2, dict.fromkeys(range(2), change))
    said = call("--manifest", table, "--out", tmp_path / "store")
    assert said.exit_code == 1
    lines = [line for line in said.stderr.splitlines() if "could not be prepared: " in line]
    assert [line.split(": ")[1] for line in lines] == [f"{1000 + i} could not be prepared" for i in range(2)]
    assert all(reason in line for line in lines)
    assert "report.csv has the reason for each" in said.stderr.splitlines()[-1]
    with (tmp_path / "store" / "report.csv").open(newline="") as file:
        assert [row["CellId"] for row in csv.DictReader(file) if reason in row["reason"]] == ["1000", "1001"]
    assert len(prepared(write_tiny(tmp_path / "sound", 2), tmp_path / "store2")) == 2


def test_of_many_reasons_the_first_are_printed(tmp_path):
    table = write_tiny(tmp_path / "cells", 13, {i: {"crop_seg": ""} for i in range(1, 13)})
    said = call("--manifest", table, "--out", tmp_path / "store")
    assert said.exit_code == 0, said.output
    assert said.stderr.count("could not be prepared: The column 'crop_seg' is empty.") == 10
    assert "and 2 more." in said.stderr


def test_the_summary_for_machines(dataset, tmp_path):
    said = call("--manifest", dataset.parent, "--out", tmp_path / "store", "--keep-other", "--json")
    summary = json.loads(said.stdout)
    assert (summary["cells"], summary["refused"]) == (4, 1)
    assert summary["left_out"] == {"outlier": 1}
    assert sum(summary["splits"].values()) == 4


def test_what_is_wrong_is_said_in_one_line(dataset, tmp_path):
    said = call("--manifest", tmp_path / "none.csv", "--out", tmp_path / "store")
    assert said.exit_code == 1
    assert said.stderr.strip().splitlines()[-1].startswith("napari-ic-train: There is no table of cells")


def test_the_picture_shows_three_slices_and_a_bar_of_its_length():
    membrane = np.zeros((8, 12, 16), np.float32)
    membrane[4, 2, 3] = 1  # in the slice of XY only
    drawn = views({"membrane": membrane, "dna": np.zeros_like(membrane)}, 2.0, "", 4)
    magenta = (drawn[..., 0] > 150) & (drawn[..., 2] > 150) & (drawn[..., 1] < 60)
    rows, columns = np.nonzero(magenta)
    assert magenta.any()
    assert columns.max() < 10 + 16 * 4, "in the first view"
    assert abs(columns.mean() - (10 + 3.5 * 4)) < 2
    assert abs(rows.mean() - (46 + 2.5 * 4)) < 2
    white = (drawn[-60:] == 255).all(axis=2).sum(axis=1)
    assert white.max() == 21, "10 µm are five voxels of four pixels"


def test_simulated_cells_are_called_so_only_where_they_are(dataset, tmp_path):
    store = prepared(dataset, tmp_path / "store", keep_other=True)
    assert store.box == BOX.shape
    assert draw_posed(store, tmp_path / "a.png", n_cells=2).is_file()


def test_cells_are_posed_into_the_box_of_a_bundle(dataset, tmp_path):
    arguments = ("--manifest", str(dataset), "--workers", "1", "--out")
    said = CliRunner().invoke(app, [*arguments, str(tmp_path / "store"), "--model", "demo"])
    assert said.exit_code == 0, said.output
    store, config = CellStore(tmp_path / "store"), read_manifest("demo").config
    assert (store.box, store.voxel_size) == (config.box, config.voxel_size)
    both = CliRunner().invoke(
        app, [*arguments, str(tmp_path / "other"), "--model", "demo", "--preset", "demo"]
    )
    assert both.exit_code == 1
    assert "Give --preset or --model, not both" in both.stderr
    assert not (tmp_path / "other").exists()
