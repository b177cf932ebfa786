"""Prepare a store from a table: cells that are kept, left out or refused, and stopping and continuing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cells import BOX, assert_equal, prepared, write_table, write_tiny

from napari_ic_train.data import prepare as preparing
from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.splits import split_of
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.imaging.pose import PAPER_BOX, Box, pose_of, posed_references
from napari_integrated_cell.imaging.reading import read_crop
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.simulation import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"), 12)


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory) -> CellStore:
    return prepared(dataset, tmp_path_factory.mktemp("store"))


def test_every_cell_of_a_manifest_is_posed_and_keeps_what_was_measured(dataset, unbroken):
    table = unbroken.table
    assert table["CellId"].tolist() == [str(1000 + i) for i in range(12)]
    assert unbroken.structures == ("alpha-actinin", "alpha-tubulin", "beta-actin")
    assert table["stage"].tolist()[:3] == ["interphase", "prophase-1", "prometaphase-1"]
    assert table["cell_stage"].tolist()[:3] == ["M0", "M1M2", "M3"]
    assert (table["plate"].tolist()[7], table["plate"].tolist()[8]) == ("0", "1")
    cell = read_crop(
        dataset.parent / "crop_seg/5_segmentation.ome.tif",
        dataset.parent / "crop_raw/5_raw.ome.tif",
        voxel_size=tiny_cells.VOXEL_SIZE,
    )
    pose = pose_of(cell, BOX)
    row = table.iloc[5]
    assert (row["angle"], row["elongation"], row["outside"]) == (pose.angle, pose.elongation, pose.outside)
    assert (row["flip_margin_y"], row["flip_margin_x"]) == pose.flip_margins
    assert (row["cell_volume"], row["nucleus_volume"]) == (cell.volume, cell.nucleus_volume)
    np.testing.assert_array_equal(np.reshape(row["to_box"], (4, 4)), pose.to_box)
    np.testing.assert_allclose(
        unbroken.references([5])[0].numpy(), posed_references(cell, pose), atol=0.5 / 255 + 1e-6
    )


def test_a_simulators_folder_needs_no_more_than_its_name(tmp_path):
    write_dataset(tmp_path / "cells", 3, seed=2, voxel_size=1.2, structures=["TOM20"])
    store = prepared(tmp_path / "cells", tmp_path / "store", references="segmentation")
    assert store.simulated
    assert (len(store), store.structures, store.source) == (3, ("TOM20",), "cells")
    assert set(store.table["references"]) == {"segmentation"}


BROKEN = {
    "missing": {"crop_raw": "crop_raw/nowhere.ome.tif"},
    "truncated": {"crop_raw": "crop_raw/short.ome.tif"},
    "no image": {"crop_seg": "crop_seg/text.ome.tif"},
    "no nucleus": {"crop_seg": "crop_seg/empty.ome.tif"},
    "NaN": {"crop_raw": "crop_raw/nan.ome.tif"},
    "blank": {"crop_raw": "crop_raw/blank.ome.tif"},
    "literal": {"name_dict": "{'crop_raw': "},
}


def break_files(folder: Path) -> None:
    raw, seg = folder / "crop_raw", folder / "crop_seg"
    (raw / "short.ome.tif").write_bytes((raw / "0_raw.ome.tif").read_bytes()[:3000])
    (seg / "text.ome.tif").write_text("no picture at all")
    seen = tiny_cells.volumes(0)
    masks = {name: seen["cell_mask"].astype(np.uint8) for name in tiny_cells.CROP_SEG_CHANNELS}
    masks["dna_segmentation"] = np.zeros_like(masks["dna_segmentation"])
    write_ome_tiff(seg / "empty.ome.tif", masks, tiny_cells.VOXEL_SIZE)
    stains = {name: seen[name].astype(np.float32) for name in tiny_cells.RAW}
    write_ome_tiff(
        raw / "blank.ome.tif", {**stains, "structure": np.full_like(stains["dna"], 7)}, tiny_cells.VOXEL_SIZE
    )
    stains["membrane"][:] = np.nan
    write_ome_tiff(raw / "nan.ome.tif", stains, tiny_cells.VOXEL_SIZE)


@pytest.fixture
def faulty(tmp_path) -> Path:
    change = {2 * i + 1: broken for i, broken in enumerate(BROKEN.values())}
    manifest = write_tiny(tmp_path / "faulty", 2 * len(BROKEN) + 1, change)
    break_files(tmp_path / "faulty")
    return manifest


def test_a_bad_file_costs_one_row_of_the_report(faulty, tmp_path):
    store = prepared(faulty, tmp_path / "store")
    sound = [str(1000 + 2 * i) for i in range(len(BROKEN) + 1)]
    assert store.table["CellId"].tolist() == sound
    assert store.images(np.arange(len(store))).amax(dim=(2, 3, 4)).min() == 1, "no image is an empty place"
    report = store.report
    assert report.columns.tolist() == ["CellId", "path", "reason"]
    assert report["CellId"].tolist() == [str(1001 + 2 * i) for i in range(len(BROKEN))]
    said = [
        "no file",
        "cut short",
        "damaged",
        "empty",
        "NaN",
        "nothing above the background",
        "not a Python literal",
    ]
    for reason, words in zip(report["reason"], said, strict=True):
        assert words in reason
        assert "\n" not in reason
    assert report["path"][0].endswith("nowhere.ome.tif")


def test_what_failed_is_tried_again_when_asked(faulty, tmp_path):
    before = prepared(faulty, tmp_path / "store")
    assert len(prepared(faulty, tmp_path / "store")) == len(before), "not unless asked"
    os.link(faulty.parent / "crop_raw/0_raw.ome.tif", faulty.parent / "crop_raw/nowhere.ome.tif")
    store = prepared(faulty, tmp_path / "store", retry=True)
    assert store.table["CellId"].tolist()[:3] == ["1000", "1001", "1002"]
    assert len(store.report) == len(BROKEN) - 1
    assert_equal(store, prepared(faulty, tmp_path / "anew"))


def test_not_one_sound_cell_is_said_and_the_report_is_there(tmp_path):
    manifest = write_tiny(tmp_path, 2, {i: {"crop_seg": "gone.tif"} for i in range(2)})
    with pytest.raises(ValueError, match=r"Not one cell.*report\.csv"):
        prepared(manifest, tmp_path / "store")
    assert len(pd.read_csv(tmp_path / "store" / "report.csv")) == 2
    with pytest.raises(ValueError, match="not a finished"):
        CellStore(tmp_path / "store")


DOUBTFUL = {
    0: {"structure_name": "NPM1"},
    1: {"structure_name": "AAVS1"},
    2: {"structure_name": "NPM1"},
    3: {"outlier": "Yes (missing)"},
    4: {"cell_stage": "M6M7_single"},
    5: {"edge_flag": 1},
}


def test_other_genes_outliers_and_lone_daughters_are_left_out_and_counted(tmp_path):
    manifest = write_tiny(tmp_path, 8, DOUBTFUL)
    store = prepared(manifest, tmp_path / "store")
    assert store.table["CellId"].tolist() == ["1005", "1006", "1007"]
    assert store.table["edge"].tolist() == [True, False, False]
    assert store.left_out == {
        "other structure NPM1": 2,
        "other structure AAVS1": 1,
        "outlier": 1,
        "daughter without the other": 1,
    }


def test_they_are_kept_when_asked_and_other_genes_are_further_classes(tmp_path):
    manifest = write_tiny(tmp_path, 8, DOUBTFUL)
    store = prepared(
        manifest, tmp_path / "a", keep_other=True, keep_outliers=True, keep_daughters=True, keep_edge=False
    )
    assert store.structures == ("alpha-actinin", "alpha-tubulin", "AAVS1", "NPM1")
    assert store.table["structure"].tolist()[:3] == ["NPM1", "AAVS1", "NPM1"]
    assert store.labels.tolist()[:3] == [3, 2, 3]
    assert store.left_out == {"at the colony's edge": 1}
    nothing = write_tiny(tmp_path / "none", 2, {i: {"structure_name": "NPM1"} for i in range(2)})
    with pytest.raises(ValueError, match="2 other structure NPM1"):
        prepared(nothing, tmp_path / "b")


def test_a_posed_package_is_taken_as_it_lies(tmp_path):
    seen = tiny_cells.volumes(1)
    shape = seen["cell_mask"].shape
    order = ("nucleus_mask", "cell_mask", "dna", "membrane", "structure", "dna")
    stack = {f"c{i}": seen[name].astype(np.uint16) for i, name in enumerate(order)}
    write_ome_tiff(tmp_path / "1_reg.ome.tif", stack, (0.317,) * 3)
    row = {"CellId": 1, "StructureId/Name": "Tom20", "save_reg_path": "1_reg.ome.tif", "ch_struct": 4.0}
    manifest = write_table(tmp_path / "data_jobs_out.csv", [row])
    store = prepare(manifest, tmp_path / "store", Box(shape, 0.317), workers=1)
    posed = store.images([0])[0].numpy()
    assert (store.table["angle"][0], store.table["flip_y"][0], store.structures) == (0.0, False, ("TOM20",))
    inside = seen["structure"].astype(float) - 100
    inner = seen["nucleus_mask"]
    np.testing.assert_allclose(
        posed[2][inner] / posed[2][inner].max(),
        np.clip(inside, 0, None)[inner] / inside[inner].max(),
        atol=0.05,
    )


def test_a_table_of_ones_own_takes_cells_out_of_fields(tmp_path):
    left, right = tiny_cells.volumes(1), tiny_cells.volumes(2)
    field = {
        name: np.concatenate([left[name], right[name]], axis=2).astype(np.uint16)
        for name in ("membrane", "dna", "structure")
    }
    labels = {
        what: np.concatenate([1 * left[what], 2 * right[what]], axis=2).astype(np.uint8)
        for what in ("cell_mask", "nucleus_mask")
    }
    named = {"CellMask": field["membrane"], "Hoechst": field["dna"], "EGFP": field["structure"]}
    write_ome_tiff(tmp_path / "field.ome.tif", named, (1.0,) * 3)
    for what, volume in labels.items():
        write_ome_tiff(tmp_path / f"{what}.ome.tif", {"labels": volume}, (1.0,) * 3)
    row = {
        "image": "field.ome.tif",
        "structure": "lamin B1",
        "structure_channel": "EGFP",
        "cell_segmentation": "cell_mask.ome.tif",
        "nucleus_segmentation": "nucleus_mask.ome.tif",
    }
    rows = [{"cell_id": f"f1/{label}", "cell_label": label, **row} for label in (1, 2, "")]
    rows[2]["cell_id"] = "no label"
    store = prepared(write_table(tmp_path / "mine.csv", rows), tmp_path / "store")
    assert store.table["CellId"].tolist() == ["f1/1", "f1/2"]
    assert set(store.table["references"]) == {"stain"}
    assert store.table["cell_volume"].tolist() == [v["cell_mask"].sum() for v in (left, right)]
    assert "2 labels" in store.report["reason"][0]


@pytest.mark.parametrize("split_by", [None, "field", "plate", "cell"])
def test_the_split_keeps_together_what_it_is_asked_to(dataset, tmp_path, split_by):
    store = prepared(dataset, tmp_path, split_by=split_by, test_fraction=0.5, seed=3)
    group = {None: "field", "cell": "CellId"}.get(split_by, split_by)
    expected = [split_of(key, 3, 0.5) for key in store.table[group]]
    assert store.table["split"].tolist() == expected
    assert set(expected) == {"train", "test"}


@settings(deadline=None)
@given(
    st.lists(st.text(min_size=1), unique=True, min_size=2, max_size=30),
    st.integers(0, 2**31),
    st.floats(0, 0.9),
    st.randoms(use_true_random=False),
)
def test_a_split_knows_neither_order_nor_company_and_only_grows(ids, seed, fraction, chance: random.Random):
    sides = {key: split_of(key, seed, fraction) for key in ids}
    shuffled = chance.sample(ids, len(ids) // 2 + 1)
    assert {key: split_of(key, seed, fraction) for key in shuffled} == {key: sides[key] for key in shuffled}
    assert all(split_of(key, seed, fraction + 0.1) == "test" for key in ids if sides[key] == "test")


def test_rows_in_another_order_make_the_same_cells(dataset, unbroken, tmp_path):
    table = pd.read_csv(dataset, dtype=str, keep_default_na=False).iloc[::-1]
    table.to_csv(dataset.parent / "turned.csv", index=False)
    store = prepared(dataset.parent / "turned.csv", tmp_path)
    turned = store.table.iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(turned, unbroken.table.reset_index(drop=True))
    np.testing.assert_array_equal(store.images(np.arange(12)[::-1]), unbroken.images(np.arange(12)))


def test_a_finished_store_is_left_alone_and_another_recipe_is_refused(dataset, tmp_path, monkeypatch):
    prepared(dataset, tmp_path)
    monkeypatch.setattr(preparing, "posed_entry", None)
    assert len(prepared(dataset, tmp_path)) == 12
    with pytest.raises(ValueError, match=r"other settings \(references, seed; see"):
        prepared(dataset, tmp_path, references="mixed", seed=1)
    (tmp_path / "recipe.json").unlink()
    with pytest.raises(ValueError, match="another folder"):
        prepared(dataset, tmp_path)


def test_a_changed_manifest_is_another_one(tmp_path):
    manifest = write_tiny(tmp_path, 3)
    prepared(manifest, tmp_path / "store")
    write_tiny(tmp_path, 4)
    with pytest.raises(ValueError, match=r"other settings \(manifest; see"):
        prepared(manifest, tmp_path / "store")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"references": "x"}, "stain, segmentation, mixed"),
        ({"split_by": "well"}, "cell, field, plate"),
        ({"test_fraction": 1.0}, "held out"),
        ({"workers": 0}, "from 1 upwards"),
    ],
)
def test_bad_settings_fail_before_anything_is_written(dataset, tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        prepared(dataset, tmp_path / "store", **settings)
    assert not (tmp_path / "store").exists()


def test_splitting_by_what_the_manifest_does_not_name_is_refused(tmp_path):
    rows = [
        {
            "cell_id": 1,
            "image": "a",
            "structure": "TOM20",
            "cell_segmentation": "b",
            "nucleus_segmentation": "c",
        }
    ]
    with pytest.raises(ValueError, match="no column that names it"):
        prepared(write_table(tmp_path / "m.csv", rows), tmp_path / "store", split_by="plate")


def test_a_full_disk_stops_the_run_and_is_no_cells_fault(dataset, unbroken, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(preparing.StoreWriter, "write", full)
        with pytest.raises(OSError, match="No space left"):
            prepared(dataset, tmp_path)
    assert_equal(prepared(dataset, tmp_path), unbroken)


def test_a_stopped_run_does_no_cell_twice(dataset, unbroken, tmp_path, monkeypatch):
    done: list[str] = []
    posed = preparing.posed_entry

    def counted(entry, recipe):
        if len(done) == 8:
            raise KeyboardInterrupt
        done.append(entry.cell_id)
        return posed(entry, recipe)

    monkeypatch.setattr(preparing, "posed_entry", counted)
    with pytest.raises(KeyboardInterrupt):
        prepared(dataset, tmp_path)
    first, told = done.copy(), []
    done.clear()
    store = prepared(dataset, tmp_path, batch=4, progress=lambda *said: told.append(said))
    assert told[0] == (6, 12, "posing cells"), "two batches of three were whole"
    assert set(done).isdisjoint(first[:6])
    assert told[-1] == (12, 12, "posing cells")
    assert_equal(store, unbroken)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_continues_to_the_same_store(dataset, unbroken, tmp_path):
    for attempt, parts in enumerate((0, 1, 3, 4)):
        out = tmp_path / str(attempt)
        run = subprocess.Popen([sys.executable, tiny_cells.__file__, str(dataset), str(out), "1"])
        end = time.monotonic() + 60
        while time.monotonic() < end and len(list(out.glob("parts/*.parquet"))) < max(parts, 1):
            if parts == 0 and (out / "recipe.json").is_file():
                break
            time.sleep(0.001)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, "it was killed before it had finished"
        assert_equal(prepared(dataset, out), unbroken)
        assert not (out / "parts").exists()


@pytest.mark.real_data
def test_the_real_cell_goes_through_with_a_hand_made_row(real_data, tmp_path):
    file = real_data / "wtc11_single_cell" / "crop_seg_CellId416089.ome.tiff"
    row = {
        "CellId": 416089,
        "crop_seg": str(file),
        "name_dict": str({"crop_seg": list(tiny_cells.CROP_SEG_CHANNELS)}),
        "structure_name": "TOMM20",
        "cell_stage": "M0",
        "scale_micron": "[0.108333, 0.108333, 0.108333]",
        "FOVId": "",
        "outlier": "No",
    }
    store = prepare(write_table(tmp_path / "metadata.csv", [row]), tmp_path / "store", PAPER_BOX, workers=1)
    assert (len(store), store.structures, store.box) == (1, ("TOM20",), (64, 96, 128))
    cell = store.table.iloc[0]
    assert 1150 < cell["cell_volume"] < 1210
    assert 240 < cell["nucleus_volume"] < 255
    assert abs(cell["elongation"] - 1.24) < 0.02
    assert (cell["references"], cell["structure_image"], cell["outside"]) == (
        "segmentation",
        "segmentation",
        0,
    )
    membrane, dna = store.references([0])[0].numpy()
    centre = np.array([np.average(axis, weights=dna) for axis in np.indices(dna.shape)])
    np.testing.assert_allclose(centre, (np.array(dna.shape) - 1) / 2, atol=0.2)
    ys, xs = np.nonzero(membrane.max(axis=0) > 0.2)
    assert np.ptp(xs) > np.ptp(ys), "the long axis lies along X"
    core = membrane[dna > 0.5]
    assert core.mean() < 0.1, "the membrane is a shell"
    assert json.loads((tmp_path / "store" / "recipe.json").read_text())["split_by"] == "field"
