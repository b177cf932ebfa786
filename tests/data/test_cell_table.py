"""The columns of a table decide its layout, and a row names the right channels of the right files."""

from __future__ import annotations

import re

import pytest
from tiny_cells import public_row, write_table

from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry import Entry, FaultyRow, FileChannel
from napari_integrated_cell.data.stages import stage_named

PUBLIC = public_row(0, "crop_raw/a_raw.ome.tif", "crop_seg/a_segmentation.ome.tif")
PACKAGE = {
    "CellId": "7",
    "StructureId/Name": "Alpha tubulin",
    "save_reg_path": "cell_images_3d/7_reg.tiff",
    "ch_dna": "2.0",
    "ch_memb": 3,
    "ch_seg_cell": 1,
    "ch_seg_nuc": 0,
    "ch_struct": 4,
}
OWN = {
    "cell_id": "a/1",
    "image": "field.ome.tif",
    "structure": "mitochondria",
    "cell_segmentation": "cells.tif",
    "nucleus_segmentation": "nuclei.tif",
}


def entries(tmp_path, *rows):
    return list(open_table(write_table(tmp_path / "metadata.csv", rows)).entries())


def one(tmp_path, row) -> Entry:
    (entry,) = entries(tmp_path, row)
    assert isinstance(entry, Entry), entry
    return entry


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (PUBLIC, "public dataset"),
        ({"crop_seg": "a.tif"}, "public dataset"),
        ({**PUBLIC, "simulated": True, "simulated_stage": "anaphase"}, "simulated cells"),
        (PACKAGE, "posed package"),
        (OWN, "table of your own"),
        ({"cell_segmentation": "cells.tif", "nucleus_segmentation": "nuclei.tif"}, "table of your own"),
    ],
)
def test_a_layout_is_known_by_its_columns(tmp_path, row, name):
    assert open_table(write_table(tmp_path / "metadata.csv", [row])).layout.name == name
    assert open_table(tmp_path).layout.name == name, "a folder stands for its metadata.csv"
    assert isinstance(one(tmp_path, row), Entry)


def test_unknown_columns_are_answered_with_what_each_layout_needs(tmp_path):
    path = write_table(tmp_path / "x.csv", [{"id": 1, "file": "a.tif"}])
    with pytest.raises(ValueError, match=r"id, file.*save_reg_path.*crop_seg.*cell_segmentation") as caught:
        open_table(path)
    assert len(str(caught.value)) <= 300


def test_a_missing_table_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no table of cells"):
        open_table(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match=r"metadata\.csv"):
        open_table(tmp_path)
    for content in ("", "\n\n", "cell_id,crop_seg\n"):
        (tmp_path / "empty.csv").write_text(content)
        with pytest.raises(ValueError, match="lists no cells"):
            open_table(tmp_path / "empty.csv")


def test_the_public_row_takes_its_channels_from_name_dict(tmp_path):
    order = {
        "crop_raw": ["structure", "dna", "membrane"],
        "crop_seg": ["x", "membrane_segmentation", "dna_segmentation"],
    }
    entry = one(tmp_path, {**PUBLIC, "name_dict": str(order)})
    raw, seg = str(tmp_path / "crop_raw/a_raw.ome.tif"), str(tmp_path / "crop_seg/a_segmentation.ome.tif")
    assert entry.images == {
        "membrane": FileChannel(raw, (2,)),
        "dna": FileChannel(raw, (1,)),
        "structure": FileChannel(raw, (0,)),
    }
    assert (entry.cell, entry.nucleus) == (FileChannel(seg, (1,)), FileChannel(seg, (2,)))
    assert (entry.cell_id, entry.structure, entry.voxel_size) == ("1000", "alpha-actinin", (1.0, 1.0, 1.0))
    assert (entry.field, entry.plate, entry.outlier, entry.edge) == ("0", "0", False, False)


def test_channels_of_a_crop_are_recognised_by_their_names(tmp_path):
    names = {"crop_raw": ["brightfield", "FBL", "H3342", "CMDRP"]}
    entry = one(tmp_path, {**PUBLIC, "structure_name": "FBL", "name_dict": str(names)})
    found = {name: plane.names for name, plane in entry.images.items()}
    assert found == {"brightfield": (0,), "structure": (1,), "dna": (2,), "membrane": (3,)}
    names = {"crop_raw": ["dna", "nuclear stain"]}
    entry = one(tmp_path, {**PUBLIC, "name_dict": str(names)})
    assert entry.images["dna"].names == (0,), "an exact name comes first"
    assert "structure" not in entry.images


