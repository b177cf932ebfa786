"""Whole batches: every cell gets a row, a second call makes what is missing, and one bad cell stops nothing."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import distributed
import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_bundle import CONFIG
from tiny_cells import write_tiny
from tiny_fields import VOXEL, side_by_side, write_image, write_labels

from napari_integrated_cell.batch import cell_row
from napari_integrated_cell.batch.cell_row import BatchSettings, reason_of
from napari_integrated_cell.batch.folder import fields_of_folder
from napari_integrated_cell.batch.found_fields import fields_of_table
from napari_integrated_cell.batch.journal import Journal
from napari_integrated_cell.batch.listing import list_fields
from napari_integrated_cell.batch.run import JOURNAL, SEGMENTED, WORKING, integrate_batch
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.image_cells import cells_of_image
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import integrate_cell, to_field
from napari_integrated_cell.latent.recognition import Recognition
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.processes import CancelToken


def run(found, out: Path, settings: BatchSettings, **more):
    """Run a batch; return its result and the rows that this call made."""
    out.mkdir(exist_ok=True)
    journal = Journal(out / JOURNAL)
    listed = list_fields(found, out / SEGMENTED, journal)
    new: list[dict] = []
    result = integrate_batch(found, listed, settings, out, journal, on_row=new.append, **more)
    return result, new


@pytest.fixture
def settings(model) -> BatchSettings:
    return BatchSettings(str(model), "cpu", ("TOM20",))


def test_a_row_says_that_a_channel_shows_none_of_the_structures(plate, tmp_path, settings, monkeypatch):
    poses = []

    def none_of_these(cell, channel, model, *, pose):
        poses.append(pose)
        return Recognition({"TOM20": 0.9}, none_of_these=True)

    monkeypatch.setattr(cell_row, "recognise_cell", none_of_these)
    result, _ = run(fields_of_folder(plate), tmp_path / "out", settings)
    assert [row.get("none_of_these") for row in result.rows] == [True, True, None, None]
    assert all(pose.box.shape == CONFIG.box for pose in poses)
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        assert [row["none_of_these"].lower() for row in csv.DictReader(file)] == ["true", "true", "", ""]


def test_every_cell_has_a_row_and_a_file(plate, tmp_path, settings, model):
    result, new = run(fields_of_folder(plate), tmp_path / "out", settings)
    assert [row["cell_id"] for row in result.rows] == ["f1/2", "f1/3", "day 2/2", "day 2/3"]
    assert (result.made, result.kept, len(new), result.stopped) == (4, 0, 4, False)
    first = result.rows[0]
    assert first["source"].endswith("f1.ome.tif")
    assert first["nearest_stage"] == "interphase"
    assert first["classified_as"] in CONFIG.structures
    assert first["none_of_these"] is None  # this model has no limits for it
    assert "classified_as" not in result.rows[2]
    assert first["cell_volume"] == side_by_side("cell_mask").astype(bool)[:, :, :30].sum()
    (cell, _), shape = cells_of_image(
        plate / "f1.ome.tif", plate / "f1_cells.ome.tif", plate / "f1_nuclei.ome.tif", label="all"
    )
    expected = integrate_cell(cell, load_model(model, device="cpu"), ["TOM20"])
    np.testing.assert_allclose(first["z_ref"], expected.z_ref, atol=1e-6)
    image = read_image(first["file"])
    assert image.channel_names == ("membrane", "dna", "TOM20")
    assert image.data.shape[1:] == cell.shape
    offset = (first["offset_z"], first["offset_y"], first["offset_x"])
    assert offset == cell.offset
    assert all(o + n <= whole for o, n, whole in zip(offset, cell.shape, shape, strict=True))
    assert not (tmp_path / "out" / WORKING).exists()


def test_the_table_is_csv_and_parquet_with_one_row_for_each_cell(plate, tmp_path, settings):
    result, _ = run(fields_of_folder(plate), tmp_path / "out", settings)
    with result.tables[0].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(result.tables[1]).to_pylist()
    assert (
        [r["cell_id"] for r in rows] == [r["cell_id"] for r in table] == [r["cell_id"] for r in result.rows]
    )
    assert float(rows[1]["z_ref_3"]) == pytest.approx(table[1]["z_ref"][3], abs=1e-6)
    assert len(table[0]["z_ref"]) == CONFIG.n_ref
    assert table[0]["flip_x"] in (True, False)
    assert table[0]["warnings"] == result.rows[0]["warnings"]


def test_a_second_call_makes_nothing_and_what_changed_is_made_again(plate, tmp_path, settings):
    out = tmp_path / "out"
    first, _ = run(fields_of_folder(plate), out, settings)
    again, new = run(fields_of_folder(plate), out, settings)
    assert (new, again.kept) == ([], 4)
    assert again.rows == first.rows
    Path(first.rows[1]["file"]).unlink()
    _, new = run(fields_of_folder(plate), out, settings)
    assert [row["cell_id"] for row in new] == ["f1/3"]
    write_labels(plate / "day 2", "cell_labels.ome.tif", "nucleus_labels.ome.tif", first=6)
    _, new = run(fields_of_folder(plate), out, settings)
    assert [row["cell_id"] for row in new] == ["day 2/2", "day 2/3"]
    _, new = run(fields_of_folder(plate), out, replace(settings, structures=("ZO1",)))
    assert len(new) == 4


def test_bad_cells_fields_and_files_cost_one_row_each(plate, tmp_path, settings):
    labels = read_image(plate / "f1_cells.ome.tif").data[0].copy()
    labels[5, 0, :3] = 9
    write_ome_tiff(plate / "f1_cells.ome.tif", {"labels": labels}, VOXEL)
    write_labels(plate / "bad", "cells.tif", "nuclei.tif")
    write_ome_tiff(plate / "bad" / "nuclei.tif", {"labels": side_by_side("nucleus_mask")[2:9]}, VOXEL)
    (plate / "broken.tif").write_bytes(b"II*\0")
    result, _ = run(fields_of_folder(plate), tmp_path / "out", settings)
    failed = {row["cell_id"]: row["reason"] for row in result.failed}
    assert set(failed) == {"f1/9", "bad", "broken.tif"}
    assert "stray" in failed["f1/9"]
    assert "shape" in failed["bad"]
    assert result.made == 4
    _, new = run(fields_of_folder(plate), tmp_path / "out", settings)
    assert {row["cell_id"] for row in new} == {"f1/9", "bad", "broken.tif"}, "what failed is tried again"


def test_rows_of_a_table_keep_their_ids_and_each_is_reported(plate, tmp_path, settings):
    shown = {"cell_segmentation": "f1_cells.ome.tif", "nucleus_segmentation": "f1_nuclei.ome.tif"}
    rows = [
        {
            "cell_id": "a",
            "cell_segmentation": "gone.tif",
            "nucleus_segmentation": "gone.tif",
            "cell_label": 1,
        },
        {
            "cell_id": "b",
            "cell_segmentation": "gone.tif",
            "nucleus_segmentation": "gone.tif",
            "cell_label": 2,
        },
        {"cell_id": "c", **shown, "cell_label": 2},
        {"cell_id": "c", **shown, "cell_label": 3},
        {"cell_id": "c", **shown, "cell_label": "x"},
    ]
    with (plate / "cells.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["cell_id", "image", "structure", *rows[0]][:3] + list(rows[0])[1:])
        writer.writeheader()
        writer.writerows(rows)
    result, new = run(fields_of_table(open_table(plate / "cells.csv")), tmp_path / "out", settings)
    ids = {row["cell_id"]: row["outcome"] for row in result.rows}
    assert ids == {"a": "failed", "b": "failed", "c": "ok", "c (row 4)": "failed", "c (row 5)": "failed"}
    assert {row["cell_id"] for row in new} == set(ids), "each row of the table is reported"
    assert len(result.rows) == 5
    assert "gone.tif" in next(row["reason"] for row in result.rows if row["cell_id"] == "b")


@pytest.mark.parametrize(
    ("name", "what"),
    [("f1_cells.ome.tif", "cells"), ("f1_nuclei.ome.tif", "nuclei"), ("day 2/cell_labels.ome.tif", "cells")],
)
def test_a_field_whose_labels_are_all_0_has_a_row_with_the_reason(plate, tmp_path, settings, name, what):
    empty = np.zeros_like(side_by_side("cell_mask"))
    write_ome_tiff(plate / name, {"labels": empty}, VOXEL)
    found = fields_of_folder(plate)
    assert not found.unused
    result, _ = run(found, tmp_path / "out", settings)
    reason = f"{Path(name).name} holds no label of {what}: it is 0 everywhere."
    assert [(row["cell_id"], row["reason"]) for row in result.failed] == [
        (name.split("_")[0].split("/")[0], reason)
    ]
    assert result.made == 2


def test_a_stain_that_is_0_everywhere_is_no_label_image(plate):
    zeros = np.zeros_like(side_by_side("membrane"))
    for name in ("f1_membrane", "f1_cell membrane", "a_membrane"):
        write_ome_tiff(plate / f"{name}.ome.tif", {"c": zeros}, VOXEL)
    field = fields_of_folder(plate).fields[0]
    assert Path(field.cells.path).name == "f1_cells.ome.tif"


def test_a_name_that_is_no_utf_8_is_written_with_escapes(plate, tmp_path, settings):
    try:
        (plate / "f1_cells.ome.tif").rename(plate / os.fsdecode(b"r\xff_cells.ome.tif"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (plate / "f1_nuclei.ome.tif").rename(plate / os.fsdecode(b"r\xff_nuclei.ome.tif"))
    (plate / "f1.ome.tif").unlink()
    (plate / os.fsdecode(b"broken\xff.tif")).write_bytes(b"")
    result, _ = run(fields_of_folder(plate), tmp_path / "out", settings)
    assert result.made == 4
    with result.tables[0].open(encoding="utf-8") as file:
        sources = {row["source"] for row in csv.DictReader(file)}
    assert sources == {row["source"] for row in pq.read_table(result.tables[1]).to_pylist()}
    assert any(source.endswith("r\\udcff_cells.ome.tif") for source in sources)
    assert run(fields_of_folder(plate), tmp_path / "out", settings)[0].kept == 4


def test_an_error_of_the_program_is_named_as_one():
    assert reason_of(ValueError("It is 0\neverywhere.")) == "It is 0 everywhere."
    assert "please report it" in reason_of(NameError("name 'x' is not defined"))


def test_fields_are_joined_and_a_later_cell_is_added(plate, tmp_path, settings, model):
    shutil.rmtree(plate / "day 2")
    files = [plate / f"f1{part}.ome.tif" for part in ("", "_cells", "_nuclei")]
    cells, shape = cells_of_image(*files, label="all")
    loaded = load_model(model, device="cpu")
    expected = to_field([integrate_cell(cell, loaded, ["TOM20"]) for cell in cells], shape, np.uint16)
    out, stop = tmp_path / "out", CancelToken()
    joined = replace(settings, write="field")
    found = fields_of_folder(plate)
    result, _ = run(
        found, out, joined, stop=stop, progress=lambda done, total, what: stop.cancel() if done else None
    )
    assert result.stopped
    assert len(result.rows) == 1
    result, new = run(found, out, joined)
    assert len(new) == 1
    for row in result.rows:
        assert row["file"] == str(out.resolve() / "f1.ome.tiff")
    image = read_image(out / "f1.ome.tiff")
    for name, volume in expected.items():
        np.testing.assert_array_equal(image.channel(name), volume)
    assert sorted(p.name for p in out.iterdir()) == ["f1.ome.tiff", JOURNAL, "results.csv", "results.parquet"]
    assert run(found, out, joined)[1] == []


def test_without_files_there_is_only_the_table(plate, tmp_path, settings):
    with_files, _ = run(fields_of_folder(plate), tmp_path / "a", settings)
    result, _ = run(fields_of_folder(plate), tmp_path / "b", replace(settings, write="none"))
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [JOURNAL, "results.csv", "results.parquet"]
    for one, other in zip(result.rows, with_files.rows, strict=True):
        np.testing.assert_allclose(one["z_ref"], other["z_ref"], atol=1e-6)


def test_a_field_without_labels_is_segmented_once(tmp_path, settings):
    write_image(tmp_path / "plate" / "f1.ome.tif")
    found = fields_of_folder(tmp_path / "plate")
    result, _ = run(found, tmp_path / "out", replace(settings, write="none"))
    assert result.made > 0
    segmented = tmp_path / "out" / SEGMENTED / "f1_cells.ome.tiff"
    before = segmented.read_bytes()
    assert run(found, tmp_path / "out", replace(settings, write="none"))[1] == []
    write_image(tmp_path / "plate" / "f1.ome.tif", first=6)
    _, new = run(fields_of_folder(tmp_path / "plate"), tmp_path / "out", replace(settings, write="none"))
    assert new
    assert segmented.read_bytes() != before, "another image is segmented again"


def test_a_table_of_cells_with_files_of_their_own_and_of_fields(plate, tmp_path, settings):
    table = write_tiny(tmp_path / "table", 3, {1: {"crop_seg": "gone.ome.tif"}})
    result, _ = run(fields_of_table(open_table(table)), tmp_path / "a", settings)
    assert [(row["cell_id"], row["outcome"]) for row in result.rows] == [
        ("1000", "ok"), ("1001", "failed"), ("1002", "ok"),
    ]  # fmt: skip
    assert result.rows[0]["stage"] == "interphase"
    own = plate / "cells.csv"
    own.write_text(
        "cell_id,cell_segmentation,nucleus_segmentation,cell_label,image,structure,structure_channel\n"
        "a,f1_cells.ome.tif,f1_nuclei.ome.tif,3,f1.ome.tif,TOMM20,EGFP\n"
        "b,f1_cells.ome.tif,f1_nuclei.ome.tif,7,f1.ome.tif,TOMM20,EGFP\n"
        "c,f1_cells.ome.tif,f1_nuclei.ome.tif,2,f1.ome.tif,TOMM20,EGFP\n"
    )
    result, _ = run(fields_of_table(open_table(own)), tmp_path / "b", settings)
    assert [(row["cell_id"], row["label"], row["outcome"]) for row in result.rows] == [
        ("a", 3, "ok"), ("b", 7, "failed"), ("c", 2, "ok"),
    ]  # fmt: skip
    assert result.rows[0]["structure"] == "TOM20"


def test_the_journal_forgets_only_a_line_that_was_being_written(tmp_path):
    journal = Journal(tmp_path / "j")
    for n in range(3):
        journal.add("cell", str(n), {"n": n})
    with (tmp_path / "j").open("a") as file:
        file.write('["cell", "3", {"n')
    again = Journal(tmp_path / "j")
    again.add("cell", "4", {"n": 4})
    assert [Journal(tmp_path / "j").get("cell", str(n)) for n in range(5)] == [
        {"n": 0}, {"n": 1}, {"n": 2}, None, {"n": 4},
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("where", ["two processes", "a cluster"])
def test_several_processes_make_the_same_rows(plate, tmp_path, settings, where):
    one, _ = run(fields_of_folder(plate), tmp_path / "a", settings)
    if where == "a cluster":
        with distributed.LocalCluster(n_workers=1, dashboard_address=None, silence_logs=50) as cluster:
            two, _ = run(
                fields_of_folder(plate), tmp_path / "b", settings, scheduler=cluster.scheduler_address
            )
    else:
        two, _ = run(fields_of_folder(plate), tmp_path / "b", replace(settings, threads=1), workers=2)
    assert two.made == 4
    for a, b in zip(one.rows, two.rows, strict=True):
        np.testing.assert_allclose(a.pop("z_ref"), b.pop("z_ref"), atol=1e-5)
        same = ("cell_id", "outcome", "angle_degrees", "cell_volume", "offset_x", "nearest_stage")
        assert [a.get(name) for name in same] == [b.get(name) for name in same]


@pytest.mark.slow
def test_a_killed_batch_goes_on_where_it_was(plate, tmp_path, model):
    for n in range(4):
        write_labels(plate / f"more{n}", "cells.tif", "nuclei.tif", first=8 + 2 * n)
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "napari_integrated_cell.cli", "integrate", "--folder", str(plate)),
        *("--model", str(model), "--out", str(out), "--json", "--structures", "TOM20"),
    ]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert started.stdout is not None
    first = [json.loads(started.stdout.readline())["cell_id"] for _ in range(3)]
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    second = [json.loads(line)["cell_id"] for line in done.stdout.splitlines()]
    assert not set(first) & set(second)
    assert len(list(csv.DictReader((out / "results.csv").open(encoding="utf-8")))) == 12


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_after_the_present_cell_and_says_how_to_go_on(plate, tmp_path, model, workers):
    for n in range(8):
        write_labels(plate / f"more{n}", "cells.tif", "nuclei.tif", first=8 + 2 * n)
    command = [
        *(sys.executable, "-m", "napari_integrated_cell.cli", "integrate", "--folder", str(plate)),
        *("--model", str(model), "--out", str(tmp_path / "out"), "--json", "--workers", str(workers)),
    ]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stdout is not None
    started.stdout.readline()
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, said = started.communicate(timeout=240)
    assert started.returncode == 130
    assert "goes on" in said
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        assert 1 <= len(list(csv.DictReader(file))) < 20
