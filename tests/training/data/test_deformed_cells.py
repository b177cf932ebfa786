"""Deformed copies of few cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from toy_training import ToyCells

from napari_ic_train.data.deformed_cells import DeformedCells, deformation, deformed


def test_the_first_copy_of_each_cell_is_the_cell_itself():
    cells = ToyCells(5)
    copies = DeformedCells(cells, 3, seed=4)
    assert len(copies) == 15
    np.testing.assert_array_equal(copies.labels, np.tile(cells.labels, 3))
    assert torch.equal(copies.images(np.arange(5)), cells.x)
    assert not torch.equal(copies.images(np.arange(5, 10)), cells.x)


def test_a_copy_is_the_same_in_any_batch_and_depends_on_the_seed():
    copies = DeformedCells(ToyCells(5), 3, seed=4)
    together, alone = copies.images(np.array([12, 3, 7])), copies.images(np.array([7]))
    assert torch.equal(together[2], alone[0])
    assert torch.equal(copies.references(np.array([7])), alone[:, :-1])
    assert not torch.equal(DeformedCells(ToyCells(5), 3, seed=5).images(np.array([7])), alone)


def test_the_number_of_copies_is_checked():
    with pytest.raises(ValueError, match="number of copies is 0"):
        DeformedCells(ToyCells(5), 0, seed=4)


@given(seed=st.integers(0, 2**31), index=st.integers(0, 10**6))
def test_an_image_is_resampled_as_by_scipy(seed, index):
    """SciPy's affine_transform leads from new to old voxels too, around the first voxel instead of the centre."""
    x = np.zeros((1, 1, 12, 14, 20), np.float32)
    x[0, 0, 4:8, 5:9, 6:13] = 1
    x = np.stack([ndimage.gaussian_filter(x[0, 0], 1.5)])[None]
    affine = deformation(seed, index)
    centre = (np.array(x.shape[2:]) - 1) / 2
    offset = centre - affine[:, :3] @ centre + affine[:, 3]
    wanted = ndimage.affine_transform(x[0, 0], affine[:, :3], offset, order=1, mode="constant")
    found = deformed(torch.from_numpy(x), affine[None])[0, 0].numpy()
    # At the faces SciPy's zeros begin half a voxel earlier.
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(found[inner], wanted[inner], atol=0.02)
