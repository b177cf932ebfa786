"""A cell is read from a table's entry: the right channels, masks and voxel size, and its pose in the box."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_cells
from tiny_cells import BOX, public_row, write_files, write_table

from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry_cell import pose_in_box, read_entry
from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.imaging.writing import write_ome_tiff

SEEN = tiny_cells.volumes(1)


def entry_of(folder, **columns):
    """A cell of the user's own: an image with four channels, masks in two files."""
    stains = {
        "CellMask": SEEN["membrane"],
        "WGA": SEEN["dna"],
        "Hoechst": SEEN["dna"],
        "EGFP": SEEN["structure"],
    }
    write_ome_tiff(folder / "image.ome.tif", stains, (1.0, 0.9, 0.8))
    for what in ("cell", "nucleus"):
        mask = SEEN[f"{what}_mask"].astype(np.uint8)
        write_ome_tiff(folder / f"{what}.ome.tif", {"labels": mask}, (2.0, 2.0, 2.0))
    row = {
        "image": "image.ome.tif",
        "cell_segmentation": "cell.ome.tif",
        "nucleus_segmentation": "nucleus.ome.tif",
    }
    return open_table(write_table(folder / "mine.csv", [{**row, **columns}])).at(0)


def test_channels_are_recognised_and_the_images_voxel_size_counts(tmp_path):
    cell = entry_of(tmp_path).read()
    assert set(cell.channels) == {"membrane", "dna"}
    np.testing.assert_array_equal(
        cell.channels["membrane"], SEEN["membrane"], "the first of two such channels"
    )
    assert cell.voxel_size == pytest.approx((1.0, 0.9, 0.8))
    np.testing.assert_array_equal(cell.cell_mask, SEEN["cell_mask"])


def test_a_named_channel_is_read_and_a_missing_one_refused(tmp_path):
    cell = entry_of(tmp_path, structure_channel="EGFP", voxel_size=0.5).read()
    np.testing.assert_array_equal(cell.channels["structure"], SEEN["structure"])
    assert cell.voxel_size == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="'RFP'"):
        entry_of(tmp_path, structure_channel="RFP").read()
    with pytest.raises(ValueError, match="'RFP'"):
        entry_of(tmp_path, membrane_channel="RFP").read()


def test_a_recognised_structure_needs_no_channel_name(tmp_path):
    assert set(entry_of(tmp_path, structure="Hoechst").read().channels) == {"membrane", "dna", "structure"}


def test_only_the_channels_asked_for_are_read(tmp_path):
    entry = entry_of(tmp_path, structure_channel="EGFP", voxel_size=1.0)
    assert set(read_entry(entry, ("structure",)).channels) == {"structure"}
    (tmp_path / "image.ome.tif").unlink()
    assert dict(read_entry(entry, ()).channels) == {}
    with pytest.raises(FileNotFoundError):
        entry.read()


def test_a_structure_that_is_needed_is_missed(tmp_path):
    with pytest.raises(ValueError, match="channel 'structure'"):
        read_entry(entry_of(tmp_path), structure_needed=True)
    with pytest.raises(ValueError, match="names no image"):
        read_entry(entry_of(tmp_path, image="", voxel_size=1.0), structure_needed=True)


def test_without_a_label_the_segmentation_holds_one_cell(tmp_path):
    entry = entry_of(tmp_path)
    cells = SEEN["cell_mask"].astype(np.uint8)
    nuclei = 3 * SEEN["nucleus_mask"].astype(np.uint8)
    write_ome_tiff(tmp_path / "cell.ome.tif", {"labels": 3 * cells}, (1.0,) * 3)
    nuclei[0, 0, 0] = 4
    write_ome_tiff(tmp_path / "nucleus.ome.tif", {"labels": nuclei}, (1.0,) * 3)
    assert entry.read().nucleus_mask.sum() == SEEN["nucleus_mask"].sum(), "the cell's nucleus, of two"
    cells[0, 0, 0] = 2
    write_ome_tiff(tmp_path / "cell.ome.tif", {"labels": cells}, (1.0,) * 3)
    with pytest.raises(ValueError, match=r"2 labels.*column cell_label"):
        entry.read()