def test_a_public_row_without_raw_image_has_the_structures_segmentation(tmp_path):
    entry = one(tmp_path, {**PUBLIC, "crop_raw": ""})
    assert entry.images == {}
    assert entry.structure_segmentation.names == (3,)
    assert entry.structure_segmented
    assert not one(tmp_path, PUBLIC).structure_segmented


def test_flags_and_unknown_genes_are_kept_as_they_are_written(tmp_path):
    entry = one(
        tmp_path, {**PUBLIC, "structure_name": "NPM1", "outlier": "Yes (missing dna)", "edge_flag": "1"}
    )
    assert (entry.structure, entry.outlier, entry.edge) == ("NPM1", True, True)
    assert one(tmp_path, {**OWN, "edge": "yes"}).edge


CODES = {
    "M0": "interphase",
    "M1M2": "prophase-1",
    "M3": "prometaphase-1",
    "M4M5": "metaphase",
    "M6M7_complete": "telophase-cytokinesis",
    "M6M7_single": "telophase-cytokinesis",
}


@pytest.mark.parametrize(("code", "stage"), CODES.items())
@pytest.mark.parametrize(("row", "column"), [(PUBLIC, "cell_stage"), (OWN, "stage"), (PACKAGE, "cell_stage")])
def test_the_datasets_codes_become_the_papers_stages(tmp_path, code, stage, row, column):
    assert stage_named(code) == stage
    entry = one(tmp_path, {**row, column: code})
    assert (entry.stage, entry.stage_code) == (stage, code)
    assert entry.lone_daughter == (code == "M6M7_single")
    assert one(tmp_path, {**row, column: code.lower()}).lone_daughter == entry.lone_daughter


def test_a_stage_may_be_written_in_any_spelling_and_an_unknown_one_is_kept(tmp_path):
    assert one(tmp_path, {**OWN, "stage": "Prophase 2"}).stage == "prophase-2"
    assert one(tmp_path, {**OWN, "stage": "G1"}).stage == "G1"
    assert one(tmp_path, OWN).stage == ""
    with pytest.raises(ValueError, match=r"'prophse'.*prophase-1.*M6M7_single") as caught:
        stage_named("prophse")
    assert len(str(caught.value)) <= 300


def test_a_stage_of_ones_own_comes_before_the_datasets_code(tmp_path):
    entry = one(tmp_path, {**PUBLIC, "cell_stage": "M4M5", "stage": "anaphase"})
    assert (entry.stage, entry.stage_code) == ("anaphase", "M4M5")


def test_a_simulated_cell_knows_its_true_stage(tmp_path):
    entry = one(tmp_path, {**PUBLIC, "cell_stage": "M4M5", "simulated": True, "simulated_stage": "anaphase"})
    assert (entry.stage, entry.stage_code, entry.simulated) == ("anaphase", "M4M5", True)


def test_the_posed_package_names_channels_by_index_and_is_not_rotated_again(tmp_path):
    entry = one(tmp_path, PACKAGE)
    path = str(tmp_path / "cell_images_3d/7_reg.tiff")
    assert entry.images == {
        "membrane": FileChannel(path, (3,)),
        "dna": FileChannel(path, (2,)),
        "structure": FileChannel(path, (4,)),
    }
    assert (entry.cell, entry.nucleus) == (FileChannel(path, (1,)), FileChannel(path, (0,)))
    assert (entry.structure, entry.posed, entry.voxel_size) == ("alpha-tubulin", True, (0.317,) * 3)
    short = {"save_reg_path": "7_reg.tiff"}
    assert [plane.names for plane in one(tmp_path, short).images.values()] == [(3,), (2,), (4,)]


def test_a_table_of_ones_own_needs_little(tmp_path):
    entry = one(tmp_path, OWN)
    image = str(tmp_path / "field.ome.tif")
    assert entry.images["membrane"] == FileChannel(image, ("membrane",), optional=True)
    assert entry.images["structure"] == FileChannel(image, ("TOM20", "structure"), optional=True)
    assert (entry.structure, entry.label, entry.voxel_size, entry.field) == ("TOM20", None, None, "")


