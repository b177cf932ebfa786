"""Run `napari-ic variation` as a program: it reads a field or a table of cells, and writes a table and a picture."""

from __future__ import annotations

import csv
import json
import shutil
from math import inf

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_integrated_cell.commands import variation as command
from napari_integrated_cell.commands.extremes import Extremes
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.imaging.pose import pose_of, posed_mask, posed_references
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model, save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.simulation import simulate_field, write_dataset
from napari_integrated_cell.variation.structure_variation import structure_variation

app = typer.Typer()
app.command()(command.variation)


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An untrained model, a simulated data set of three cells, a simulated field of two."""
    folder = tmp_path_factory.mktemp("world")
    save_bundle(
        IntegratedCell.untrained(preset("tiny")),
        folder / "tiny.zip",
        card={"simulated": True},
        model_card_markdown="# tiny\n",
    )
    write_dataset(folder / "cells", 3, seed=2, voxel_size=1.268)
    field = simulate_field(1, n_cells=2, voxel_size=(1.0, 1.0, 1.0))
    write_ome_tiff(folder / "cells.ome.tif", {"labels": field.cell_labels.astype(np.uint8)}, (1.0, 1.0, 1.0))
    write_ome_tiff(
        folder / "nuclei.ome.tif", {"labels": field.nucleus_labels.astype(np.uint8)}, (1.0, 1.0, 1.0)
    )
    return folder


def on_table(world, out, *more):
    return call(
        "--table", world / "cells" / "metadata.csv", "--model", world / "tiny.zip", "--draws", 12,
        "--structures", "TOMM20,lamin B1", "--out", out, *more,
    )  # fmt: skip


def test_a_table_of_cells_becomes_a_table_of_scores_and_a_picture(world, tmp_path):
    out = tmp_path / "v.csv"
    result = on_table(world, out, "--json", "--seed", 5)
    assert result.exit_code == 0, result.output
    rows = rows_of(out)
    assert [(r["cell"], r["structure"]) for r in rows] == [
        (cell, name) for cell in "123" for name in ("TOM20", "lamin-B1")
    ]
    stages = {r["CellId"]: r["simulated_stage"] for r in rows_of(world / "cells" / "metadata.csv")}
    assert all(r["stage"] == stages[r["cell"]] for r in rows)
    assert {(r["n"], r["compared_in"]) for r in rows} == {("12", "cell")}
    summary = json.loads(result.stdout)
    assert summary["rows"][0]["score"] == pytest.approx(float(rows[0]["score"]))
    assert (summary["n"], summary["seed"], summary["left_out"]) == (12, 5, [])
    assert summary["picture"] == str(tmp_path / "v.png")
    assert Image.open(tmp_path / "v.png").size[0] >= 640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.csv", "v.png"]


@pytest.mark.parametrize("within_cell", [True, False])
def test_the_table_says_what_the_library_says(world, tmp_path, within_cell):
    out = tmp_path / "v.csv"
    result = on_table(world, out, "--within-cell" if within_cell else "--whole-box", "--ridge", 1e-3)
    assert result.exit_code == 0, result.output
    model = load_model(world / "tiny.zip", device="cpu")
    cell = open_table(world / "cells" / "metadata.csv").at(1).read()
    pose = pose_of(cell, model_box(model.config))
    found = structure_variation(
        model,
        model.encode(posed_references(cell, pose)[None]),
        "TOM20",
        12,
        mask=posed_mask(cell, pose) if within_cell else None,
        ridge=1e-3,
    )
    row = rows_of(out)[2]
    assert float(row["score"]) == pytest.approx(found.score, abs=1e-5)
    assert float(row["effective_rank"]) == pytest.approx(found.effective_rank, abs=1e-3)


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(world, tmp_path):
    written = []
    for i, seed in enumerate((1, 1, 2)):
        assert on_table(world, tmp_path / f"{i}.csv", "--seed", seed).exit_code == 0
        written.append((tmp_path / f"{i}.csv").read_bytes())
    assert written[0] == written[1] != written[2]


def test_every_cell_of_a_field_or_one_of_it(world, tmp_path):
    field = ("--cells", world / "cells.ome.tif", "--nuclei", world / "nuclei.ome.tif", "--draws", 4)
    model = ("--model", world / "tiny.zip")
    every = call(*field, *model, "--label", "all", "--out", tmp_path / "all.csv")
    assert every.exit_code == 0, every.output
    rows = rows_of(tmp_path / "all.csv")
    assert len(rows) == 2 * 11
    assert {r["stage"] for r in rows} == {""}
    assert (tmp_path / "all.png").exists()
    one = call(*field, *model, "--label", rows[0]["cell"].split()[1], "--out", tmp_path / "one.csv")
    assert one.exit_code == 0, one.output
    assert rows_of(tmp_path / "one.csv") == rows[:11]
    assert not (tmp_path / "one.png").exists()


def test_a_table_of_ones_own(world, tmp_path):
    (tmp_path / "own.csv").write_text(
        "cell_id,cell_segmentation,nucleus_segmentation,label,stage,voxel_size\n"
        f"a,{world}/cells.ome.tif,{world}/nuclei.ome.tif,1,metaphase,\n"
        f"b,{world}/cells.ome.tif,{world}/nuclei.ome.tif,2,,1.0\n"
    )
    result = call(
        "--table",
        tmp_path / "own.csv",
        "--model",
        world / "tiny.zip",
        "--draws",
        4,
        "--out",
        tmp_path / "v.csv",
    )
    assert result.exit_code == 0, result.output
    assert {(r["cell"], r["stage"]) for r in rows_of(tmp_path / "v.csv")} == {("a", "metaphase"), ("b", "")}


def test_a_cell_that_cannot_be_read_costs_itself(world, tmp_path):
    shutil.copytree(world / "cells", tmp_path / "cells")
    (tmp_path / "cells" / "crop_seg" / "2_segmentation.ome.tif").write_bytes(b"no image")
    result = call(
        "--table", tmp_path / "cells" / "metadata.csv", "--model", world / "tiny.zip", "--draws", 4,
        "--structures", "ZO1", "--out", tmp_path / "v.csv", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [r["cell"] for r in rows_of(tmp_path / "v.csv")] == ["1", "3"]
    assert [c["cell"] for c in json.loads(result.stdout)["left_out"]] == ["2"]
    assert "2 is left out" in result.stderr


def test_ctrl_c_leaves_nothing_half_written(world, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    out = tmp_path / "v.csv"
    out.write_text("of yesterday")
    with monkeypatch.context() as patch:
        patch.setattr(
            "napari_integrated_cell.variation.structure_variation.structure_variations", interrupted
        )
        result = on_table(world, out)
    assert result.exit_code == 130
    with monkeypatch.context() as patch:
        patch.setattr("napari_integrated_cell.imaging.atomic.os.replace", interrupted)
        result = on_table(world, out)
    assert result.exit_code == 130
    assert out.read_text() == "of yesterday"
    assert [p.name for p in tmp_path.iterdir()] == ["v.csv"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--out", "v.txt"), ".csv"),
        (("--out", "nowhere/v.csv"), "does not exist"),
        (("--draws", 1), "--draws"),
        (("--structures", "mitochondriom"), "TOM20"),
        (("--label", "3"), "not both"),
        (("--ridge", -1), "ridge"),
        (("--seed", -1), "seed"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_nothing_is_written(
    world, tmp_path, monkeypatch, arguments, says
):
    monkeypatch.chdir(tmp_path)
    result = on_table(world, "v.csv", *arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lists no cells"),
        ("a,b\n1,2\n", "crop_seg"),
        ("crop_seg\n\n", "lists no cells"),
        ("\xff\x81", "UTF-8"),
    ],
)
def test_what_is_no_table_of_cells_is_said(world, tmp_path, text, says):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="latin-1")
    result = call("--table", path, "--model", world / "tiny.zip", "--out", tmp_path / "v.csv")
    assert result.exit_code == 1
    assert says in result.stderr


def test_rows_that_say_too_little(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("CellId,crop_seg,cell_stage,name_dict\n7,,M0,\n,x.tif,M4M5,{oh\n")
    first, second = open_table(path).entries()
    assert (first.name, second.name) == ("7", "row 2")
    with pytest.raises(ValueError, match="'crop_seg' is empty"):
        first.read()
    with pytest.raises(ValueError, match="name_dict"):
        second.read()


def test_only_the_ends_are_kept_in_order():
    extremes, tile = Extremes(each_end=2), np.zeros((30, 20, 3), np.uint8)
    for score in (3.0, 1.0, inf, 2.0, 7.0, -1.0, 4.0):
        extremes.offer("TOM20", score, str(score), tile)
    assert [caption for _, caption, _ in extremes._kept["TOM20"]] == ["inf", "7.0", "1.0", "-1.0"]
    extremes.offer("ZO1", 1.0, "alone", tile)
    picture = extremes.sheet("a title")
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.max() > 200
