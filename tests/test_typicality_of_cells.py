"""A cell's typicality in results, files and tables, with the bundled model."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_integrated_cell.cli import app
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import integrate_cell
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.simulation import simulate_cell


@pytest.fixture(scope="module")
def model():
    return load_model("demo", device="cpu")


@pytest.fixture(scope="module")
def cell():
    return simulate_cell(5, voxel_size=(0.4, 0.4, 0.4)).cell


def flattened(cell):
    return replace(cell, voxel_size=(0.15, 0.4, 0.4))


def test_a_simulated_cell_is_typical_and_a_flattened_one_is_not(model, cell):
    known = integrate_cell(cell, model, ["TOM20"]).typicality
    assert known.is_typical
    flat = integrate_cell(flattened(cell), model, ["TOM20"]).typicality
    assert not flat.is_typical
    assert flat.measure == "height"
    assert "it is flatter than all of them" in flat.sentence
    assert flat.cell_overlap < known.cell_overlap


def test_the_file_says_it(model, cell, tmp_path):
    result = integrate_cell(flattened(cell), model, ["TOM20"])
    path = result.save(tmp_path / "flat.ome.tiff", "model")
    with tifffile.TiffFile(path) as tif:
        assert result.typicality.sentence in tif.ome_metadata


def test_a_model_without_known_cells_says_nothing(model, cell):
    older = load_model("demo", device="cpu")
    older.typicality = None
    result = integrate_cell(cell, older, ["TOM20"])
    assert result.typicality is None
    assert "cells that the model knows" not in result.description


@pytest.fixture(scope="module")
def labels(tmp_path_factory, cell):
    folder = tmp_path_factory.mktemp("labels")
    for name, mask in (("cells", cell.cell_mask), ("nuclei", cell.nucleus_mask)):
        write_ome_tiff(folder / f"flat_{name}.ome.tif", {"labels": mask.astype(np.uint8)}, (0.15, 0.4, 0.4))
    return folder


def call(*arguments):
    return CliRunner().invoke(app, ["integrate", "--device", "cpu", *(str(a) for a in arguments)])


def test_the_command_says_it_and_json_has_it(labels, tmp_path):
    masks = ("--cells", labels / "flat_cells.ome.tif", "--nuclei", labels / "flat_nuclei.ome.tif")
    result = call(*masks, "--structures", "TOM20", "--out", tmp_path / "flat.ome.tiff", "--json")
    assert result.exit_code == 0, result.output
    assert "This cell is unlike the cells that the model knows: it is flatter" in result.stderr
    found = json.loads(result.stdout)["cells"][0]["typicality"]
    assert found["typical"] is False
    assert found["measure"] == "height"
    assert found["percentile"] > 95


@pytest.mark.parametrize("write", ["none", "cell"])
def test_the_table_of_a_batch_has_it(labels, tmp_path, write):
    more = ("--structures", "TOM20", "--write", write, "--out", tmp_path / "out")
    result = call("--folder", labels, *more)
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["unusual_measure"] == "height"
    assert float(row["typicality_percentile"]) > 95
    assert "flatter than all of them" in row["typicality"]
    assert row["typical"].lower() == "false"