def test_specks_are_left_out_of_the_masks(tmp_path):
    entry = entry_of(tmp_path)
    for what in ("cell", "nucleus"):
        mask = SEEN[f"{what}_mask"].astype(np.uint8)
        mask[0, 0, 0] = 1
        write_ome_tiff(tmp_path / f"{what}.ome.tif", {"labels": mask}, (2.0,) * 3)
    cell = entry.read()
    np.testing.assert_array_equal(cell.cell_mask, SEEN["cell_mask"])
    np.testing.assert_array_equal(cell.nucleus_mask, SEEN["nucleus_mask"])
    assert {what: left.pieces for what, left in cell.metadata["left_out"].items()} == {
        "cell": 1,
        "nucleus": 1,
    }


@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "NaN"), (0.5, "intensities, not labels"), (-1, "negative")]
)
def test_a_segmentation_that_is_none_is_refused(tmp_path, value, reason):
    entry = entry_of(tmp_path)
    labels = SEEN["cell_mask"].astype(np.float32)
    labels[0, 0, 0] = value
    write_ome_tiff(tmp_path / "cell.ome.tif", {"labels": labels}, (1.0,) * 3)
    with pytest.raises(ValueError, match=reason):
        entry.read()


def test_nan_of_a_stain_becomes_its_background(tmp_path):
    entry = entry_of(tmp_path)
    membrane = SEEN["membrane"].astype(np.float32)
    stains = {"CellMask": membrane, "Hoechst": SEEN["dna"].astype(np.float32)}
    membrane[:, :2] = np.nan
    write_ome_tiff(tmp_path / "image.ome.tif", stains, (1.0, 0.9, 0.8))
    read = entry.read().channels["membrane"]
    assert np.isfinite(read).all()
    np.testing.assert_array_equal(read[:, 2:], membrane[:, 2:])
    membrane[:] = np.nan
    write_ome_tiff(tmp_path / "image.ome.tif", stains, (1.0, 0.9, 0.8))
    with pytest.raises(ValueError, match="membrane is NaN or infinite in 100%"):
        entry.read()


def test_only_posed_images_keep_their_place(tmp_path):
    public = open_table(write_table(tmp_path / "a.csv", [public_row(1, *write_files(tmp_path, 1))])).at(0)
    cell = public.read()
    np.testing.assert_array_equal(pose_in_box(cell, BOX).to_box, pose_of(cell, BOX).to_box)
    order = ("nucleus_mask", "cell_mask", "dna", "membrane", "structure")
    stack = {f"c{n}": SEEN[name].astype(np.float32) for n, name in enumerate(order)}
    stack["c1"][:, :, 0] = 0.4  # interpolated: below half the mask's height
    write_ome_tiff(tmp_path / "reg.ome.tif", stack, (1.0,) * 3)
    package = open_table(write_table(tmp_path / "b.csv", [{"save_reg_path": "reg.ome.tif"}])).at(0)
    cell = package.read()
    np.testing.assert_array_equal(cell.cell_mask, SEEN["cell_mask"])
    pose = pose_in_box(cell, BOX)
    np.testing.assert_array_equal(pose.to_box[:3, :3], np.eye(3))
    middle = (np.array(cell.shape) - 1) / 2 * 0.317
    np.testing.assert_allclose(pose.to_box[:3, 3], BOX.centre - middle)
    assert (pose.angle, pose.flips) == (0.0, (False, False))


def test_a_table_does_not_take_labels_for_a_stain(tmp_path, monkeypatch):
    monkeypatch.setitem(SEEN, "membrane", 255 * SEEN["cell_mask"].astype(np.uint8))
    cell = entry_of(tmp_path).read()
    assert set(cell.channels) == {"dna"}
    assert cell.metadata["not_stains"] == ("membrane",)


def test_a_cell_of_a_table_that_is_nan_is_refused(tmp_path, monkeypatch):
    broken = np.where(SEEN["cell_mask"], np.nan, SEEN["dna"]).astype(np.float32)
    monkeypatch.setitem(SEEN, "dna", broken)
    with pytest.raises(ValueError, match="channel dna is NaN or infinite in"):
        entry_of(tmp_path).read()
