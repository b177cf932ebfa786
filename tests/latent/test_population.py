"""Embedded cells: their file, the bundle that holds some, how they are embedded, and groups of them."""

from __future__ import annotations

import csv
import json
import sys
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cells import BOX as CELLS_BOX
from tiny_cells import public_row, write_files
from toy_run import toy_store
from toy_training import MODEL
from typer.testing import CliRunner

from napari_ic_train.bundle.cells import bundle_cells
from napari_ic_train.cli import app as train_app
from napari_integrated_cell.cli import app
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.store import PosedStore
from napari_integrated_cell.integration import integrate_cell
from napari_integrated_cell.latent import groups, projection
from napari_integrated_cell.latent.axes import principal_axes
from napari_integrated_cell.latent.embedding import embed_cells, embed_store
from napari_integrated_cell.latent.population import (
    Population,
    bundled_population,
    population_bytes,
    population_of_bytes,
    read_population,
    write_population,
)
from napari_integrated_cell.latent.position import read_positions
from napari_integrated_cell.latent.table_embedding import columns_of
from napari_integrated_cell.model.bundle import load_model, save_bundle, update_card
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import LatentDistribution, LatentStatistics
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

torch.set_num_threads(1)

CARD = {"simulated": True, "licence": "BSD-3-Clause"}


