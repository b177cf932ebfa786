"""`prepare` and `embed` read the same cells from a table, in every layout."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tiny_cells
from tiny_cells import prepared, public_row, write_files, write_table

from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.training_entries import training_entries
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry import Entry
from napari_integrated_cell.data.entry_cell import pose_in_box
from napari_integrated_cell.imaging.pose import pose_of, posed_references
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.latent.embedding import embed_store
from napari_integrated_cell.latent.table_embedding import embed_table
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.simulation import write_dataset

STAGES = ("M0", "M1M2", "prophase-2", "M6M7_complete")


@pytest.fixture(scope="module")
def model() -> IntegratedCell:
    config = preset("tiny").model_copy(update={"voxel_size": tiny_cells.BOX.voxel_size})
    return IntegratedCell.untrained(config, seed=5)


def public(folder):
    rows = [public_row(i, *write_files(folder, i)) | {"cell_stage": STAGES[i]} for i in range(4)]
    for row in rows[2:]:
        row["crop_raw"] = row["crop_raw"].replace("/", "\\")
    return write_table(folder / "metadata.csv", rows)


def simulated(folder):
    write_dataset(folder, 4, seed=2, voxel_size=1.2)
    return folder / "metadata.csv"


def package(folder):
    order = ("nucleus_mask", "cell_mask", "dna", "membrane", "structure", "dna")
    rows = []
    for i in range(4):
        seen = tiny_cells.volumes(i)
        stack = {f"c{n}": seen[name].astype(np.uint16) for n, name in enumerate(order)}
        write_ome_tiff(folder / f"{i}_reg.ome.tif", stack, (1.0,) * 3)
        row = {"CellId": i, "StructureId/Name": "Tom20", "save_reg_path": f".\\{i}_reg.ome.tif"}
        rows.append({**row, "voxel_size": 1.0, "cell_stage": STAGES[i], "ch_struct": 4.0})
    return write_table(folder / "data_jobs_out.csv", rows)


def own(folder):
    """Two fields of two cells, in a table as Excel saves it in Germany."""
    rows = []
    for field in range(2):
        seen = [tiny_cells.volumes(2 * field + i) for i in range(2)]
        stains = {
            name: np.concatenate([cell[key] for cell in seen], axis=2).astype(np.uint16)
            for name, key in (("CellMask", "membrane"), ("Hoechst", "dna"), ("EGFP", "structure"))
        }
        write_ome_tiff(folder / f"größe{field}.ome.tif", stains, (1.0,) * 3)
        for what in ("cell_mask", "nucleus_mask"):
            labels = np.concatenate([(i + 1) * cell[what] for i, cell in enumerate(seen)], axis=2)
            write_ome_tiff(folder / f"{what}{field}.ome.tif", {"labels": labels.astype(np.uint8)}, (1.0,) * 3)
        rows += [
            {
                "cell_id": f"größe{field}/{label}",
                "image": f".\\größe{field}.ome.tif",
                "structure": ("lamin B1", "nucleoli")[field],
                "structure_channel": "EGFP",
                "cell_segmentation": f"cell_mask{field}.ome.tif",
                "nucleus_segmentation": f"nucleus_mask{field}.ome.tif",
                "cell_label" if field else "label": label,
                "stage": STAGES[2 * field + label - 1],
                "voxel_size": "1.0, 1.0, 1.0",
            }
            for label in (1, 2)
        ]
    with (folder / "mine.csv").open("w", newline="", encoding="cp1252") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "mine.csv"


@pytest.mark.parametrize(
    ("write", "stages"),
    [
        (public, ["interphase", "prophase-1", "prophase-2", "telophase-cytokinesis"]),
        (simulated, None),
        (package, ["interphase", "prophase-1", "prophase-2", "telophase-cytokinesis"]),
        (own, ["interphase", "prophase-1", "prophase-2", "telophase-cytokinesis"]),
    ],
)
def test_prepare_and_embed_read_the_same_cells(write, stages, model, tmp_path, monkeypatch):
    seen, encode_all = [], IntegratedCell.encode_all

    def recorded(self, images, **more):
        seen.append(images)
        return encode_all(self, images, **more)

    monkeypatch.setattr(IntegratedCell, "encode_all", recorded)
    (tmp_path / "cells").mkdir()
    path = write(tmp_path / "cells")
    store = prepare(path, tmp_path / "store", model_box(model.config), workers=1)
    assert len(store) == 4
    assert len(store.report) == 0
    left_out = []
    by_table = embed_table(path, model, on_left_out=lambda *why: left_out.append(why))
    by_store = embed_store(store, model)
    assert left_out == []
    for name in ("cell_id", "structure", "stage", "cell_volume", "nucleus_volume", "elongation", "length"):
        assert by_table.table[name].tolist() == by_store.table[name].tolist(), name
    assert by_table.table["stage"].tolist() == (stages or by_table.table["simulated_stage"].tolist())
    of_table, of_store = seen
    np.testing.assert_allclose(
        of_table, of_store, atol=0.5 / 255 + 1e-6, err_msg="a store holds 256 grey values"
    )
    assert np.abs(of_table[0] - of_table[1]).max() > 0.5, "cells differ by more than grey values"


def test_a_posed_package_is_embedded_as_it_lies(model, tmp_path):
    path = package(tmp_path)
    cell = open_table(path).at(0).read()
    found = embed_table(path, model)
    box = model_box(model.config)
    assert pose_of(cell, box).angle != pytest.approx(0, abs=0.1), "this cell would be rotated"
    as_it_lies = model.encode(posed_references(cell, pose_in_box(cell, box))[None])
    np.testing.assert_allclose(found.z_ref[:1], as_it_lies, atol=1e-5)


def test_a_table_for_embedding_may_lack_what_training_needs(model, tmp_path):
    path = own(tmp_path)
    lines = path.read_text(encoding="cp1252").splitlines()
    header = lines[0].split(";")
    keep = [
        i
        for i, name in enumerate(header)
        if name not in ("cell_id", "image", "structure", "structure_channel")
    ]
    short = [";".join(line.split(";")[i] for i in keep) for line in lines]
    (tmp_path / "short.csv").write_text("\n".join(short))
    found = embed_table(tmp_path / "short.csv", model)
    assert found.table["cell_id"].tolist() == ["row 1", "row 2", "row 3", "row 4"]
    assert not found.has_z_struct.any()
    with pytest.raises(ValueError, match=r"4 rows cannot be used.*report\.csv"):
        prepared(tmp_path / "short.csv", tmp_path / "store")


OWN = {
    "cell_id": "a",
    "image": "i.tif",
    "structure": "TOM20",
    "cell_segmentation": "c.tif",
    "nucleus_segmentation": "n.tif",
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cell_id": ""}, "no id"),
        ({"structure": ""}, "fill the column 'structure'"),
        ({"image": ""}, "no image of the structure"),
        ({"stage": "prophse"}, "No stage is called 'prophse'"),
        ({"cell_id": "first"}, "second time"),
    ],
)
def test_a_row_that_cannot_be_trained_on_says_why(tmp_path, change, reason):
    rows = [{**OWN, "cell_id": "first", "stage": "M0"}, {**OWN, "stage": "", **change}]
    path = write_table(tmp_path / "mine.csv", rows)
    first, second = training_entries(open_table(path))
    assert isinstance(first, Entry)
    assert reason in second.reason
    assert isinstance(open_table(path).at(1), Entry), "other uses of the table take it"


def test_a_public_row_without_an_image_trains_on_the_structures_segmentation(tmp_path):
    row = public_row(0, "", write_files(tmp_path, 0)[1])
    path = write_table(tmp_path / "metadata.csv", [row])
    store = prepared(path, tmp_path / "store")
    assert store.table["structure_image"].tolist() == ["segmentation"]
    assert store.table["references"].tolist() == ["segmentation"]
