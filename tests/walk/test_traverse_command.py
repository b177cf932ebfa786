"""The command that writes a walk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner
from walk_models import CONFIG, STAGES

from napari_integrated_cell.commands.traverse import traverse
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.walk.traversal import (
    stop_at_cell,
)


def call(*arguments):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(traverse)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_goes_through_all_stages_there_are(bundle, tmp_path) -> None:
    out = tmp_path / "walk.ome.tiff"
    said = call(
        "--model", bundle, "--from", "interphase", "--to", "metaphase", "--frames", 7,
        "--structures", "mitochondria", "--out", out, "--json",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    summary = json.loads(said.stdout)
    assert [stop["name"] for stop in summary["stops"]] == list(STAGES[:4])
    assert [stop["frame"] for stop in summary["stops"]] == [0, 2, 4, 6]
    assert summary["trained_on"] == "simulated cells"
    assert summary["channels"] == ["membrane", "dna", "TOM20"]
    assert tifffile.imread(out).shape == (7, 3, *CONFIG.box)


@pytest.mark.parametrize(
    ("through", "stops"),
    [
        ("none", ["interphase", "anaphase"]),
        ("metaphase, Prophase 1", ["interphase", "metaphase", "prophase-1", "anaphase"]),
    ],
)
def test_the_stages_between_may_be_chosen(bundle, tmp_path, through, stops) -> None:
    said = call(
        "--model", bundle, "--from", "interphase", "--to", "anaphase", "--through", through, "--path",
        "great-circle", "--easing", "smooth", "--structures", "none", "--out", tmp_path / "walk.png", "--json",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    summary = json.loads(said.stdout)
    assert [stop["name"] for stop in summary["stops"]] == stops
    assert summary["frames"] == 2 * (len(stops) - 1) + 1
    assert summary["path"] == "great-circle"
    assert "anaphase: Only 1 held out" in said.stderr, "a doubtful landmark is said"


def test_a_walk_may_start_from_a_cell(bundle, model, tmp_path) -> None:
    cell = simulate_cell(3, voxel_size=0.8).cell
    voxel = cell.voxel_size
    write_ome_tiff(tmp_path / "cells.ome.tif", {"labels": cell.cell_mask.astype(np.uint8) * 3}, voxel)
    write_ome_tiff(tmp_path / "nuclei.ome.tif", {"labels": cell.nucleus_mask.astype(np.uint8) * 3}, voxel)
    stains = {name: cell.channels[name].astype(np.float32) for name in ("membrane", "dna")}
    write_ome_tiff(tmp_path / "stack.ome.tif", stains, voxel)
    masks = ("--cells", tmp_path / "cells.ome.tif", "--nuclei", tmp_path / "nuclei.ome.tif")
    found = []
    for start in ("stack.ome.tif", "cells.ome.tif"):
        out = tmp_path / f"from {start}.ome.tiff"
        said = call(
            "--model", bundle, "--from", tmp_path / start, *masks, "--label", 3, "--to", "metaphase",
            "--frames", 3, "--structures", "ZO1", "--out", out, "--json",
        )  # fmt: skip
        assert said.exit_code == 0, said.output
        stops = json.loads(said.stdout)["stops"]
        assert [stop["name"] for stop in stops] == ["cell 3", "metaphase"]
        found.append(tifffile.imread(out).astype(float) / 65535)
    expected = model.decode_reference(stop_at_cell(model, replace(cell, name="cell 3")).z_ref[None])[0]
    np.testing.assert_allclose(found[0][0, :2], expected, atol=0.02)
    np.testing.assert_allclose(found[0][2], found[1][2], atol=1e-4)
    assert np.abs(found[0][0] - found[1][0]).max() > 1e-3, "rendered masks are not the stains"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--to": "telophase"}, "the stages are interphase"),
        ({"--to": "prophase-2"}, "it has interphase, prophase-1, prometaphase-1, metaphase, anaphase"),
        ({"--from": "metafase"}, "neither a file nor a stage"),
        ({"--from": "lost.tif"}, "lost.tif"),
        ({"--from": "interphase", "--label": "3"}, "need a file there"),
        ({"--through": "telophase-cytokinesis"}, "has no landmark"),
        ({"--to": "interphase"}, "the same position"),
        ({"--frames": "3"}, "3 frames cannot show 4 stops"),
        ({"--path": "scenic"}, "choose radial"),
        ({"--easing": "bouncy"}, "choose linear"),
        ({"--structures": "spleen"}, "spleen"),
        ({"--fps": "0"}, "frames per second"),
        ({"--model": "nowhere"}, "nowhere"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_nothing_is_written(bundle, tmp_path, changes, says) -> None:
    out = tmp_path / "walk.gif"
    options = {"--model": bundle, "--from": "interphase", "--to": "metaphase", "--out": out} | changes
    said = call(*(word for option in options.items() for word in option))
    assert said.exit_code == 1
    assert says in said.stderr
    assert said.stderr.strip().count("\n") == 0, said.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_written_film(bundle, tmp_path) -> None:
    code = (
        "import torch, typer; torch.set_num_threads(1)\n"
        "from napari_integrated_cell.commands.traverse import traverse\n"
        "app = typer.Typer(); app.command()(traverse); app()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, "--model", bundle, "--from", "interphase", "--to", "metaphase",
         "--frames", "100000", "--out", tmp_path / "walk.mp4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not list(tmp_path.iterdir()):
            assert program.poll() is None, program.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 130
    assert "nothing half-written is left behind" in said
    assert list(tmp_path.iterdir()) == []
