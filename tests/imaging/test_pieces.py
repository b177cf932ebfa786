"""A cell is its largest pieces; specks are left out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.imaging.pieces import LeftOut, largest_pieces
from napari_integrated_cell.imaging.pose import pose_of
from napari_integrated_cell.imaging.reading import read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels


def literal(mask: NDArray[np.bool_], at_least: float) -> tuple[NDArray[np.bool_], int, float]:
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    keep = np.r_[False, sizes >= at_least * sizes.max(initial=0)]
    return keep[labels], int((~keep[1:]).sum()), float((mask & ~keep[labels]).sum() / max(mask.sum(), 1))


@given(
    mask=arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=30), elements=st.booleans()),
    thin=st.floats(0, 1),
    seed=st.integers(0, 99),
    at_least=st.floats(0.0, 1.0),
)
@settings(deadline=None, max_examples=80)
def test_pieces_are_those_of_a_plain_labelling(mask, thin, seed, at_least):
    mask = mask & (np.random.default_rng(seed).random(mask.shape) < thin)
    kept, left_out = largest_pieces(mask, at_least)
    expected, pieces, share = literal(mask, at_least)
    np.testing.assert_array_equal(kept, expected)
    assert left_out.pieces == pieces
    assert left_out.share == pytest.approx(share)


def balls(*radii: int) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[:31, :31, : 40 * len(radii)]
    mask = np.zeros(z.shape, dtype=bool)
    for n, radius in enumerate(radii):
        mask |= (z - 15) ** 2 + (y - 15) ** 2 + (x - 40 * n - 20) ** 2 <= radius**2
    return mask


def test_two_daughters_stay_two_and_a_small_piece_goes():
    two = balls(12, 9)
    kept, left_out = largest_pieces(two)
    assert kept is two
    assert left_out == LeftOut(0, 0.0)
    three = balls(12, 9, 3)
    kept, left_out = largest_pieces(three)
    assert left_out == LeftOut(1, pytest.approx(balls(3).sum() / three.sum()))
    np.testing.assert_array_equal(kept[:, :, :80], two)
    assert not kept[:, :, 80:].any()


def test_pieces_of_others_are_neither_kept_nor_counted():
    three = balls(12, 9, 3)
    inside = np.zeros_like(three)
    inside[:, :, 40:] = True
    kept, left_out = largest_pieces(three, inside=inside)
    assert left_out == LeftOut(1, pytest.approx(balls(3).sum() / balls(9, 3).sum()))
    np.testing.assert_array_equal(kept, np.where(np.arange(120) < 80, three & inside, False))
    # A speck stays a speck, also where it is the only piece inside.
    inside[:, :, :80] = False
    kept, left_out = largest_pieces(three, inside=inside)
    assert not kept.any()
    assert left_out == LeftOut(1, 1.0)


def test_pieces_that_touch_at_a_corner_are_one():
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[:8, :8, :8] = mask[8, 8, 8] = True
    assert largest_pieces(mask)[1].pieces == 0
    assert largest_pieces(np.zeros((3, 3, 3), dtype=bool))[1] == LeftOut(0, 0.0)


def test_specks_all_over_a_large_field_cost_little():
    mask = np.zeros((60, 800, 800), dtype=bool)
    mask[20:50, 300:420, 300:420] = True
    body: Any = mask.copy()
    where = np.random.default_rng(0).integers(0, mask.shape, (1000, 3))
    mask[tuple(where.T)] = True
    largest_pieces(body)
    start = time.process_time()
    kept, left_out = largest_pieces(mask)
    assert time.process_time() - start < 1.5
    assert 500 < left_out.pieces <= 1000
    assert (kept[body]).all()
    assert kept.sum() - body.sum() < 100


@pytest.mark.real_data
def test_a_real_nucleus_in_two_pieces_stays_two_and_specks_go(real_data):
    folder = real_data / "hipsc_30_cells"
    (cells, voxel_size), (nuclei, _) = (
        read_labels(folder / f"{w}_labels.ome.tif") for w in ("cell", "nucleus")
    )
    for label, gap, specks in ((21, 11.6, 2), (22, 0.0, 19)):
        cell = cell_from_labels(cells, label, nuclei, {}, voxel_size)
        assert pose_of(cell).nucleus_gap == pytest.approx(gap, abs=0.1)
        assert cell.metadata["left_out"]["nucleus"].pieces == specks
        assert "cell" not in cell.metadata["left_out"]