def made_up(n: int = 7, n_ref: int = 3, n_struct: int = 2, **facts: str) -> Population:
    """Cells of two structures; every third has none."""
    draw = np.random.default_rng(n)
    z_struct = draw.normal(size=(n, n_struct)).astype(np.float32)
    z_struct[::3] = np.nan
    table = pd.DataFrame(
        {
            "cell_id": [f"c{i}" for i in range(n)],
            "structure": [None if i % 3 == 0 else ("TOM20", "ZO1")[i % 2] for i in range(n)],
            "stage": [("interphase", "metaphase", None)[i % 3] for i in range(n)],
            "cell_volume": draw.uniform(1000, 2000, n),
            "edge": [i % 2 == 0 for i in range(n)],
            "row": np.arange(n),
        }
    )
    return Population(draw.normal(size=(n, n_ref)).astype(np.float32), z_struct, table, **facts)


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
        (_with(lambda t: t.drop_columns(["z_ref"])), "its column z_ref holds no lists"),
        (_with(lambda t: t.drop_columns(["cell_id"])), "cell_id"),
        (_with(lambda t: t.slice(0, 0)), "it needs cells"),
        (
            _with(
                lambda t: t.set_column(
                    t.column_names.index("z_ref"), "z_ref", pa.array([[1]] * 7, pa.list_(pa.int64(), 1))
                )
            ),
            "no floating-point",
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


# Whose they are.


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


# The bundle's own.


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
    load_model(bundle, device="cpu")  # the model itself opens all the same: its cells are read when asked for


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


# Embedding.


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
    with pytest.raises(ValueError, match=r"Not one .* The first, 1: .*no\.tif"):
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
    assert "Not one" in result.stderr.splitlines()[-1]


def test_the_command_embeds_a_store(store, bundle, tmp_path) -> None:
    out = tmp_path / "cells.parquet"
    result = call("--store", store.path, "--model", bundle, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert f"Wrote {len(store)} embedded cells" in result.stdout
    assert len(read_population(out)) == len(store)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one of the two"),
        (("--store", "a", "--table", "b"), "one of the two"),
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


# Groups.


def test_a_groups_mean_medoid_and_shape_are_those_of_its_cells() -> None:
    cells, chosen = made_up(12), np.array([1, 2, 4, 8, 11])
    np.testing.assert_allclose(
        groups.mean_position(cells, chosen).z_ref, cells.z_ref[chosen].mean(0), atol=1e-6
    )
    sums = [sum(abs(cells.z_ref[i] - cells.z_ref[j]).sum() for j in chosen) for i in chosen]
    assert groups.medoid_cell(cells, chosen) == chosen[int(np.argmin(sums))]
    (volume,) = groups.compared(cells, chosen)
    values, rest = cells.table["cell_volume"].to_numpy(), np.setdiff1d(np.arange(12), chosen)
    assert volume.group == pytest.approx((values[chosen].mean(), values[chosen].std()))
    assert volume.rest == pytest.approx((values[rest].mean(), values[rest].std()))
    assert volume.difference == pytest.approx((volume.group[0] - volume.rest[0]) / values.std())


def test_in_the_space_of_a_structure_a_position_has_its_z_struct() -> None:
    cells = made_up(12)
    tom20 = np.flatnonzero((cells.table["structure"] == "TOM20").to_numpy() & cells.has_z_struct)
    here = groups.position_of(cells, int(tom20[0]), "TOM20")
    np.testing.assert_allclose(here.z_struct["TOM20"], cells.z_struct[tom20[0]])
    assert not groups.position_of(cells, int(tom20[0])).z_struct
    mean = groups.mean_position(cells, tom20, "TOM20")
    np.testing.assert_allclose(mean.z_struct["TOM20"], cells.z_struct[tom20].mean(0), rtol=1e-5)
    with pytest.raises(ValueError, match="lasso"):
        groups.mean_position(cells, np.array([], int))


def test_of_a_large_group_some_are_compared(monkeypatch) -> None:
    monkeypatch.setattr(groups, "MOST_COMPARED", 5)
    cells, chosen = made_up(40), np.arange(3, 40)
    found = groups.medoid_cell(cells, chosen)
    assert found in chosen
    assert found == groups.medoid_cell(cells, chosen)


def test_a_written_group_opens_as_positions(tmp_path) -> None:
    cells, chosen = made_up(12, weights="abc"), np.array([1, 3, 4])
    path = groups.write_group(tmp_path / "group.csv", cells, chosen)
    positions = read_positions(path)
    assert [p.name for p in positions] == ["c1", "c3", "c4"]
    assert {p.weights for p in positions} == {"abc"}
    for position, cell in zip(positions, chosen, strict=True):
        np.testing.assert_array_equal(position.z_ref, cells.z_ref[cell])
        own = cells.table["structure"].iloc[cell]
        assert set(position.z_struct) == ({own} if cells.has_z_struct[cell] else set())
    table = pd.read_csv(path)
    assert table["cell_volume"].tolist() == pytest.approx(cells.table["cell_volume"].iloc[chosen].tolist())


# The plane.


def test_cells_lie_on_the_axes_that_sliders_move_along() -> None:
    draw = np.random.default_rng(0)
    z = draw.normal(size=(50, 4)).astype(np.float32) @ np.diag([3, 2, 1, 0.5]).astype(np.float32)
    known = LatentDistribution.of_moments(50, z.mean(0), np.cov(z.T))
    latent = LatentStatistics(known, {})
    axes = projection.axes_in("z_ref", latent, z)
    plane = projection.on_axes("z_ref", axes, (2, 0), np.arange(50), z)
    expected = np.array([principal_axes(known).values(one)[[2, 0]] for one in z])
    np.testing.assert_allclose(plane.points, expected, atol=1e-4)
    np.testing.assert_allclose(plane.place(z[7]), plane.points[7], atol=1e-5)
    assert plane.titles[1].startswith("PC 1 · ")
    # Without statistics the cells' own axes serve; with neither there are none.
    own = projection.axes_in("z_ref", None, z)
    np.testing.assert_allclose(np.abs((own.directions * axes.directions).sum(1)), 1, atol=1e-3)
    with pytest.raises(ValueError, match="too few"):
        projection.axes_in("TOM20", latent, z[:1])


def test_only_cells_of_the_structure_are_in_its_space() -> None:
    cells = made_up(12)
    shown, z = projection.positions_in(cells, "ZO1")
    assert {cells.table["structure"].iloc[i] for i in shown} == {"ZO1"}
    assert np.isfinite(z).all()
    assert len(projection.positions_in(cells, "z_ref")[0]) == 12
    assert len(projection.positions_in(cells, "lamin-B1")[0]) == 0


def test_without_umap_a_sentence_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'napari-integrated-cell\[umap\]'"):
        projection.by_umap("z_ref", np.arange(20), np.zeros((20, 3), np.float32))


@pytest.fixture
def umap(monkeypatch):
    """A stand-in: it "lays out" positions by their first two numbers, doubled."""

    class Umap:
        fitted = 0

        def __init__(self, **settings):
            assert settings["random_state"] == 0

        def fit_transform(self, z):
            Umap.fitted = len(z)
            return 2 * z[:, :2]

        def transform(self, z):
            return 2 * z[:, :2]

    module = types.ModuleType("umap")
    module.UMAP = Umap
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(projection, "find_spec", lambda name: object())
    return Umap


def test_a_umap_is_fitted_to_some_and_the_others_take_their_places(umap, monkeypatch) -> None:
    monkeypatch.setattr(projection, "_FITTED", 30)
    monkeypatch.setattr(projection, "_PART", 8)
    z = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    told = []
    plane = projection.by_umap("z_ref", np.arange(50), z, progress=lambda *at: told.append(at))
    assert umap.fitted == 30
    np.testing.assert_allclose(plane.points, 2 * z[:, :2], rtol=1e-6)
    assert told[-1][:2] == (50, 50)
    np.testing.assert_allclose(plane.place(z[3]), plane.points[3], atol=1e-2)
    low, high = plane.points.min(0), plane.points.max(0)
    assert (
        (plane.place(np.full(3, 50, np.float32)) >= low) & (plane.place(np.full(3, 50, np.float32)) <= high)
    ).all()
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        projection.by_umap("z_ref", np.arange(50), z, cancel=token)
    with pytest.raises(ValueError, match="10 cells or more"):
        projection.by_umap("z_ref", np.arange(4), z[:4])
