"""Cut one cell out of a field, by label or by a click."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.doubts import warnings_of
from napari_integrated_cell.imaging.pose import pose_of, posed_references
from napari_integrated_cell.imaging.reading import read_labels
from napari_integrated_cell.imaging.rendering import render_references
from napari_integrated_cell.imaging.segmenting import (
    cell_from_labels,
    label_values,
    segment_at,
    segment_field,
    touches_edge,
)
from napari_integrated_cell.processes import Cancelled, CancelToken
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.vocabulary import STAGE_NAMES

VOXEL = (0.4, 0.25, 0.25)
SHAPE = (30, 130, 170)


def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
    at = np.meshgrid(*[np.arange(n) * v for n, v in zip(SHAPE, VOXEL, strict=True)], indexing="ij")
    return sum(((a - c) / r) ** 2 for a, c, r in zip(at, centre, radii, strict=True)) < 1


@pytest.fixture(scope="module")
def field() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Three cells, two of them touching, the third in anaphase: labels of cells and nuclei, membrane and DNA."""
    cells, nuclei = np.zeros((2, *SHAPE), dtype=np.int32)
    bodies = {
        1: [ellipsoid((6, 11, 10), (4, 8, 8)), ellipsoid((6, 11, 10), (2.5, 4, 4))],
        2: [ellipsoid((6, 11, 23.5), (4, 7, 7)), ellipsoid((6, 11, 24), (2.5, 4, 3.5))],
        3: [
            ellipsoid((6, 24, 30), (4.5, 6, 10)),
            ellipsoid((6, 24, 26), (2, 3, 1.5)) | ellipsoid((6, 24, 34), (2, 3, 1.5)),
        ],
    }
    for label, (cell, nucleus) in bodies.items():
        cells[cell & (cells == 0)] = label
        nuclei[nucleus] = label
    return cells, nuclei, *stains(cells, nuclei, VOXEL)


