"""A packed field: complete cells that touch and never overlap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_integrated_cell.simulation import simulate_field

VOXEL = (0.6, 0.5, 0.5)


@pytest.fixture(scope="module")
def field():
    return simulate_field(2, 7, voxel_size=VOXEL)


def test_every_cell_is_whole_and_holds_its_nucleus(field):
    assert set(np.unique(field.cell_labels)) == set(range(8))
    assert "simulated" in field.name
    edges = [np.take(field.cell_labels, i, axis).any() for axis in range(3) for i in (0, -1)]
    assert not any(edges)
    for label in range(1, 8):
        cell, nucleus = field.cell_labels == label, field.nucleus_labels == label
        assert nucleus.any()
        assert not (nucleus & ~cell).any()
        parts = np.bincount(ndimage.label(cell)[0].ravel())[1:]
        assert parts.max() > 0.99 * parts.sum()
        assert 900 < cell.sum() * np.prod(VOXEL) < 4500
    assert len(field.stages) == 7
    assert sum(stage != "interphase" for stage in field.stages) == 1


def test_neighbours_touch(field):
    labels = field.cell_labels
    middle = labels[labels.shape[0] // 3]
    for label in range(1, 8):
        around = ndimage.binary_dilation(middle == label, iterations=2)
        assert len(set(np.unique(middle[around])) - {0, label}) >= 1
    # The central cell is surrounded: most of its rim touches a neighbour.
    rim = ndimage.binary_dilation(middle == 1, iterations=2) & (middle != 1)
    assert (middle[rim] > 0).mean() > 0.6


def test_stains_follow_the_labels(field):
    dna, membrane = (field.channels[c].astype(float) for c in ("dna", "membrane"))
    nuclei, cells = field.nucleus_labels > 0, field.cell_labels > 0
    assert dna[nuclei].mean() > 3 * dna[cells & ~nuclei].mean() - 200
    inner = ndimage.binary_erosion(cells, iterations=2)
    border = cells & ~inner
    assert membrane[border].mean() > membrane[inner & ~nuclei].mean() + 30
    assert set(field.channels) == {"membrane", "dna", "TOM20"}
    assert all(c.dtype == np.uint16 for c in field.channels.values())


def test_a_seed_is_a_field_and_structures_can_be_chosen():
    one, two = (simulate_field(4, 2, voxel_size=1.0, structure=("ZO1",), noise=False) for _ in range(2))
    assert set(one.channels) == {"membrane", "dna", "ZO1"}
    assert all((one.channels[c] == two.channels[c]).all() for c in one.channels)
    assert one.stages == ("interphase", "interphase")


@pytest.mark.parametrize("n", [0, 41])
def test_a_field_has_one_to_forty_cells(n):
    with pytest.raises(ValueError, match="1 to 40"):
        simulate_field(1, n)
