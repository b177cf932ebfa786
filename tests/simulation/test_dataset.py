"""Simulated cells on disk: public layout, complete, resumable, independent of the number of workers."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, read_crop, read_image
from napari_integrated_cell.simulation import simulate_shape, write_dataset
from napari_integrated_cell.vocabulary import STAGE_NAMES, STAGES, STRUCTURE_NAMES, STRUCTURES

COARSE = 1.0


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    manifest = write_dataset(out, 12, seed=3, voxel_size=COARSE)
    assert manifest == out / "metadata.csv"
    return out


def test_the_manifest_has_the_public_columns_and_says_simulated(dataset):
    table = rows(dataset / "metadata.csv")
    assert [r["CellId"] for r in table] == [str(i) for i in range(1, 13)]
    wanted = (
        "CellId crop_raw crop_seg name_dict structure_name cell_stage scale_micron roi fov_path FOVId PlateId "
        "WellId this_cell_index edge_flag outlier simulated simulated_stage"
    )
    assert list(table[0]) == wanted.split()
    codes = {s.name: s.dataset_code for s in STAGES}
    for row in table:
        assert row["simulated"] == "True"
        assert row["cell_stage"] == codes[row["simulated_stage"]]
        assert row["outlier"] == "No"
        assert ast.literal_eval(row["scale_micron"]) == [COARSE] * 3
        assert ast.literal_eval(row["name_dict"])["crop_seg"] == list(CROP_SEG_CHANNELS)
    assert {r["structure_name"] for r in table} == {s.gene for s in STRUCTURES}
    assert len({r["FOVId"] for r in table}) == 2


def test_every_file_opens_as_the_public_ones_do(dataset):
    for row in rows(dataset / "metadata.csv")[::4]:
        raw = read_image(dataset / row["crop_raw"])
        roi = ast.literal_eval(row["roi"])
        assert raw.data.shape == (3, *(roi[2 * i + 1] - roi[2 * i] for i in range(3)))
        assert raw.data.dtype == np.uint16
        assert tuple(raw.channel_names) == ("dna", "membrane", "structure")
        assert raw.voxel_size == pytest.approx([COARSE] * 3)
        cell = read_crop(
            dataset / row["crop_seg"],
            dataset / row["crop_raw"],
            voxel_size=(COARSE,) * 3,
            structure=row["structure_name"],
        )
        assert 500 < cell.volume < 5000
        assert (
            cell.channels["dna"][cell.nucleus_mask].mean()
            > 1.5 * cell.channels["dna"][~cell.cell_mask].mean()
        )
        seg = read_image(dataset / row["crop_seg"])
        assert tuple(seg.channel_names) == CROP_SEG_CHANNELS
        assert set(np.unique(seg.data)) == {0, 255}
        with tifffile.TiffFile(dataset / row["crop_raw"]) as file:
            assert "imulated" in file.ome_metadata


def test_the_truth_is_that_of_the_shapes(dataset):
    for row in rows(dataset / "truth.csv"):
        assert row["structure"] in STRUCTURE_NAMES
        assert row["stage"] in STAGE_NAMES
        shape = simulate_shape(int(row["seed"]), row["stage"])
        assert float(row["height"]) == pytest.approx(shape.height, abs=1e-4)


def test_a_second_call_goes_on_and_changes_nothing(tmp_path):
    write_dataset(tmp_path, 2, seed=1, voxel_size=1.5)
    before = (tmp_path / "crop_raw" / "1_raw.ome.tif").stat().st_mtime_ns
    (tmp_path / "crop_seg" / "2_segmentation.ome.tif").unlink()
    calls: list[tuple[int, int, str]] = []
    write_dataset(tmp_path, 3, seed=1, voxel_size=1.5, progress=lambda *a: calls.append(a))
    assert (tmp_path / "crop_raw" / "1_raw.ome.tif").stat().st_mtime_ns == before
    assert [c[:2] for c in calls] == [(1, 3), (2, 3), (3, 3)]
    assert len(rows(tmp_path / "metadata.csv")) == 3
    assert (tmp_path / "crop_seg" / "2_segmentation.ome.tif").is_file()
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_of_other_settings_is_refused(tmp_path):
    write_dataset(tmp_path, 1, seed=1, voxel_size=1.5)
    with pytest.raises(ValueError, match="other settings"):
        write_dataset(tmp_path, 1, seed=2, voxel_size=1.5)


def test_cancelling_keeps_what_is_complete(tmp_path):
    class Stop(Exception):
        pass

    class Token:
        def raise_if_cancelled(self) -> None:
            raise Stop

    with pytest.raises(Stop):
        write_dataset(tmp_path, 3, seed=1, voxel_size=1.5, cancel=Token())
    assert len(list((tmp_path / "crop_raw").glob("*.tif"))) == 1
    write_dataset(tmp_path, 3, seed=1, voxel_size=1.5)
    assert len(list((tmp_path / "crop_raw").glob("*.tif"))) == 3


def test_structures_and_stages_can_be_chosen(tmp_path):
    write_dataset(
        tmp_path,
        4,
        voxel_size=1.5,
        structures=["golgi", "ZO-1"],
        stage_weights={"metaphase": 1, "anaphase": 1},
    )
    table = rows(tmp_path / "metadata.csv")
    assert [r["structure_name"] for r in table] == ["ST6GAL1", "TJP1"] * 2
    assert {r["simulated_stage"] for r in table} <= {"metaphase", "anaphase"}
    assert json.loads((tmp_path / "simulated.json").read_text())["simulated"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_cells": 0}, "from 1 upwards"),
        ({"n_cells": 1, "workers": 0}, "from 1 upwards"),
        ({"n_cells": 1, "seed": -1}, "negative"),
        ({"n_cells": 1, "structures": ["flagellum"]}, "No structure"),
        ({"n_cells": 1, "stage_weights": {"metaphase": -1}}, "stage weights"),
    ],
)
def test_bad_wishes_leave_nothing_behind(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        write_dataset(tmp_path / "file", 1, voxel_size=1.5)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path):
    for workers in (1, 2):
        write_dataset(tmp_path / str(workers), 4, seed=5, voxel_size=1.0, workers=workers)
    for one in sorted((tmp_path / "1").rglob("*.tif")):
        two = tmp_path / "2" / one.relative_to(tmp_path / "1")
        assert (tifffile.imread(one) == tifffile.imread(two)).all()
    assert (tmp_path / "1" / "metadata.csv").read_bytes() == (tmp_path / "2" / "metadata.csv").read_bytes()
