"""Batches with the ensemble over the four flips: spreads in the files and the table, and rows that are made again."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from napari_integrated_cell.batch.cell_row import BatchSettings
from napari_integrated_cell.batch.folder import fields_of_folder
from napari_integrated_cell.batch.journal import Journal
from napari_integrated_cell.batch.listing import digest_of, list_fields
from napari_integrated_cell.batch.results_table import COLUMNS
from napari_integrated_cell.batch.run import JOURNAL, SEGMENTED, integrate_batch
from napari_integrated_cell.data.image_cells import cells_of_image
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.integration import integrate_cell, quantised, to_cell_image
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.fingerprint import fingerprint

CHANNELS = ("membrane", "dna", "TOM20", "ZO1", "TOM20 spread", "ZO1 spread")
SPREADS = ["relative_spread_TOM20", "relative_spread_ZO1"]


def run(plate: Path, out: Path, settings: BatchSettings):
    """Integrate the folder; return the result, how many rows this call made, and the fields as listed."""
    out.mkdir(exist_ok=True)
    found, journal, new = fields_of_folder(plate), Journal(out / JOURNAL), []
    listed = list_fields(found, out / SEGMENTED, journal)
    result = integrate_batch(found, listed, settings, out, journal, on_row=new.append)
    return result, len(new), listed


@pytest.fixture
def settings(model) -> BatchSettings:
    return BatchSettings(str(model), "cpu", ("TOM20", "ZO1"))


def test_each_file_and_each_row_has_the_spread_of_every_structure(plate, tmp_path, settings, model):
    result, _, _ = run(plate, tmp_path / "out", replace(settings, ensemble=True))
    files = [plate / f"f1{part}.ome.tif" for part in ("", "_cells", "_nuclei")]
    cell = cells_of_image(*files, label="all")[0][0]
    expected = integrate_cell(cell, load_model(model, device="cpu"), ["TOM20", "ZO1"], ensemble=True)
    image = read_image(result.rows[0]["file"])
    assert image.channel_names == CHANNELS
    for name, volume in to_cell_image(expected).items():
        np.testing.assert_allclose(image.channel(name), quantised(volume, np.uint16), atol=2)
    for name, spread in zip(SPREADS, expected.relative_spreads.values(), strict=True):
        assert result.rows[0][name] == pytest.approx(spread, abs=1e-4)
    assert all(0 < row[name] < 2 for row in result.rows for name in SPREADS)
    with result.tables[0].open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames[: len(COLUMNS)] == list(COLUMNS)
    assert reader.fieldnames[-2:] == SPREADS
    table = pq.read_table(result.tables[1])
    assert table.column_names == [*COLUMNS, "z_ref", *SPREADS]
    for found, one, made in zip(rows, table.to_pylist(), result.rows, strict=True):
        assert float(found[SPREADS[1]]) == one[SPREADS[1]] == made[SPREADS[1]]


def test_a_joined_field_has_the_spreads(plate, tmp_path, settings):
    result, _, _ = run(plate, tmp_path / "out", replace(settings, ensemble=True, write="field"))
    image = read_image(result.rows[0]["file"])
    assert image.channel_names == CHANNELS
    assert image.channel("ZO1 spread").any()


def test_without_files_the_table_has_the_spreads_all_the_same(plate, tmp_path, settings):
    with_files, _, _ = run(plate, tmp_path / "a", replace(settings, ensemble=True))
    without, _, _ = run(plate, tmp_path / "b", replace(settings, ensemble=True, write="none"))
    assert [row[SPREADS[0]] for row in without.rows] == [row[SPREADS[0]] for row in with_files.rows]
    assert not list((tmp_path / "b").rglob("*.tiff"))


def test_without_the_ensemble_digests_and_columns_are_what_they_were(plate, tmp_path, settings, model):
    result, _, listed = run(plate, tmp_path / "out", settings)
    weights = fingerprint(load_model(model, device="cpu"))
    recipe = digest_of(weights, ("TOM20", "ZO1"), "cell", "image")
    assert result.rows[0]["digest"] == digest_of(recipe, listed[0].digest, 2)
    assert pq.read_table(result.tables[1]).column_names == [*COLUMNS, "z_ref"]
    with result.tables[0].open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header[: len(COLUMNS)] == list(COLUMNS)
    assert all(name.startswith("z_ref_") for name in header[len(COLUMNS) :])
    assert not any("spread" in name for row in result.rows for name in row)


def test_cells_are_made_again_when_the_ensemble_is_switched(plate, tmp_path, settings):
    out, with_ensemble = tmp_path / "out", replace(settings, ensemble=True)
    assert run(plate, out, settings)[1] == 4
    assert run(plate, out, with_ensemble)[1] == 4
    assert run(plate, out, with_ensemble)[1] == 0
    result, made, _ = run(plate, out, settings)
    assert made == 4
    assert read_image(result.rows[0]["file"]).channel_names == CHANNELS[:4]