def test_a_table_of_ones_own_may_say_more(tmp_path):
    more = {
        "membrane_channel": "CMDRP", "dna_channel": "1", "structure_channel": "EGFP", "cell_label": "12",
        "voxel_size": "0.29, 0.108, 0.108", "stage": "Prophase 2", "field": "f3", "plate": "p1",
        "cell_segmentation_channel": "0",
    }  # fmt: skip
    entry = one(tmp_path, {**OWN, **more})
    image = str(tmp_path / "field.ome.tif")
    assert entry.images["dna"] == FileChannel(image, ("1",))
    assert entry.images["structure"] == FileChannel(image, ("EGFP",))
    assert entry.cell.names == ("0",)
    assert (entry.label, entry.voxel_size, entry.stage) == (12, (0.29, 0.108, 0.108), "prophase-2")
    assert (entry.field, entry.plate) == ("f3", "p1")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": "3.0"}, {"label": 3}),
        ({"cell_label": 3, "label": "x"}, {"label": 3}),
        ({"scale_micron": "[0.3, 0.1, 0.1]"}, {"voxel_size": (0.3, 0.1, 0.1)}),
        ({"voxel_size": "0.2"}, {"voxel_size": (0.2, 0.2, 0.2)}),
        ({"FOVId": 4, "PlateId": 5}, {"field": "4", "plate": "5"}),
        ({"structure": "", "structure_name": "TOMM20"}, {"structure": "TOM20"}),
        ({"structure": "nan"}, {"structure": ""}),
        ({"cell_id": "", "CellId": 8}, {"cell_id": "8", "name": "8"}),
        ({"cell_id": ""}, {"cell_id": "", "name": "row 1"}),
        ({"image": ""}, {"images": {}}),
    ],
)
def test_every_columns_other_names_are_read_too(tmp_path, columns, said):
    entry = one(tmp_path, {**OWN, **columns})
    assert {name: getattr(entry, name) for name in said} == said


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**PUBLIC, "name_dict": "{'crop_raw': ["}, "not a Python literal"),
        ({**PUBLIC, "name_dict": "__import__('os').getcwd()"}, "not a Python literal"),
        ({**PUBLIC, "name_dict": "[1, 2]"}, "lists no channels"),
        ({**PUBLIC, "name_dict": "{'crop_raw': ['dna'], 'crop_seg': []}"}, "no channel"),
        ({**PUBLIC, "scale_micron": "[0.1, 0.1]"}, r"\(Z, Y, X\)"),
        ({**PUBLIC, "scale_micron": "[0.1, -0.1, 0.1]"}, r"\(Z, Y, X\)"),
        ({**OWN, "voxel_size": "0,29"}, "decimal points"),
        ({**OWN, "voxel_size": "0,29; 0,1; 0,1"}, r"'0,29; 0,1; 0,1': give the voxel size .* decimal points"),
        ({**OWN, "voxel_size": "0.29 um"}, r"'0.29 um': give the voxel size"),
        ({**OWN, "voxel_size": "True"}, "give the voxel size"),
        ({**OWN, "voxel_size": "1e999"}, r"\(Z, Y, X\)"),
        ({**PUBLIC, "crop_seg": "nan"}, "'crop_seg' is empty"),
        ({**PACKAGE, "ch_dna": "two"}, "whole number from 0"),
        ({**PACKAGE, "ch_dna": "-1"}, "whole number from 0"),
        ({**OWN, "cell_label": "0"}, "whole number from 1"),
        ({**OWN, "label": "2.5"}, "whole number from 1"),
        ({**OWN, "label": "inf"}, "whole number from 1"),
        ({**OWN, "image": r"C:\data\field.tif"}, "Windows drive"),
        ({**OWN, "image": "C:/data/field.tif"}, "Windows drive"),
        ({**OWN, "image": r"\\server\data\field.tif"}, "Windows drive"),
    ],
)
def test_a_faulty_row_says_what_is_wrong(tmp_path, row, reason):
    (entry,) = entries(tmp_path, row)
    assert isinstance(entry, FaultyRow)
    assert re.search(reason, entry.reason), entry.reason
    with pytest.raises(ValueError, match=reason):
        entry.read()


def test_values_beyond_the_columns_are_a_fault_and_empty_ones_are_not(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("cell_segmentation,nucleus_segmentation,voxel_size\na,b,0.3,,\na,b,0.3,0.1,0.1\n")
    good, bad = open_table(path).entries()
    assert good.voxel_size == (0.3,) * 3
    assert "double quotes" in bad.reason


def test_rows_are_counted_from_one_and_found_by_their_place(tmp_path):
    path = write_table(tmp_path / "metadata.csv", [PUBLIC, {**PUBLIC, "CellId": ""}])
    table = open_table(path)
    assert [entry.name for entry in table.entries()] == ["1000", "row 2"]
    assert [table.at(i) for i in range(3)] == [*table.entries(), None]


def test_which_groups_a_table_names(tmp_path):
    assert open_table(write_table(tmp_path / "a.csv", [PUBLIC])).groups == ("field", "plate")
    assert open_table(write_table(tmp_path / "b.csv", [OWN])).groups == ()
    assert open_table(write_table(tmp_path / "c.csv", [{**OWN, "plate": 1}])).groups == ("plate",)
