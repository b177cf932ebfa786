"""Embed cells of a table or a store, from Python and by the command."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest
import torch
from tiny_cells import BOX as CELLS_BOX
from tiny_cells import public_row, write_files
from toy_run import toy_store
from toy_training import MODEL
from typer.testing import CliRunner

from napari_integrated_cell.cli import app
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.store import PosedStore
from napari_integrated_cell.integration import integrate_cell
from napari_integrated_cell.latent.embedding import embed_cells, embed_store
from napari_integrated_cell.latent.population import (
    read_population,
)
from napari_integrated_cell.latent.table_embedding import columns_of
from napari_integrated_cell.model.bundle import save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

torch.set_num_threads(1)

CARD = {"simulated": True, "licence": "BSD-3-Clause"}


@pytest.fixture(scope="module")
def model() -> IntegratedCell:
    return IntegratedCell.untrained(MODEL, seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def bundle(model, tmp_path):
    return save_bundle(model, tmp_path / "bundle", card=CARD, model_card_markdown="# Toy\n")


def test_a_store_is_embedded_as_the_model_encodes_its_images(model, store) -> None:
    chosen, told = np.array([4, 1, 30]), []
    found = embed_store(store, model, chosen, batch_size=2, progress=lambda *at: told.append(at))
    images = store.images(chosen)
    np.testing.assert_allclose(found.z_ref, model.encode(images[:, :-1]), atol=1e-6)
    np.testing.assert_allclose(found.z_struct, model.encode_all(images)[2], atol=1e-6)
    assert found.table["cell_id"].tolist() == store.table["CellId"].iloc[chosen].tolist()
    assert found.table["row"].tolist() == store.table.index[chosen].tolist()
    assert told == [(2, 3, "embedding cells"), (3, 3, "embedding cells")]
    assert (found.model, found.weights) == (model.name, fingerprint(model))
    assert found.source == str(store.path.resolve())


def test_a_store_of_another_model_is_refused(store) -> None:
    other = IntegratedCell.untrained(preset("tiny"))
    with pytest.raises(ValueError, match="prepare a store for this model"):
        embed_store(store, other)


def test_embedding_stops_when_asked_to(model, store) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        embed_store(store, model, batch_size=4, cancel=token, progress=lambda *_: token.cancel())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Five cells: the third lacks its file, the fourth its image."""
    folder = tmp_path_factory.mktemp("table")
    rows = [public_row(i, *write_files(folder, i)) | {"doses": i * 1.5, "crop_roof": ""} for i in range(5)]
    rows[2]["crop_seg"] = "nowhere.ome.tif"
    rows[3]["crop_raw"] = ""
    path = folder / "metadata.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def of_cells() -> IntegratedCell:
    """A model of the table's cells."""
    config = preset("tiny").model_copy(update={"voxel_size": CELLS_BOX.voxel_size})
    return IntegratedCell.untrained(config, seed=5)


def test_cells_of_a_table_are_embedded_as_they_are_integrated(table, of_cells) -> None:
    listed, left_out = list(open_table(table).entries()), {}
    found = embed_cells(listed, of_cells, on_left_out=left_out.__setitem__, batch_size=2)
    assert found.table["cell_id"].tolist() == ["1000", "1001", "1003", "1004"]
    assert found.table["row"].tolist() == [0, 1, 3, 4]
    assert list(left_out) == ["1002"]
    for i, row in enumerate(found.table["row"]):
        cell = listed[row].read()
        alone = integrate_cell(cell, of_cells, ["TOM20"])
        np.testing.assert_allclose(found.z_ref[i], alone.z_ref, atol=1e-5)
        known = found.table.iloc[i]
        assert known["cell_volume"] == cell.volume
        assert known["nucleus_volume"] == cell.nucleus_volume
        assert (known["height"], known["width"], known["length"]) == alone.pose.extent
    assert found.has_z_struct.tolist() == [True, True, False, True], "a cell without an image has no z^s"
    assert found.table["structure"].iloc[0] == listed[0].structure


def test_not_one_cell_is_said(of_cells, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("CellId,crop_seg\n1,no.tif\n")
    with pytest.raises(ValueError, match=r"None of .* The first, 1: .*no\.tif"):
        embed_cells(list(open_table(path).entries()), of_cells)


def test_what_a_table_says_becomes_columns_as_numbers_where_it_says_numbers(table) -> None:
    said = columns_of(open_table(table).file.rows())
    assert said["doses"].tolist() == [0, 1.5, 3, 4.5, 6]
    assert "crop_raw" not in said
    assert "crop_roof" not in said, "a column that says nothing"
    assert said["structure_name"].dtype.kind != "f"


@pytest.fixture
def of_table_bundle(of_cells, tmp_path):
    return save_bundle(of_cells, tmp_path / "cells.zip", card=CARD, model_card_markdown="# Tiny\n")


def call(*arguments):
    return CliRunner().invoke(app, ["embed", *map(str, arguments)])


def test_the_command_embeds_a_table_and_names_what_it_left_out(
    table, of_table_bundle, of_cells, tmp_path
) -> None:
    out = tmp_path / "cells.parquet"
    result = call("--table", table, "--model", of_table_bundle, "--out", out, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["cells"], said["with_structure"], list(said["left_out"])) == (4, 3, ["1002"])
    assert "1002 is left out" in result.stderr
    found = read_population(out)
    found.check_fits(of_cells)
    assert found.table["doses"].tolist() == [0, 1.5, 4.5, 6]
    assert found.source == str(table)


def test_the_command_prints_every_reason_if_no_cell_can_be_embedded(of_table_bundle, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("CellId,crop_seg\n1,no.tif\n2,\n2,\n")
    result = call("--table", path, "--model", of_table_bundle, "--out", tmp_path / "cells.parquet")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if " is left out: " in line]
    assert len(lines) == 3, "also of two rows with one id"
    assert "no.tif" in lines[0]
    assert "'crop_seg' is empty" in lines[1]
    assert "None of the cells" in result.stderr.splitlines()[-1]


def test_the_command_embeds_a_store(store, bundle, tmp_path) -> None:
    out = tmp_path / "cells.parquet"
    result = call("--store", store.path, "--model", bundle, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert f"Wrote {len(store)} embedded cells" in result.stdout
    assert len(read_population(out)) == len(store)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "not both"),
        (("--store", "a", "--table", "b"), "not both"),
        (("--store", "a", "--out", "cells.csv"), "end it in .parquet"),
        (("--store", "a", "--out", "nowhere/cells.parquet"), "does not exist"),
        (("--store", "a"), "not a finished training store"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(arguments, says, bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, "--model", bundle)
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_ctrl_c_leaves_nothing_half_written(store, bundle, tmp_path, monkeypatch) -> None:
    def interrupted(self, *_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(IntegratedCell, "encode_all", interrupted)
    out = tmp_path / "out" / "cells.parquet"
    out.parent.mkdir()
    result = call("--store", store.path, "--model", bundle, "--out", out)
    assert result.exit_code == 130
    assert list(out.parent.iterdir()) == []


def test_a_store_is_read_without_torch_or_the_trainer(store) -> None:
    import subprocess

    code = (
        "import sys; from napari_integrated_cell.data.store import PosedStore\n"
        f"print(PosedStore({str(store.path)!r}).stored([0]).shape)\n"
        "assert not {'torch', 'napari_ic_train'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str((1, 3, *MODEL.box))
    np.testing.assert_array_equal(PosedStore(store.path).stored([2, 0]), store.images([2, 0]).numpy() * 255)
