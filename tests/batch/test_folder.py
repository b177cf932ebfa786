"""Which files of a folder belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_fields import VOXEL, side_by_side, write_image, write_labels

from napari_integrated_cell.batch.folder import ChosenChannels, fields_of_folder
from napari_integrated_cell.batch.journal import JOURNAL, Journal
from napari_integrated_cell.batch.patterns import pattern_of
from napari_integrated_cell.batch.targets import SEGMENTED
from napari_integrated_cell.imaging.writing import write_ome_tiff


def names_of(planes):
    return {what: Path(plane.path).name for what, plane in planes.items()}


@pytest.mark.parametrize(
    ("cells", "nuclei", "name"),
    [
        ("X_cell.ome.tif", "X_nucleus.ome.tif", "X"),
        ("cell_labels.ome.tif", "nucleus_labels.ome.tif", "folder"),
        ("cells.tif", "nuclei.tif", "folder"),
        ("Nuc_01_cell.ome.tif", "Nuc_01_nucleus.ome.tif", "Nuc_01"),
        ("fieldCells.tif", "fieldNuclei.tif", "field"),
        ("cells_7.tif", "nuclei_7.tif", "7"),
        ("TfR-3 membrane segmentation.tif", "TfR-3 dna segmentation.tif", "TfR-3"),
        ("tubulin_cells.tif", "tubulin_nuclei.tif", "tubulin"),
        ("X_labels.tif", "X_mask.tif", "X"),  # the names say nothing: the larger labels are the cells
    ],
)
def test_a_pair_of_label_images_is_a_field(tmp_path, cells, nuclei, name):
    write_labels(tmp_path / "folder", cells, nuclei)
    found = fields_of_folder(tmp_path / "folder")
    (field,) = found.fields
    assert (field.name, dict(field.images)) == (name, {})
    assert (Path(field.cells.path).name, Path(field.nuclei.path).name) == (cells, nuclei)
    assert not found.unused
    assert not found.faulty


@pytest.mark.parametrize("image", ["f1.ome.tif", "f1_stack.ome.tif", "f1_raw.ome.tif", "image.ome.tif"])
def test_an_image_joins_its_labels(tmp_path, image):
    write_labels(tmp_path, "f1_cells.ome.tif", "f1_nuclei.ome.tif")
    write_image(tmp_path / image)
    (field,) = fields_of_folder(tmp_path).fields
    assert {what: plane.names for what, plane in field.images.items()} == {
        "membrane": (0,), "dna": (1,), "structure": (2,),
    }  # fmt: skip
    assert names_of(field.images)["dna"] == image


@pytest.mark.parametrize(("image", "own"), [("something else.ome.tif", False), ("f1.ome.tif", True)])
def test_an_image_with_another_name_joins_only_labels_without_a_name(tmp_path, image, own):
    write_labels(tmp_path / "a", "cells.tif", "nuclei.tif")
    write_image(tmp_path / "a" / image)
    write_labels(tmp_path / "b", "f1_cells.tif", "f1_nuclei.tif")
    write_image(tmp_path / "b" / image)
    fields = {
        field.name: (bool(field.cells), bool(field.images)) for field in fields_of_folder(tmp_path).fields
    }
    assert fields.pop("a") == (True, True)
    assert fields == (
        {"b/f1": (True, True)} if own else {"b/f1": (True, False), "b/something_else": (False, True)}
    )


@pytest.mark.parametrize(
    "stems",
    [
        ("контроль", "лечение"),
        ("α", "β", "γ"),
        ("対照", "処理"),
        ("1.5uM", "1_5uM"),
        ("drug=A", "drug A", "drug_A"),
        ("x<", "x>"),
        ("0%", "0&"),
        ("f+", "f-", "f"),
        ("a", "a_", "a."),
        ("Case", "case"),
    ],
)
def test_names_that_differ_are_different_fields(tmp_path, stems):
    for first, stem in enumerate(stems):
        write_labels(tmp_path, f"{stem}_cells.ome.tif", f"{stem}_nuclei.ome.tif", first=first)
        write_image(tmp_path / f"{stem}.ome.tif")
    found = fields_of_folder(tmp_path)
    assert not found.unused
    files = {tuple(Path(path).name for path in field.paths) for field in found.fields}
    assert files == {(f"{s}.ome.tif", f"{s}_cells.ome.tif", f"{s}_nuclei.ome.tif") for s in stems}
    assert len({field.name.casefold() for field in found.fields}) == len(stems)


def test_files_of_two_fields_are_never_paired(tmp_path):
    write_labels(tmp_path, "α_cells.tif", "β_nuclei.tif")
    found = fields_of_folder(tmp_path)
    assert not found.fields
    assert len(found.unused) == 2


@pytest.mark.parametrize(
    "signs", [("a_cells", "a-cells"), ("cells_a", "a_cells"), ("a_cells_b", "a-cells-b")]
)
def test_pairs_whose_names_differ_by_signs_only_are_two_fields(tmp_path, signs):
    for first, name in enumerate(signs):
        write_labels(tmp_path, f"{name}.tif", f"{name.replace('cells', 'nuclei')}.tif", first=first)
    found = fields_of_folder(tmp_path)
    assert len(found.fields) == 2
    for field in found.fields:
        assert Path(field.nuclei.path).name == Path(field.cells.path).name.replace("cells", "nuclei")


def test_images_without_labels_are_never_mixed(tmp_path):
    for name in ("f1_raw", "f1_img", "α", "β"):
        write_image(tmp_path / "a" / f"{name}.ome.tif")
    (tmp_path / "b").mkdir()
    for stain, what in (("CellMask", "membrane"), ("Hoechst", "dna")):
        for name in ("LAMP1", "TOM20"):
            write_ome_tiff(tmp_path / "b" / f"{name}_{stain}.ome.tif", {"c": side_by_side(what)}, VOXEL)
    found = fields_of_folder(tmp_path)
    assert not found.unused
    assert len(found.fields) == 6
    pairs = [{Path(path).name.split("_")[0] for path in f.paths} for f in found.fields if len(f.paths) == 2]
    assert pairs == [{"LAMP1"}, {"TOM20"}]


def test_a_second_image_of_a_field_is_named_with_the_reason(tmp_path):
    write_labels(tmp_path, "f1_cells.tif", "f1_nuclei.tif")
    write_image(tmp_path / "f1.ome.tif")
    write_image(tmp_path / "f1_raw.ome.tif")
    (item,) = fields_of_folder(tmp_path).unused
    assert (item.name, item.reason) == (
        "f1_raw.ome.tif",
        "another file shows the same channels of this field",
    )


def test_stains_in_files_of_their_own_join_their_labels(tmp_path):
    write_labels(tmp_path, "f1_cells.ome.tif", "f1_nuclei.ome.tif")
    for word, what in (("CellMask", "membrane"), ("hoechst", "dna"), ("TOM20", "structure")):
        write_ome_tiff(tmp_path / f"f1_{word}.ome.tif", {"c": side_by_side(what)}, VOXEL)
    (field,) = fields_of_folder(tmp_path).fields
    assert set(field.images) == {"membrane", "dna", "structure"}
    assert field.structure == "TOM20"


def test_a_mask_of_a_structure_is_no_stain_and_is_named(tmp_path):
    write_labels(tmp_path, "cell_labels.ome.tif", "nucleus_labels.ome.tif")
    for name in ("tomm20_mask.ome.tif", "lamp1_mask.ome.tif"):
        mask = (side_by_side("structure") > 250).astype(np.uint8) * np.uint8(255)
        write_ome_tiff(tmp_path / name, {"mask": mask}, VOXEL)
    found = fields_of_folder(tmp_path)
    assert [dict(field.images) for field in found.fields] == [{}]
    reasons = {item.name: item.reason for item in found.unused}
    assert reasons == {
        "tomm20_mask.ome.tif": "it is the mask of a structure, not a stain",
        "lamp1_mask.ome.tif": "it holds labels, and its name says neither cells nor nuclei",
    }


def test_what_makes_no_field_is_named_with_the_reason(tmp_path):
    write_labels(tmp_path / "a", "cells.tif", "gone.tif")
    (tmp_path / "a" / "gone.tif").unlink()
    write_image(tmp_path / "b" / "odd.ome.tif", ("far red", "blue"))
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not a TIFF")
    found = fields_of_folder(tmp_path)
    assert not found.fields
    reasons = {item.name: item.reason for item in found.unused}
    assert "nuclei" in reasons["a/cells.tif"]
    assert "far red, blue" in reasons["b/odd.ome.tif"]
    assert [item.name for item in found.faulty] == ["broken.tif"]


def test_channels_may_be_named_for_all_fields(tmp_path):
    write_image(tmp_path / "odd.ome.tif", ("far red", "blue", "green"))
    chosen = ChosenChannels(membrane="far red", dna="1", structure="green", voxel_size=(2.0, 1.0, 1.0))
    (field,) = fields_of_folder(tmp_path, chosen=chosen).fields
    assert {what: plane.names for what, plane in field.images.items()} == {
        "membrane": ("far red",), "dna": ("1",), "structure": ("green",),
    }  # fmt: skip
    assert (field.cells, field.voxel_size) == (None, (2.0, 1.0, 1.0))


def test_patterns_say_what_names_do_not(tmp_path):
    write_labels(tmp_path / "s1", "w_a.tif", "w_b.tif")
    write_labels(tmp_path / "s2", "w_a.tif", "w_b.tif")
    write_image(tmp_path / "s1" / "i_c.ome.tif")
    patterns = [
        pattern_of(t) for t in ("cells={field}/*_a.tif", "nuclei={field}/*_b.tif", "image={field}/i_*.tif")
    ]
    found = fields_of_folder(tmp_path, patterns=patterns)
    assert [(f.name, bool(f.images)) for f in found.fields] == [("s1", True), ("s2", False)]
    only = fields_of_folder(tmp_path, patterns=patterns[:2])
    assert [item.reason for item in only.unused] == ["its name fits no pattern"]


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("{field}_cells.tif", "cells"),
        ("nuc_{field}.tif", "nuclei"),
        ("structure={field}.tif", "structure"),
        ("{field}_Hoechst.tif", "nuclei"),
    ],
)
def test_a_pattern_says_its_role_or_its_words_do(text, role):
    assert pattern_of(text).role == role


@pytest.mark.parametrize(
    ("text", "says"), [("cells.tif", "field"), ("{field}_a.tif", "cells="), ("x={field}", "cells=")]
)
def test_a_pattern_that_says_too_little_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        pattern_of(text)


def test_results_inside_the_folder_are_not_searched(plate):
    write_labels(plate / "out" / SEGMENTED, "cells.tif", "nuclei.tif")
    Journal(plate / "out" / JOURNAL).add("cell", "f/1", {"outcome": "ok"})
    found = fields_of_folder(plate, leave_out=plate / "out")
    assert [field.name for field in found.fields] == ["f1", "day 2"]
    assert not found.unused


def test_results_of_earlier_calls_are_no_images_and_said(plate, tmp_path):
    write_labels(plate / "old" / SEGMENTED, "f_cells.tif", "f_nuclei.tif")
    Journal(plate / "old" / JOURNAL).add("cell", "f/1", {"outcome": "ok"})
    described = "Structures predicted by napari-integrated-cell with the model 'demo'."
    volumes = {name: side_by_side("membrane") for name in ("membrane", "dna")}
    write_ome_tiff(plate / "integrated.ome.tiff", volumes, VOXEL, description=described)
    found = fields_of_folder(plate)
    assert [field.name for field in found.fields] == ["f1", "day 2"]
    assert {item.name for item in found.unused} == {"old/", "integrated.ome.tiff"}
    assert {item.reason for item in found.unused} == {"results of this command are no images"}


def test_images_in_the_folder_of_the_results_are_said(plate):
    found = fields_of_folder(plate, leave_out=plate / "day 2")
    assert [field.name for field in found.fields] == ["f1"]
    assert [item.reason for item in found.unused] == [
        "it is the folder of the results (--out), and holds 2 images that are not searched"
    ]
    (plate / "empty").mkdir()
    assert not fields_of_folder(plate, leave_out=plate / "empty").unused


def test_folders_that_are_linked_to_are_searched_once(plate, tmp_path):
    write_labels(tmp_path / "far", "f2_cells.tif", "f2_nuclei.tif")
    (tmp_path / "far" / "back").symlink_to(plate, target_is_directory=True)
    (plate / "a").symlink_to(tmp_path / "far", target_is_directory=True)
    (plate / "b").symlink_to(tmp_path / "far", target_is_directory=True)
    (plate / "day 1").symlink_to(plate / "day 2", target_is_directory=True)
    (plate / "loop").symlink_to(plate, target_is_directory=True)
    assert [field.name for field in fields_of_folder(plate).fields] == ["f1", "day 2", "a/f2"]


def test_two_fields_of_one_name_get_different_names(tmp_path):
    write_labels(tmp_path / "A", "cells.tif", "nuclei.tif")
    write_labels(tmp_path / "a", "cells.tif", "nuclei.tif")
    names = [field.name for field in fields_of_folder(tmp_path).fields]
    assert names == ["A", "a (2)"]


def test_a_folder_without_images_and_a_missing_folder_are_said(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        fields_of_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone"):
        fields_of_folder(tmp_path / "gone")
