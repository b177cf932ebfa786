"""The file of embedded cells, and bundles that hold one."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_cells import made_up
from toy_run import toy_store
from toy_training import MODEL
from typer.testing import CliRunner

from napari_ic_train.bundle.cells import bundle_cells
from napari_ic_train.cli import app as train_app
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.population import (
    Population,
    bundled_population,
    population_bytes,
    population_of_bytes,
    read_population,
    write_population,
)
from napari_integrated_cell.model.bundle import load_model, save_bundle, update_card
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell

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


# The file.


def test_a_population_comes_back_as_it_was(tmp_path) -> None:
    cells = made_up(name="mine", model="m", weights="abc", source="/somewhere")
    back = read_population(write_population(tmp_path / "cells.parquet", cells))
    np.testing.assert_array_equal(back.z_ref, cells.z_ref)
    np.testing.assert_array_equal(back.z_struct, cells.z_struct)
    assert (back.name, back.model, back.weights, back.source) == ("mine", "m", "abc", "/somewhere")
    assert list(back.table) == list(cells.table)
    for name in cells.table:
        there, here = back.table[name], cells.table[name]
        assert there.isna().tolist() == here.isna().tolist()
        assert there.dropna().tolist() == here.dropna().tolist()
    assert back.structures == ("TOM20", "ZO1")
    assert back.has_z_struct.tolist() == [i % 3 != 0 for i in range(7)]


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 20),
    n_ref=st.integers(1, 9),
    n_struct=st.integers(0, 4),
    half=st.booleans(),
    seed=st.integers(0, 99),
)
def test_positions_come_back_in_the_precision_asked_for(n, n_ref, n_struct, half, seed) -> None:
    draw = np.random.default_rng(seed)
    z_ref = draw.normal(size=(n, n_ref)).astype(np.float32)
    z_struct = draw.normal(size=(n, n_struct)).astype(np.float32) if n_struct else None
    if z_struct is not None:
        z_struct[draw.random(n) < 0.5] = np.nan
    table = pd.DataFrame({"cell_id": [str(i) for i in range(n)]})
    content = population_bytes(Population(z_ref, z_struct, table), np.float16 if half else np.float32)
    back = population_of_bytes(content, "it")
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if half else {"rtol": 0}
    np.testing.assert_allclose(back.z_ref, z_ref, **tolerance)
    assert (back.z_struct is None) == (z_struct is None)
    if z_struct is not None:
        np.testing.assert_allclose(back.z_struct, z_struct, **tolerance)


def _with(change):
    """The file of a population with its Arrow table changed."""
    import io

    table = change(pq.read_table(io.BytesIO(population_bytes(made_up()))))
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _about(**facts):
    def change(table):
        kept = json.loads(table.schema.metadata[b"napari-integrated-cell population"])
        return table.replace_schema_metadata({"napari-integrated-cell population": json.dumps(kept | facts)})

    return change


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a Parquet file"),
        (b"PAR1 and nothing more PAR1", "is not a Parquet file"),
        (population_bytes(made_up())[:-200], "is not a Parquet file"),
        (_with(lambda t: t.replace_schema_metadata({})), "napari-ic embed"),
        (_with(_about(format_version=2)), "newer version"),
        (_with(lambda t: t.drop_columns(["z_ref"])), "its column z_ref must hold lists"),
        (_with(lambda t: t.drop_columns(["cell_id"])), "cell_id"),
        (_with(lambda t: t.slice(0, 0)), "it needs cells"),
        (
            _with(
                lambda t: t.set_column(
                    t.column_names.index("z_ref"), "z_ref", pa.array([[1]] * 7, pa.list_(pa.int64(), 1))
                )
            ),
            "must hold floating-point",
        ),
        (
            _with(
                lambda t: t.set_column(
                    t.column_names.index("z_ref"),
                    "z_ref",
                    pa.array([[float("inf")]] * 7, pa.list_(pa.float32(), 1)),
                )
            ),
            "finite z_ref",
        ),
    ],
    ids=[
        "empty",
        "two ends",
        "cut off",
        "any Parquet",
        "newer",
        "no z_ref",
        "no ids",
        "no cells",
        "integers",
        "infinite",
    ],
)
def test_what_is_no_population_is_said_in_a_sentence(tmp_path, content, says) -> None:
    path = tmp_path / "cells.parquet"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as raised:
        read_population(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said(tmp_path) -> None:
    with pytest.raises(OSError, match="no file"):
        read_population(tmp_path / "none.parquet")


def test_a_table_and_positions_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="for every cell"):
        Population(np.zeros((3, 2), np.float32), None, pd.DataFrame({"cell_id": ["a"]}))


def test_some_cells_keep_their_rows_together() -> None:
    cells = made_up(9)
    for chosen in ([5, 2], np.arange(9) % 2 == 1):
        some = cells.taken(chosen)
        index = np.arange(9)[np.asarray(chosen)]
        np.testing.assert_array_equal(some.z_ref, cells.z_ref[index])
        np.testing.assert_array_equal(some.z_struct, cells.z_struct[index])
        assert some.table["cell_id"].tolist() == [f"c{i}" for i in index]


# The model that embedded the cells.


def test_a_fingerprint_tells_models_apart_and_outlives_a_bundle(model, bundle) -> None:
    assert fingerprint(load_model(bundle, device="cpu")) == fingerprint(model)
    assert fingerprint(IntegratedCell.untrained(MODEL, seed=4)) != fingerprint(model)


def test_cells_of_another_model_are_refused(model, store) -> None:
    cells = embed_store(store, model, np.arange(3))
    cells.check_fits(model)
    with pytest.raises(ValueError, match=r"embedded by another model \(toy.*than .*napari-ic embed"):
        cells.check_fits(IntegratedCell.untrained(MODEL, seed=4))
    with pytest.raises(ValueError, match="another model"):
        made_up().check_fits(model)


# The cells of a bundle.


def test_a_bundle_without_cells_has_none(model, bundle) -> None:
    assert bundled_population(bundle, model) is None


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_cells_are_put_into_a_bundle_and_nothing_else_changes(model, store, tmp_path, name) -> None:
    path = save_bundle(model, tmp_path / name, card=CARD, model_card_markdown="# Toy\n")
    before = _contents(path)
    put = bundle_cells(path, store)
    after = _contents(path)
    assert after.keys() - before.keys() == {"cells.parquet"}
    assert all(after[file] == before[file] for file in before if file != "SHA256SUMS")
    loaded = load_model(path, device="cpu")
    found = bundled_population(path, loaded)
    assert found is not None
    assert found.table["cell_id"].tolist() == put.table["cell_id"].tolist() == store.table["CellId"].tolist()
    z_ref = model.encode(store.references(np.arange(len(store))))
    np.testing.assert_allclose(found.z_ref, z_ref, rtol=2e-3, atol=2e-3)
    assert found.source == ""
    assert str(store.path).encode() not in after["cells.parquet"], "no path of this machine travels along"
    update_card(path, card=CARD, model_card_markdown="# Another\n")
    assert len(bundled_population(path, loaded) or ()) == len(store)


def test_held_out_cells_come_first_and_the_rest_is_drawn_the_same_every_time(bundle, store) -> None:
    n_held_out = int((store.table["split"] != "train").sum())
    some = bundle_cells(bundle, store, limit=n_held_out + 5)
    assert (some.table["split"] != "train").sum() == n_held_out
    assert len(some) == n_held_out + 5
    again = bundle_cells(bundle, store, limit=n_held_out + 5)
    assert again.table["cell_id"].tolist() == some.table["cell_id"].tolist()
    apart = bundle_cells(bundle, store, held_out_only=True)
    assert set(apart.table["split"]) == {"test"}
    assert len(bundle_cells(bundle, store, limit=3)) == 3
    with pytest.raises(ValueError, match="number of cells is 0"):
        bundle_cells(bundle, store, limit=0)


def test_damaged_cells_are_said_and_a_lost_file_is_not_overlooked(bundle, store, model) -> None:
    bundle_cells(bundle, store, limit=4)
    file = bundle / "cells.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    with pytest.raises(ValueError, match="damaged"):
        bundled_population(bundle, model)
    file.unlink()
    with pytest.raises(ValueError, match=r"cells\.parquet is missing"):
        bundled_population(bundle, model)
    load_model(bundle, device="cpu")  # the model still opens: its cells are read only when they are needed


def test_cells_that_another_model_embedded_are_refused_in_a_bundle_too(bundle, store) -> None:
    bundle_cells(bundle, store, limit=4)
    with pytest.raises(ValueError, match="another model"):
        bundled_population(bundle, IntegratedCell.untrained(MODEL, seed=9))


def test_the_trainers_command_puts_cells_into_a_bundle(bundle, store) -> None:
    call = ["cells", str(bundle), "--data", str(store.path), "--split", "test", "--json", "--device", "cpu"]
    result = CliRunner().invoke(train_app, call)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["cells"] == said["held_out"] == int((store.table["split"] != "train").sum())
    result = CliRunner().invoke(train_app, ["cells", str(bundle), "--data", str(bundle)])
    assert result.exit_code == 1
    assert "not a finished training store" in result.stderr


def _contents(path):
    import zipfile

    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name) for name in file.namelist()}
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
