"""Every layout of a manifest is known by its columns, and a row comes down to the right planes of the right files."""

from __future__ import annotations

import contextlib
import csv
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cells import public_row, write_table

from napari_ic_train.data.manifests import Entry, Plane, Unusable, literal, open_manifest, stage_of_code

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
PLAIN = {
    "cell_id": "a/1",
    "image": "field.ome.tif",
    "structure": "mitochondria",
    "cell_segmentation": "cells.tif",
    "nucleus_segmentation": "nuclei.tif",
}


def entries(tmp_path, *rows):
    return list(open_manifest(write_table(tmp_path / "metadata.csv", rows)).entries())


def one(tmp_path, row) -> Entry:
    (entry,) = entries(tmp_path, row)
    assert isinstance(entry, Entry), entry
    return entry


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (PUBLIC, "public dataset"),
        ({**PUBLIC, "simulated": True, "simulated_stage": "anaphase"}, "simulated dataset"),
        (PACKAGE, "posed package"),
        (PLAIN, "table of one's own"),
    ],
)
def test_a_layout_is_known_by_its_columns(tmp_path, row, name):
    assert open_manifest(write_table(tmp_path / "metadata.csv", [row])).format.name == name
    assert open_manifest(tmp_path).format.name == name, "a folder stands for its metadata.csv"


def test_unknown_columns_are_answered_with_what_each_layout_needs(tmp_path):
    path = write_table(tmp_path / "x.csv", [{"id": 1, "file": "a.tif"}])
    with pytest.raises(ValueError, match=r"id, file.*save_reg_path.*crop_seg.*cell_segmentation"):
        open_manifest(path)


def test_a_missing_manifest_and_one_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no manifest"):
        open_manifest(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match="no table of text"):
        open_manifest(tmp_path / "picture.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheets_separators_and_byte_order_mark_are_taken(tmp_path, separator):
    lines = [separator.join(PLAIN), separator.join(PLAIN.values())]
    (tmp_path / "mine.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    (entry,) = open_manifest(tmp_path / "mine.csv").entries()
    assert entry.structure == "TOM20"


def test_the_public_row_takes_its_channels_from_name_dict(tmp_path):
    turned = str(
        {
            "crop_raw": ["structure", "dna", "membrane"],
            "crop_seg": ["x", "membrane_segmentation", "dna_segmentation"],
        }
    )
    entry = one(tmp_path, {**PUBLIC, "name_dict": turned})
    raw, seg = str(tmp_path / "crop_raw/a_raw.ome.tif"), str(tmp_path / "crop_seg/a_segmentation.ome.tif")
    assert entry.images == {
        "membrane": Plane(raw, (2,)),
        "dna": Plane(raw, (1,)),
        "structure": Plane(raw, (0,)),
    }
    assert (entry.cell, entry.nucleus) == (Plane(seg, (1,)), Plane(seg, (2,)))
    assert (entry.cell_id, entry.structure, entry.voxel_size) == ("1000", "alpha-actinin", (1.0, 1.0, 1.0))
    assert (entry.field, entry.plate, entry.outlier, entry.edge) == ("0", "0", False, False)


def test_a_public_row_without_raw_image_takes_the_structures_segmentation(tmp_path):
    entry = one(tmp_path, {**PUBLIC, "crop_raw": ""})
    assert set(entry.images) == {"structure"}
    assert entry.images["structure"].names == (3,)
    assert entry.structure_segmented


def test_flags_and_unknown_genes_are_kept_as_they_are_said(tmp_path):
    entry = one(
        tmp_path, {**PUBLIC, "structure_name": "NPM1", "outlier": "Yes (missing dna)", "edge_flag": "1"}
    )
    assert (entry.structure, entry.outlier, entry.edge) == ("NPM1", True, True)


@pytest.mark.parametrize(
    ("code", "stage"),
    [
        ("M0", "interphase"),
        ("M1M2", "prophase-1"),
        ("M3", "prometaphase-1"),
        ("M4M5", "metaphase"),
        ("M6M7_complete", "telophase-cytokinesis"),
        ("M6M7_single", "telophase-cytokinesis"),
        ("", None),
    ],
)
def test_the_datasets_stages_are_the_papers(tmp_path, code, stage):
    assert stage_of_code(code) == stage
    entry = one(tmp_path, {**PUBLIC, "cell_stage": code})
    assert (entry.stage, entry.stage_code) == (stage, code or None)
    assert entry.lone_daughter == (code == "M6M7_single")


def test_a_simulated_cell_knows_its_true_stage(tmp_path):
    entry = one(tmp_path, {**PUBLIC, "cell_stage": "M4M5", "simulated": True, "simulated_stage": "anaphase"})
    assert (entry.stage, entry.stage_code, entry.simulated) == ("anaphase", "M4M5", True)


def test_the_posed_package_names_channels_by_index_and_is_not_turned_again(tmp_path):
    entry = one(tmp_path, PACKAGE)
    path = str(tmp_path / "cell_images_3d/7_reg.tiff")
    assert entry.images == {
        "membrane": Plane(path, (3,)),
        "dna": Plane(path, (2,)),
        "structure": Plane(path, (4,)),
    }
    assert (entry.cell, entry.nucleus) == (Plane(path, (1,)), Plane(path, (0,)))
    assert (entry.structure, entry.posed, entry.voxel_size) == ("alpha-tubulin", True, (0.317,) * 3)


def test_a_table_of_ones_own_needs_little_and_takes_more(tmp_path):
    entry = one(tmp_path, PLAIN)
    image = str(tmp_path / "field.ome.tif")
    assert entry.images["membrane"] == Plane(image, ("membrane",), optional=True)
    assert entry.images["structure"] == Plane(image, ("TOM20", "structure"))
    assert (entry.structure, entry.label, entry.voxel_size, entry.stage, entry.field) == (
        "TOM20",
        None,
        None,
        None,
        None,
    )
    more = {
        "membrane_channel": "CMDRP", "dna_channel": "1", "structure_channel": "EGFP", "cell_label": "12",
        "voxel_size": "0.29, 0.108, 0.108", "stage": "Prophase 2", "field": "f3", "plate": "p1",
        "cell_segmentation_channel": "0",
    }  # fmt: skip
    entry = one(tmp_path, {**PLAIN, **more})
    assert entry.images["dna"] == Plane(image, ("1",))
    assert entry.cell.names == ("0",)
    assert (entry.label, entry.voxel_size, entry.stage) == (12, (0.29, 0.108, 0.108), "prophase-2")
    assert (entry.field, entry.plate) == ("f3", "p1")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**PUBLIC, "name_dict": "{'crop_raw': ["}, "no Python literal"),
        ({**PUBLIC, "name_dict": "__import__('os').getcwd()"}, "no Python literal"),
        ({**PUBLIC, "name_dict": "[1, 2]"}, "lists no channels"),
        ({**PUBLIC, "name_dict": "{'crop_raw': ['dna'], 'crop_seg': []}"}, "no channel"),
        ({**PUBLIC, "scale_micron": "[0.1, 0.1]"}, r"\(Z, Y, X\)"),
        ({**PUBLIC, "scale_micron": "[0.1, -0.1, 0.1]"}, r"\(Z, Y, X\)"),
        ({**PUBLIC, "CellId": ""}, "'CellId' is empty"),
        ({**PUBLIC, "crop_seg": "nan"}, "'crop_seg' is empty"),
        ({**PUBLIC, "cell_stage": "M9"}, "M6M7_single"),
        ({**PACKAGE, "ch_dna": "two"}, "a channel's index"),
        ({**PACKAGE, "StructureId/Name": ""}, "what the structure is"),
        ({**PLAIN, "cell_label": "0"}, "whole number"),
        ({**PLAIN, "stage": "prophse"}, "No stage"),
    ],
)
def test_a_faulty_row_says_what_is_wrong(tmp_path, row, reason):
    (entry,) = entries(tmp_path, row)
    assert isinstance(entry, Unusable)
    assert re.search(reason, entry.reason), entry.reason


