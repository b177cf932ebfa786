"""Cells of a field that is read plane by plane are those of the field in memory."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_integrated_cell.data import field_cells
from napari_integrated_cell.data.field_cells import FieldCells, FieldVolumes
from napari_integrated_cell.imaging.pose import pose_of, posed_references
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values
from napari_integrated_cell.imaging.values import finite, replacement

SHAPE = (14, 150, 260)
VOXEL = (0.6, 0.5, 0.5)


def ball(centre, radii):
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    return sum(((i - c) / r) ** 2 for i, c, r in zip((z, y, x), centre, radii, strict=True)) <= 1


def made_up(seed: int, own_numbers: bool = False, dtype: type = np.uint16):
    """A field of three cells, one cut by the edge; the nuclei may have numbers of their own."""
    random = np.random.default_rng(seed)
    cells, nuclei = np.zeros(SHAPE, dtype), np.zeros(SHAPE, dtype)
    places = {3: (7, 40, 50), 9: (6, 100, 120), 40000: (7, 60, 250)}
    for label, (z, y, x) in places.items():
        y, x = y + int(random.integers(-8, 8)), min(x + int(random.integers(-8, 8)), SHAPE[2] - 4)
        cells[ball((z, y, x), (5, 18, 30))] = label
        nuclei[ball((z, y + 2, x - 3), (3, 8, 9))] = label + 1 if own_numbers else label
    stain = random.integers(90, 110, SHAPE).astype(np.uint16) + 400 * (cells > 0).astype(np.uint16)
    return (
        cells,
        nuclei,
        {"membrane": stain, "dna": random.poisson(20, SHAPE).astype(np.float32)},
    )


def lazily(cells, nuclei, channels):
    def planes(volume):
        return da.from_array(volume, chunks=(1, *SHAPE[1:]))

    return FieldVolumes(
        planes(cells), planes(nuclei), {n: planes(v) for n, v in channels.items()}, VOXEL, "field.tif"
    )


def assert_same(one, other):
    np.testing.assert_array_equal(one.cell_mask, other.cell_mask)
    np.testing.assert_array_equal(one.nucleus_mask, other.nucleus_mask)
    assert (one.offset, one.voxel_size, one.name, one.source) == (
        other.offset,
        other.voxel_size,
        other.name,
        other.source,
    )
    assert dict(one.metadata) == dict(other.metadata)
    for name, image in one.channels.items():
        np.testing.assert_array_equal(image, other.channels[name])


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
@pytest.mark.parametrize("own_numbers", [False, True])
@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
def test_a_cell_is_the_same_bit_for_bit(in_memory, own_numbers, seed):
    cells, nuclei, channels = made_up(seed, own_numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FieldVolumes.surveyed, "__kwdefaults__", {"in_memory": in_memory})
        found = FieldCells(lazily(cells, nuclei, channels), lambda labels: labels)
        assert [found.name(i) for i in range(len(found))] == [f"cell {n}" for n in label_values(cells)]
        for cell, label in zip(found, label_values(cells), strict=True):
            expected = cell_from_labels(cells, label, nuclei, channels, VOXEL, source="field.tif")
            assert_same(cell, expected)
            np.testing.assert_array_equal(
                posed_references(cell, pose_of(cell)), posed_references(expected, pose_of(expected))
            )


def test_specks_far_away_do_not_make_the_crop_large():
    cells, nuclei, channels = made_up(1)
    cells[0, 140:143, 256:260] = 9
    survey, near = lazily(cells, nuclei, channels).surveyed(in_memory=0)
    place = survey.place(9, VOXEL)
    assert place.window[2].stop < 200
    cell = near.cell_at(place)
    expected = cell_from_labels(cells, 9, nuclei, channels, VOXEL, source="field.tif")
    np.testing.assert_array_equal(cell.cell_mask, expected.cell_mask)
    assert cell.offset == expected.offset


def test_one_mask_of_all_nuclei_gives_each_cell_its_own():
    cells, nuclei, channels = made_up(2)
    mask = ((nuclei > 0) * 255).astype(np.uint8)
    found = FieldCells(lazily(cells, mask, channels), lambda labels: labels)
    for cell, label in zip(found, label_values(cells), strict=True):
        assert_same(cell, cell_from_labels(cells, label, mask, channels, VOXEL, source="field.tif"))
        assert cell.shape[2] < 130


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_labels_beyond_32_bits(dtype):
    cells, nuclei, channels = made_up(3, dtype=dtype)
    cells[cells == 9] = 2**40 + 1
    nuclei[nuclei == 9] = 2**40 + 1
    found = FieldCells(lazily(cells, nuclei, channels), lambda labels: labels)
    assert found.name(2) == f"cell {2**40 + 1}"
    assert_same(found[2], cell_from_labels(cells, 2**40 + 1, nuclei, channels, VOXEL, source="field.tif"))


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_nan_becomes_the_same_value(in_memory):
    cells, nuclei, channels = made_up(4)
    channels["dna"][:, :9] = np.nan
    notes: list[str] = []
    _, near = lazily(cells, nuclei, channels).surveyed(on_note=notes.append, in_memory=in_memory)
    sound, note = finite(channels["dna"], "dna of field.tif")
    assert [n for n in notes if n] == [note]
    np.testing.assert_array_equal(np.asarray(near.channels["dna"][:, :20]), sound[:, :20])


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.45))
def test_values_are_checked_plane_by_plane_as_in_memory(seed, share):
    random = np.random.default_rng(seed)
    volume = random.normal(100, 20, (5, 30, 40)).astype(np.float32)
    volume[random.random(volume.shape) < share] = np.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_integrated_cell.imaging.values._SAMPLE", 400)
        value, note = replacement(volume, "dna of f")
        sound, expected = finite(volume, "dna of f")
    assert note == expected
    if value is not None:
        np.testing.assert_array_equal(np.where(np.isfinite(volume), volume, value), sound)


@pytest.mark.parametrize("volume", [np.full((3, 4, 5), 7, np.uint8), np.full((3, 4, 5), np.nan, np.float32)])
def test_what_shows_nothing_is_refused_plane_by_plane_too(volume):
    with pytest.raises(ValueError, match=r"everywhere|NaN") as whole:
        finite(volume, "dna of f")
    with pytest.raises(ValueError, match=r"everywhere|NaN") as planes:
        replacement(volume, "dna of f")
    assert str(planes.value) == str(whole.value)


def test_only_the_crop_is_held_and_the_files_vanish_with_the_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(field_cells.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(FieldVolumes.surveyed, "__kwdefaults__", {"in_memory": 0})
    found = FieldCells(lazily(*made_up(5)), lambda labels: labels)
    assert len(list(Path(tmp_path).rglob("*.planes"))) == 4
    assert found[0].shape[1] < SHAPE[1] / 2
    del found
    assert list(tmp_path.iterdir()) == []


def test_volumes_of_different_shapes_are_refused():
    cells, nuclei, channels = made_up(6)
    with pytest.raises(ValueError, match="nucleus labels"):
        FieldVolumes(cells, nuclei[:5], channels, VOXEL)


@pytest.mark.parametrize("in_memory", [0, field_cells.IN_MEMORY])
def test_a_channel_of_labels_is_no_stain(in_memory):
    cells, nuclei, channels = made_up(0)
    said: list[str] = []
    volumes = lazily(cells, nuclei, {**channels, "dna": 255 * (nuclei > 0).astype(np.uint8)})
    survey, near = volumes.surveyed(on_note=said.append, in_memory=in_memory)
    cell = near.cell_at(survey.place(3, VOXEL))
    assert set(cell.channels) == {"membrane"}
    assert cell.metadata["not_stains"] == ("dna",)
    assert any("dna of field.tif holds labels" in note for note in said)


@pytest.mark.parametrize("in_memory", [0, field_cells.IN_MEMORY])
def test_a_cell_of_nan_is_refused_and_a_smaller_share_is_said(in_memory):
    cells, nuclei, channels = made_up(0)
    broken = channels["dna"].copy()
    broken[cells == 3] = np.nan
    broken[(cells == 9) & (np.arange(SHAPE[0]) == 6)[:, None, None]] = np.nan
    survey, near = lazily(cells, nuclei, {**channels, "dna": broken}).surveyed(in_memory=in_memory)
    with pytest.raises(ValueError, match="channel dna is NaN or infinite in 100% of the voxels of cell 3"):
        near.cell_at(survey.place(3, VOXEL))
    assert 0.05 < near.cell_at(survey.place(9, VOXEL)).metadata["broken"]["dna"] < 0.3
    assert "broken" not in near.cell_at(survey.place(40000, VOXEL)).metadata
