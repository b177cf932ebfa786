"""Fetch the public dataset from a real S3 server on this machine, over good and unreliable connections."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from fetch_steps import command, fetched_from, holds, loose_ends, source_at, table
from s3_server import BUCKET, PACKAGE, URL, Dataset

from napari_ic_train.data.choice import Choice
from napari_ic_train.data.fetch import fetch, plan_fetch


def test_chosen_cells_come_whole_with_all_columns_of_their_rows(server, tmp_path):
    dataset = Dataset(server)
    result = command(
        "--out", tmp_path, "--structures", "mitochondria", "--cells", 4, "--source", URL,
        "--endpoint", server.endpoint, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    rows = table(tmp_path / "metadata.csv")
    assert len(rows) == summary["complete"] == 4
    assert summary["verified"] == {"sha256 in the name": 8}
    originals = {str(r["CellId"]): {k: str(v) for k, v in r.items()} for r in dataset.rows}
    assert all(row == originals[row["CellId"]] and row["structure_name"] == "TOMM20" for row in rows)
    assert all(holds(tmp_path, dataset, row) for row in rows)
    assert len(list((tmp_path / "crop_raw").iterdir())) == 4
    assert not loose_ends(tmp_path)
    assert "8 files: 24." in result.stderr  # said before it starts


def test_the_public_dataset_is_read_without_any_key(server, line_to, tmp_path):
    Dataset(server, cells=1)
    line = line_to()
    fetched_from(line.endpoint, tmp_path)
    assert line.requests
    assert not any(b"authorization" in request.lower() for request in line.requests)


def test_a_dry_run_only_tells(server, tmp_path):
    dataset = Dataset(server, cells=3)
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["bytes"] == sum(map(len, dataset.bodies.values()))
    assert summary["cells"] == {"LMNB1": 3, "TOMM20": 3}
    assert summary["bytes_here_before"] == 0
    assert not (tmp_path / "metadata.csv").exists()
    assert not (tmp_path / "crop_raw").exists()


def test_the_size_of_a_large_choice_is_extrapolated_and_said_so(server, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ic_train.data.fetch.MOST_ASKED", 20)
    dataset = Dataset(server, cells=6)
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint, "--dry-run")
    assert "extrapolated from 2 of the files" in result.output
    fetched = fetched_from(server.endpoint, tmp_path)
    assert fetched.plan.bytes_in_all == pytest.approx(sum(map(len, dataset.bodies.values())), rel=0.01)
    assert len(fetched.complete) == 12


def test_what_is_there_is_not_fetched_again_and_what_is_wrong_is(server, line_to, tmp_path):
    dataset = Dataset(server, cells=2)
    fetched_from(server.endpoint, tmp_path)
    broken = dataset.rows[0]["crop_raw"]
    (tmp_path / broken).write_bytes(bytes(len(dataset.bodies[broken])))
    line = line_to()
    fetched_from(line.endpoint, tmp_path)
    assert len(line.asked(b"GET", broken)) == 1
    assert len(line.asked(b"GET", ".ome.tif")) == 1
    assert not line.asked(b"GET", "metadata.csv")
    assert holds(tmp_path, dataset, dataset.rows[0])


def test_half_a_file_is_continued_by_a_ranged_read(server, line_to, tmp_path):
    dataset = Dataset(server, cells=1)
    path = dataset.rows[0]["crop_raw"]
    part = tmp_path / f"{path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(dataset.bodies[path][:1234])
    line = line_to()
    fetched_from(line.endpoint, tmp_path)
    (request,) = line.asked(b"GET", path)
    assert re.search(rb"(?i)range: bytes=1234-2999\r", request)
    assert holds(tmp_path, dataset, dataset.rows[0])
    assert not loose_ends(tmp_path)


@pytest.mark.parametrize("part", [b"not the beginning of it", bytes(9000)], ids=["other bytes", "too long"])
def test_half_of_another_file_costs_one_more_try(server, tmp_path, part):
    dataset = Dataset(server, cells=1)
    path = tmp_path / (dataset.rows[0]["crop_seg"] + ".part")
    path.parent.mkdir(parents=True)
    path.write_bytes(part)
    assert len(fetched_from(server.endpoint, tmp_path).complete) == 2
    assert holds(tmp_path, dataset, dataset.rows[0])


def test_a_line_that_breaks_many_times_only_costs_time(server, line_to, tmp_path):
    dataset = Dataset(server, cells=3, size=40_000)
    line = line_to(cuts=12, after=20_000)
    fetched = fetched_from(line.endpoint, tmp_path, attempts=14)
    assert line.cuts == 0
    assert not fetched.problems
    assert all(holds(tmp_path, dataset, row) for row in dataset.rows)


def test_a_line_that_always_breaks_ends_after_a_bounded_number_of_attempts(server, line_to, tmp_path):
    dataset = Dataset(server, cells=2, size=40_000)
    plan = plan_fetch(source_at(server.endpoint), tmp_path, Choice())
    line = line_to(cuts=10**9, after=20_000)
    cut_off = source_at(line.endpoint, attempts=3)
    plan = type(plan)(**{**vars(plan), "source": cut_off})
    fetched = fetch(plan, workers=8, verify="name")
    assert len(fetched.problems) == 8
    assert "could not be fetched in 3 attempts" in str(next(iter(fetched.problems.values())))
    assert len(line.asked(b"GET", ".ome.tif")) == 3 * 8
    assert not list((tmp_path / "crop_raw").glob("*.tif"))
    assert len(fetched_from(server.endpoint, tmp_path).complete) == len(dataset.rows)


def test_a_line_that_is_gone_is_given_up_not_tried_for_every_file(server, line_to, tmp_path):
    Dataset(server, cells=20)
    plan = plan_fetch(source_at(server.endpoint), tmp_path, Choice())
    line = line_to()
    line.close()
    plan = type(plan)(**{**vars(plan), "source": source_at(line.endpoint, attempts=2)})
    with pytest.raises(OSError, match=r"is lost .*run the same command again"):
        fetch(plan, workers=2)


def test_too_little_room_is_said_before_anything_comes(server, tmp_path, monkeypatch):
    Dataset(server)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 5000, 5000))
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint)
    assert result.exit_code == 1
    assert "are to be fetched, but only 5.0 kB are free" in result.stderr
    assert not (tmp_path / "crop_raw").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_a_disk_that_fills_up_stops_everything_and_the_next_run_continues(server, tmp_path):
    dataset = Dataset(server)
    part = tmp_path / (dataset.rows[7]["crop_raw"] + ".part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint, "--workers", 1)
    assert result.exit_code == 1
    assert "is full: free some space and run the same command again." in result.stderr.splitlines()[-1]
    assert not (tmp_path / dataset.rows[7]["crop_raw"]).exists()
    part.unlink()
    assert len(fetched_from(server.endpoint, tmp_path).complete) == 12


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_continues(server, line_to, tmp_path):
    dataset = Dataset(server, cells=8, size=20_000)
    slow = line_to(seconds_a_block=0.02)
    script = "import typer; from napari_ic_train.commands.fetch import fetch; typer.run(fetch)"
    running = subprocess.Popen(
        [
            sys.executable, "-c", script, "--out", tmp_path, "--source", URL, "--endpoint", slow.endpoint,
            "--workers", "2",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(finished := list(tmp_path.glob("crop_*/*.tif"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    errors = running.communicate(timeout=30)[1]
    assert running.returncode == 130, errors
    assert errors.strip().splitlines()[-1].endswith("the same command continues.")
    assert "Traceback" not in errors
    assert 5 <= len(finished) < 32
    line = line_to()
    assert len(fetched_from(line.endpoint, tmp_path).complete) == 16
    assert len(line.asked(b"GET", ".ome.tif")) <= 32 - len(finished)
    assert all(holds(tmp_path, dataset, row) for row in dataset.rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--structures", "mitocondria"), "No structure is called 'mitocondria'"),
        (("--structures", "TOMM2O"), "did you mean TOMM20"),
        (("--structures", "desmoplakin"), "The dataset has no desmoplakin; it has LMNB1, TOMM20."),
        (("--stages", "M9"), "No stage is called 'M9'"),
        (("--stages", "metaphase"), "The dataset has no cell of these structures and stages"),
        (("--source", "s3://allencell/aics/nothing"), "could not be fetched from s3://allencell/aics/nothing"),
        (("--source", "foo://bar"), "foo"),
        (("--verify", "luck"), "choose auto, name, package"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_said_in_one_sentence(server, tmp_path, arguments, sentence):
    Dataset(server, cells=1)
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint, *arguments)
    assert result.exit_code == 1
    said = [line for line in result.stderr.splitlines() if line.startswith("napari-ic-train: ")]
    assert len(said) == 1
    assert sentence in said[0]
    assert "Traceback" not in result.output


def test_a_server_that_is_not_there_is_said_in_one_sentence(tmp_path):
    with pytest.raises(OSError, match=r"could not be fetched from s3://.*in 2 attempts"):
        plan_fetch(source_at("http://127.0.0.1:9", attempts=2), tmp_path, Choice())


def test_a_folder_with_another_dataset_is_left_alone(server, tmp_path):
    Dataset(server, cells=1)
    (tmp_path / "metadata.csv").write_text("CellId\n1\n")
    with pytest.raises(ValueError, match="choose another folder"):
        fetched_from(server.endpoint, tmp_path)
    assert (tmp_path / "metadata.csv").read_text() == "CellId\n1\n"


@pytest.mark.parametrize(
    "path", ["../../outside.tif", "/tmp/outside.tif", "crop_raw/../../outside.tif", "C:/outside.tif"]
)
def test_a_table_cannot_write_outside_its_folder(server, tmp_path, path):
    dataset = Dataset(server, cells=1)
    dataset.rows[0]["crop_raw"] = path
    dataset.publish()
    fetched = fetched_from(server.endpoint, tmp_path / "in")
    assert "outside the dataset's folder" in str(fetched.problems[path])
    assert not list(tmp_path.rglob("outside.tif"))
    assert len(fetched.complete) == 1


def test_an_empty_line_in_the_table_shifts_no_row(server, tmp_path):
    dataset = Dataset(server, cells=2)
    body = server.client.get_object(Bucket=BUCKET, Key=f"{PACKAGE}/metadata.csv")["Body"].read()
    lines = body.splitlines(keepends=True)
    server.put("metadata.csv", b"".join([*lines[:2], b"\r\n", *lines[2:]]))
    fetched_from(server.endpoint, tmp_path, Choice(structures=("LMNB1",), cells=1))
    (row,) = table(tmp_path / "metadata.csv")
    assert row["structure_name"] == "LMNB1"
    assert holds(tmp_path, dataset, row)


@pytest.mark.slow
def test_simulated_cells_go_from_a_server_through_fetch_into_a_store(server, tmp_path):
    from napari_ic_train.data.prepare import prepare
    from napari_integrated_cell.integration import model_box
    from napari_integrated_cell.model.config import preset
    from napari_integrated_cell.simulation import write_dataset

    made = tmp_path / "made"
    write_dataset(made, 3, seed=1, voxel_size=1.0, structures=["TOM20", "ZO1"], workers=1)
    for file in made.rglob("*"):
        if file.is_file():
            server.put(str(file.relative_to(made)), file.read_bytes())
    assert len(fetched_from(server.endpoint, tmp_path / "fetched").complete) == 3
    store = prepare(
        tmp_path / "fetched" / "metadata.csv", tmp_path / "store", model_box(preset("tiny")), workers=1
    )
    assert len(store) == 3


def test_a_mirror_on_a_disk_is_a_source_as_well(server, tmp_path):
    dataset = Dataset(server, cells=1)
    mirror = tmp_path / "mirror"
    for path, body in dataset.bodies.items():
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror / path).write_bytes(body)
    write = csv.DictWriter((mirror / "metadata.csv").open("w", newline="", buffering=1), dataset.rows[0])
    write.writeheader()
    write.writerows(dataset.rows)
    result = command("--out", tmp_path / "out", "--source", mirror)
    assert result.exit_code == 0, result.output
    assert all(holds(tmp_path / "out", dataset, row) for row in dataset.rows)