def test_a_cell_that_stands_twice_is_used_once_and_a_nameless_one_is_told_by_its_line(tmp_path):
    first, again, nameless = entries(tmp_path, PUBLIC, PUBLIC, {**PUBLIC, "CellId": ""})
    assert isinstance(first, Entry)
    assert "second time" in again.reason
    assert nameless.cell_id == "line 4"


def test_which_groups_a_manifest_names(tmp_path):
    assert open_manifest(write_table(tmp_path / "a.csv", [PUBLIC])).groups == ("field", "plate")
    assert open_manifest(write_table(tmp_path / "b.csv", [PLAIN])).groups == ()
    assert open_manifest(write_table(tmp_path / "c.csv", [{**PLAIN, "plate": 1}])).groups == ("plate",)


PLAIN_TYPES = (int, float, complex, str, bytes, bool, list, tuple, dict, set, type(...))
simple = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
nested = st.recursive(
    simple,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(nested, max_size=3) | st.dictionaries(st.text(), nested, max_size=3))
def test_any_list_or_dictionary_written_as_python_comes_back(value):
    assert literal({"c": str(value)}, "c", None) == value


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_stands_in_a_cell_is_a_literal_or_is_refused(written):
    read = None
    with contextlib.suppress(ValueError):
        read = literal({"c": written}, "c", None)
    assert read is None or type(read) in PLAIN_TYPES


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        min_size=5,
        max_size=5,
    )
)
def test_no_text_in_a_row_breaks_the_table(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("any") / "metadata.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(PLAIN)
        writer.writerow(values)
        writer.writerow(PLAIN.values())
    read = list(open_manifest(path).entries())
    assert all(isinstance(entry, (Entry, Unusable)) for entry in read)
    assert read[-1] == one(path.parent, PLAIN) or "second time" in read[-1].reason