def stains(
    cells: NDArray[Any], nuclei: NDArray[Any], voxel_size: tuple[float, float, float], photons: float = 60
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Membrane and DNA as a camera would count them over an offset of 100, neighbours' membranes together."""
    light = np.zeros((2, *cells.shape), dtype=np.float32)
    for label in label_values(cells):
        cell = cell_from_labels(cells, label, nuclei, {}, voxel_size, margin=1.5)
        place = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
        rendered = render_references(cell)
        light[0][place] += rendered["membrane"]
        light[1][place] += rendered["dna"]
    counts = np.random.default_rng(0).poisson(light * photons + 5) + 100
    return tuple(counts.astype(np.uint16))


def overlap(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float((a & b).sum() / (a | b).sum())


# --- By label -----------------------------------------------------------------------------------------


def test_a_labelled_cell_is_cut_out_with_its_place(field):
    cells, nuclei, membrane, dna = field
    cell = cell_from_labels(cells, 2, nuclei, {"membrane": membrane, "dna": dna}, VOXEL, source="field.tif")
    place = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
    np.testing.assert_array_equal(cell.cell_mask, (cells == 2)[place])
    np.testing.assert_array_equal(cell.nucleus_mask, (nuclei == 2)[place])
    np.testing.assert_array_equal(cell.channels["dna"], dna[place])
    assert cell.cell_mask.sum() == (cells == 2).sum()
    assert (cell.name, cell.source, cell.voxel_size) == ("cell 2", "field.tif", VOXEL)
    assert dict(cell.metadata) == {"label": 2}
    # A margin of one micrometre on every side.
    filled = np.argwhere(cell.cell_mask)
    np.testing.assert_array_equal(filled.min(axis=0), np.ceil(1.0 / np.array(VOXEL)))


def test_the_nucleus_is_found_whatever_its_label(field):
    cells, nuclei, *_ = field
    other = np.select([nuclei == 1, nuclei == 2], [40, 1], 0)
    cell = cell_from_labels(cells, 1, other, {}, VOXEL)
    assert cell.nucleus_mask.sum() == (nuclei == 1).sum()
    mixed = other.copy()
    mixed[6:9, 40:42, 20:22] = 1  # a speck of the same label does lie in the cell
    assert cell_from_labels(cells, 1, mixed, {}, VOXEL).nucleus_mask.any()


def test_a_cut_out_cell_lies_where_it_lay(field):
    """Cutting out does not change a cell's pose in the image."""
    cells, nuclei, *_ = field
    whole = Cell({}, cells == 1, nuclei == 1, VOXEL)
    for margin in (0.7, 1.0, 3.0):
        cut = cell_from_labels(cells, 1, nuclei, {}, VOXEL, margin=margin)
        np.testing.assert_allclose(pose_of(cut).to_box, pose_of(whole).to_box, atol=1e-9)
        np.testing.assert_allclose(
            posed_references(cut, pose_of(cut)), posed_references(whole, pose_of(whole)), atol=0.01
        )


def test_wrong_labels_are_refused(field):
    cells, nuclei, membrane, _ = field
    with pytest.raises(ValueError, match="no cell with label 9; the labels are 1, 2, 3"):
        cell_from_labels(cells, 9, nuclei, {}, VOXEL)
    with pytest.raises(ValueError, match="no cell with label 0"):
        cell_from_labels(cells, 0, nuclei, {}, VOXEL)
    with pytest.raises(ValueError, match="No nucleus lies in cell 1"):
        cell_from_labels(cells, 1, np.where(cells == 1, 0, nuclei), {}, VOXEL)
    with pytest.raises(ValueError, match=r"but the membrane \(29, 130, 170\)"):
        cell_from_labels(cells, 1, nuclei, {"membrane": membrane[1:]}, VOXEL)
    with pytest.raises(ValueError, match="nucleus labels"):
        cell_from_labels(cells, 1, nuclei[:, 1:], {}, VOXEL)
    with pytest.raises(ValueError, match="voxel size is missing"):
        cell_from_labels(cells, 1, nuclei)


def test_specks_and_stray_labels_are_no_cells(field):
    cells, nuclei, *_ = field
    nowhere = np.where(nuclei == 1, 0, nuclei)
    specks = nowhere.copy()
    specks[15, 44, 40:42] = 1  # of its own label, and of its neighbour's
    specks[15, 44, 43:47] = 2
    for none in (nowhere, specks):
        with pytest.raises(ValueError, match="No nucleus lies in cell 1"):
            cell_from_labels(cells, 1, none, {}, VOXEL)
    stray = cells.copy()
    stray[15, 42:45, 20:23] = 9  # in the nucleus of another cell
    with pytest.raises(ValueError, match="Label 9 has 9 connected voxels: it is a stray label"):
        cell_from_labels(stray, 9, nuclei, {}, VOXEL)
    stray[12:18, 40:46, 20:26] = 9
    with pytest.raises(ValueError, match="No nucleus lies in cell 9"):
        cell_from_labels(stray, 9, nuclei, {}, VOXEL)


def test_one_mask_of_all_nuclei_gives_each_cell_its_own(field):
    cells, nuclei, *_ = field
    for label, value in itertools.product((1, 2, 3), (1, 255)):
        cell = cell_from_labels(cells, label, (nuclei > 0) * np.uint8(value), {}, VOXEL)
        assert cell.nucleus_mask.sum() == (nuclei == label).sum()
        assert "left_out" not in cell.metadata


def test_two_masses_of_chromatin_stay_two_and_specks_are_told(field):
    cells, nuclei, *_ = field
    strewn, dots = cells.copy(), nuclei.copy()
    strewn[2, 3:5, 4] = strewn[20, 100, 3] = 3
    dots[3, 3, 100] = 3
    cell = cell_from_labels(strewn, 3, dots, {}, VOXEL)
    clean = cell_from_labels(cells, 3, nuclei, {}, VOXEL)
    assert cell.offset == clean.offset, "the crop is that of the cell without specks"
    np.testing.assert_array_equal(cell.cell_mask, clean.cell_mask)
    np.testing.assert_array_equal(cell.nucleus_mask, clean.nucleus_mask)
    left_out = cell.metadata["left_out"]
    assert left_out["cell"] == (2, pytest.approx(3 / (strewn == 3).sum()))
    assert left_out["nucleus"] == (1, pytest.approx(1 / (dots == 3).sum()))
    assert "left_out" not in clean.metadata


@given(
    seed=st.integers(0, 500),
    stage=st.sampled_from(STAGE_NAMES),
    share=st.floats(1e-4, 1e-2),
    draw=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=15)
def test_specks_anywhere_do_not_change_the_pose(seed, stage, share, draw):
    simulated = simulate_cell(seed, stage=stage, voxel_size=(0.5, 0.317, 0.317), noise=False).cell
    room = ((3, 3), (30, 60), (60, 20))
    masks = [np.pad(mask, room) for mask in (simulated.cell_mask, simulated.nucleus_mask)]
    clean = cell_from_labels(masks[0].astype(int), 1, masks[1].astype(int), {}, (0.5, 0.317, 0.317))
    rng = np.random.default_rng(draw)
    for mask in masks:
        specks = rng.choice(mask.size, int(np.ceil(share * mask.sum())), replace=False)
        mask.ravel()[specks] = True
    cells, nuclei = (mask.astype(np.uint8) for mask in masks)
    specked = cell_from_labels(cells, 1, nuclei, {}, (0.5, 0.317, 0.317))
    before, after = pose_of(clean), pose_of(specked)
    assert (after.angle - before.angle + 90) % 180 - 90 == pytest.approx(0, abs=1)
    assert after.flips == before.flips
    assert specked.metadata["left_out"]["cell"].pieces > 0


def test_label_values_and_edges():
    assert label_values(np.array([[0, 5], [3, 5]])) == [3, 5]
    assert label_values(np.zeros((2, 2), int)) == []
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[1:3, 2, 2:] = True
    assert touches_edge(mask) == ("X",)
    mask[0] = True
    assert touches_edge(mask) == ("Z", "Y", "X")
    cell = cell_from_labels(mask.astype(int), 1, mask.astype(int), {}, VOXEL)
    assert cell.metadata["touches_edge"] == ("Z", "Y", "X")


# --- By watershed -------------------------------------------------------------------------------------


def test_a_field_is_segmented(field):
    cells, nuclei, membrane, dna = field
    found_cells, found_nuclei = segment_field(membrane, dna, VOXEL)
    assert label_values(found_cells) == label_values(found_nuclei) == [1, 2, 3]
    assert not (found_nuclei[(found_nuclei != found_cells)]).any()
    for label in (1, 2, 3):
        middle = np.argwhere((nuclei == label) & (cells == label))[0]
        found = found_cells[tuple(middle)]
        assert overlap(found_cells == found, cells == label) > 0.85, label
        assert overlap(found_nuclei == found, nuclei == label) > 0.7, label


@pytest.mark.parametrize("label", [1, 2, 3])
def test_a_click_segments_its_cell(field, label):
    cells, nuclei, membrane, dna = field
    inside = np.argwhere((cells == label) & (nuclei != label))
    for point in (inside[len(inside) // 2], np.argwhere(nuclei == label)[0]):
        cell, nucleus = segment_at(membrane, dna, tuple(point), VOXEL)
        assert cell.shape == nucleus.shape == membrane.shape
        assert cell.dtype == nucleus.dtype == bool
        assert overlap(cell, cells == label) > 0.85
        assert overlap(nucleus, nuclei == label) > 0.7
        assert not (nucleus & ~cell).any()
        assert touches_edge(cell) == ()


def test_a_click_just_beside_a_cell_means_it(field):
    cells, _, membrane, dna = field
    z, y, x = np.argwhere(cells == 1)[:, 0].mean(), 44, np.argwhere(cells == 1)[:, 2].min() - 4
    cell, _ = segment_at(membrane, dna, (z, y, x), VOXEL)
    assert overlap(cell, cells == 1) > 0.85


def test_a_cell_cut_off_by_the_image_is_still_found_and_can_be_told(field):
    cells, nuclei, membrane, dna = field
    part = np.s_[:, 40:, :]
    cell, _ = segment_at(membrane[part], dna[part], tuple(np.argwhere(nuclei[part] == 1)[0]), VOXEL)
    assert overlap(cell, (cells == 1)[part]) > 0.7
    assert "Y" in touches_edge(cell)


def test_no_cell_at_the_click_is_said(field):
    _, _, membrane, dna = field
    with pytest.raises(ValueError, match="no cell with a nucleus near the point"):
        segment_at(membrane, dna, (1, 125, 5), VOXEL)
    with pytest.raises(ValueError, match="outside the image"):
        segment_at(membrane, dna, (1, 125, 500), VOXEL)
    with pytest.raises(ValueError, match="outside the image"):
        segment_at(membrane, dna, (1, 5), VOXEL)
    with pytest.raises(ValueError, match="on one"):
        segment_at(membrane[1:], dna, (1, 1, 1), VOXEL)
    with pytest.raises(ValueError, match="voxel size"):
        segment_at(membrane, dna, (1, 1, 1), (0, 1, 1))
    with pytest.raises(ValueError, match="no nucleus in the DNA"):
        segment_field(membrane, np.zeros_like(dna), VOXEL)
    with pytest.raises(ValueError, match="near the point"):
        segment_at(membrane, np.full_like(dna, 100), (15, 44, 40), VOXEL)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_shapes_are_recovered_from_their_stains(real_data):
    """Stains rendered from the real field's labels, with photon noise: the cells are found again."""
    cells, voxel_size = read_labels(real_data / "hipsc_tomm20_field" / "cell_labels.ome.tif")
    nuclei, _ = read_labels(real_data / "hipsc_tomm20_field" / "nucleus_labels.ome.tif")
    assert voxel_size is not None
    membrane, dna = stains(cells, nuclei, voxel_size)
    found, _ = segment_field(membrane, dna, voxel_size)
    recovered = []
    for label in label_values(cells):
        inside = found[(cells == label) & (found > 0)]
        best = np.bincount(inside).argmax()
        recovered.append(overlap(found == best, cells == label))
    assert sum(share >= 0.7 for share in recovered) >= 12
    assert np.median(recovered) > 0.9
    point = np.rint(np.argwhere(nuclei == 7).mean(axis=0))
    start = time.process_time()
    cell, _ = segment_at(membrane, dna, tuple(point), voxel_size)
    assert time.process_time() - start < 10
    assert overlap(cell, cells == 7) >= 0.7


def test_segmenting_a_field_tells_its_progress_and_can_be_cancelled(field):
    *_, membrane, dna = field
    told, cancel = [], CancelToken()
    cells, _ = segment_field(membrane, dna, VOXEL, progress=lambda *step: told.append(step))
    count = len(label_values(cells))
    steps = [(0, 4, "smoothing"), (1, 4, "finding nuclei"), (2, 4, "finding cells"), (3, 4, "joining cells")]
    assert told == [*steps, *((i + 1, count, "cells") for i in range(count))]
    with pytest.raises(Cancelled):
        segment_field(membrane, dna, VOXEL, progress=lambda *_: cancel.cancel(), cancel=cancel)


def test_exchanged_segmentations_are_refused():
    cells, nuclei = np.zeros((2, 12, 20, 20), int)
    cells[2:10, 2:18, 2:18], nuclei[4:8, 6:14, 6:14] = 1, 1
    assert cell_from_labels(cells, 1, nuclei, {}, (1, 1, 1)).cell_mask.any()
    for own in (1, 5):
        with pytest.raises(ValueError, match="are the label images of cells and nuclei exchanged"):
            cell_from_labels(nuclei, 1, cells * own, {}, (1, 1, 1))


def test_a_second_nucleus_with_its_own_label_is_used_as_one_label_is(field):
    cells, nuclei, *_ = field
    of_one = cell_from_labels(cells, 3, nuclei, {}, VOXEL)
    daughters = nuclei.copy()
    daughters[(nuclei == 3) & (np.arange(SHAPE[2]) * VOXEL[2] > 30)] = 7
    of_two = cell_from_labels(cells, 3, daughters, {}, VOXEL)
    np.testing.assert_array_equal(of_two.nucleus_mask, of_one.nucleus_mask)
    (said,) = (w for w in warnings_of(of_two) if "nucleus" in w)
    assert said == (
        "Another nucleus with a label of its own lies in the cell (100 % of the size of the first): all are used as "
        "its nucleus."
    )
    assert not any("nucle" in w for w in warnings_of(of_one))


def test_a_small_nucleus_with_its_own_label_is_a_stray_piece(field):
    cells, nuclei, *_ = field
    small = nuclei.copy()
    small[ellipsoid((6, 24, 30), (0.8, 0.8, 0.8))] = 8
    cell = cell_from_labels(cells, 3, small, {}, VOXEL)
    np.testing.assert_array_equal(
        cell.nucleus_mask, cell_from_labels(cells, 3, nuclei, {}, VOXEL).nucleus_mask
    )
    assert any(w.startswith("1 stray piece of the nucleus is left out") for w in warnings_of(cell))


def test_a_neighbours_nucleus_that_reaches_into_a_cell_is_said_and_not_used(field):
    cells, nuclei, *_ = field
    moved = nuclei.copy()
    moved[ellipsoid((6, 11, 19.5), (2.5, 4, 4)) & (nuclei == 0)] = 2
    cell = cell_from_labels(cells, 1, moved, {}, VOXEL)
    np.testing.assert_array_equal(
        cell.nucleus_mask, cell_from_labels(cells, 1, nuclei, {}, VOXEL).nucleus_mask
    )
    (said,) = (w for w in warnings_of(cell) if "nucleus" in w)
    assert said.startswith("Another nucleus reaches into the cell (")


def test_real_cells_have_one_nucleus(real_data):
    folder = real_data / "hipsc_tomm20_field"
    if not folder.is_dir():
        pytest.skip("shared/data/hipsc_tomm20_field is not here")
    (cells, voxel), (nuclei, _) = (read_labels(folder / f"{w}_labels.ome.tif") for w in ("cell", "nucleus"))
    for label in label_values(cells):
        try:
            cell = cell_from_labels(cells, label, nuclei, {}, voxel)
        except ValueError:
            continue
        assert "other_nuclei" not in cell.metadata
