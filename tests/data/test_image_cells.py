"""Read cells from an image and label images. Errors do not mention command-line options."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_cells
from microscope_files import write_ome

from napari_integrated_cell.data.image_cells import MissingInput, cells_of_image
from napari_integrated_cell.imaging.pose import Box, pose_of
from napari_integrated_cell.imaging.writing import write_ome_tiff


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("field")
    seen = [tiny_cells.volumes(i) for i in range(2)]

    def both(what):
        return np.concatenate([cell[what] for cell in seen], axis=2)

    named = {"CellMask": both("membrane"), "Hoechst": both("dna"), "EGFP": both("structure")}
    write_ome_tiff(folder / "image.ome.tif", named, (1.0,) * 3)
    write_ome_tiff(folder / "odd.ome.tif", {"a": both("membrane"), "b": both("dna")}, (1.0,) * 3)
    for what in ("cell", "nucleus"):
        labels = np.concatenate([(i + 2) * cell[f"{what}_mask"] for i, cell in enumerate(seen)], axis=2)
        write_ome_tiff(folder / f"{what}.ome.tif", {"labels": labels.astype(np.uint8)}, (1.0,) * 3)
        np.save(folder / f"{what}.npy", labels)
    return folder


def read(folder, image="image.ome.tif", cells="cell.ome.tif", nuclei="nucleus.ome.tif", **more):
    files = (None if name is None else folder / name for name in (image, cells, nuclei))
    return cells_of_image(*files, **more)


def test_cells_of_a_field_by_label_or_all(folder):
    found, shape = read(folder, label="all", structure="EGFP")
    assert [cell.name for cell in found] == ["cell 2", "cell 3"]
    assert shape == (12, 24, 60)
    assert set(found[0].channels) == {"membrane", "dna", "structure"}
    (cell,), _ = read(folder, image=None, label="3", voxel_size=(0.5, 0.5, 0.5))
    assert (cell.name, dict(cell.channels), cell.voxel_size) == ("cell 3", {}, (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="no cell 7; the field holds 2, 3"):
        read(folder, label="7")


def test_a_field_without_labels_is_segmented(folder):
    found, _ = read(folder, cells=None, nuclei=None, label="all")
    assert found


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"image": None, "cells": None}, "files"),
        ({"image": None, "nuclei": None}, "nuclei"),
        ({"nuclei": None}, "nuclei"),
        ({"image": "odd.ome.tif", "cells": None}, "channels"),
        ({}, "label"),
    ],
)
def test_what_is_missing_is_named_and_no_option_is(folder, given, what):
    with pytest.raises(MissingInput) as caught:
        read(folder, **given)
    assert caught.value.what == what
    assert "--" not in str(caught.value)


def test_a_missing_voxel_size_is_named_with_what_was_found(folder):
    labels = np.load(folder / "cell.npy").astype(np.uint8)
    flat = {"PhysicalSizeY": 0.4, "PhysicalSizeX": 0.4}
    write_ome(folder / "flat.ome.tif", labels, "ZYX", **flat)
    with pytest.raises(
        MissingInput, match=r"states 0\.4 µm in Y and X but nothing in Z.*voxel size"
    ) as caught:
        read(folder, image=None, cells="flat.ome.tif", label="2")
    assert caught.value.what == "voxel size"


def test_a_channel_of_labels_is_not_segmented(folder, tmp_path):
    seen = tiny_cells.volumes(0)
    masks = {"CellMask": 255 * seen["cell_mask"].astype(np.uint8), "Hoechst": seen["dna"]}
    write_ome_tiff(tmp_path / "masks.ome.tif", masks, (1.0,) * 3)
    with pytest.raises(MissingInput, match="channel membrane of") as caught:
        cells_of_image(tmp_path / "masks.ome.tif", None, None)
    assert caught.value.what == "files"


def noisy(dtype: type) -> np.ndarray:
    bright = np.concatenate([tiny_cells.volumes(i)["cell_mask"] for i in range(2)], axis=2)
    return np.random.default_rng(0).poisson(20 + 60 * bright).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("what", ["cells", "nuclei"])
def test_a_stain_is_refused_as_labels(folder, tmp_path, what, dtype):
    write_ome_tiff(tmp_path / "stain.ome.tif", {"a": noisy(dtype)}, (1.0,) * 3)
    with pytest.raises(
        ValueError, match=r"stain\.ome\.tif holds intensities, not labels: give a segmentation"
    ):
        read(folder, image=None, label="all", **{what: tmp_path / "stain.ome.tif"})


def test_files_that_state_different_voxel_sizes_are_said(folder, tmp_path):
    labels = np.load(folder / "cell.npy").astype(np.uint8)
    write_ome_tiff(tmp_path / "half.ome.tif", {"labels": labels}, (0.5,) * 3)
    write_ome_tiff(tmp_path / "near.ome.tif", {"labels": labels}, (1.0005,) * 3)
    notes: list[str] = []
    read(folder, cells=tmp_path / "half.ome.tif", label="all", on_note=notes.append)
    assert notes == [
        "The files state different voxel sizes (Z, Y, X): half.ome.tif 0.5 x 0.5 x 0.5 µm. 1 x 1 x 1 µm, of "
        "image.ome.tif, is used."
    ]
    notes.clear()
    read(folder, image=None, cells=tmp_path / "half.ome.tif", label="all", on_note=notes.append)
    assert "nucleus.ome.tif 1 x 1 x 1 µm. 0.5 x 0.5 x 0.5 µm, of half.ome.tif, is used" in notes[0]
    notes.clear()
    read(folder, cells=tmp_path / "near.ome.tif", label="all", on_note=notes.append)
    read(folder, cells=tmp_path / "half.ome.tif", label="all", voxel_size=(1, 1, 1), on_note=notes.append)
    assert notes == []


def test_a_cell_that_needs_absurd_memory_is_refused_when_it_is_posed(folder):
    found, _ = read(folder, image=None, label="all", voxel_size=(0.3, 0.005, 0.005))
    with pytest.raises(
        ValueError, match=r"To pose cell 2 at 0\.3 x 0\.005 x 0\.005 µm .* GB of memory are needed"
    ):
        pose_of(found[0])
    # A smaller box needs fewer weights.
    assert pose_of(found[0], Box((32, 48, 64), 0.317))
    found, _ = read(folder, image=None, label="all", voxel_size=(0.03, 0.01, 0.01))
    assert pose_of(found[0])
