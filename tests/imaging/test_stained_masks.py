"""Masks of a posed cell from its stains, and how far two of them agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_integrated_cell.imaging.stained_masks import enclosed, overlap, overlaps


def stained(radius, nucleus, shape=(20, 30, 40)):
    """A ball's surface and a smaller ball, blurred."""
    depth = np.sqrt(((np.indices(shape) - np.reshape([n // 2 for n in shape], (3, 1, 1, 1))) ** 2).sum(0))
    images = [np.abs(depth - radius) < 1, depth < nucleus]
    return np.stack([ndimage.gaussian_filter(image.astype(np.float32), 0.7) for image in images])


def test_a_cell_agrees_with_itself_and_less_with_a_smaller_one():
    large, small = stained(8, 4), stained(6, 3)
    assert overlaps(large, large) == (1.0, 1.0)
    cell, nucleus = overlaps(large, small)
    assert cell == pytest.approx((6.7 / 8.7) ** 3, abs=0.08)
    assert nucleus == pytest.approx((3 / 4) ** 3, abs=0.1)
    assert overlaps(large, 0.3 * small) == (cell, nucleus)  # brightness does not matter


def test_overlap_is_the_intersection_over_the_union():
    one, other = np.zeros((2, 3, 4), bool), np.zeros((2, 3, 4), bool)
    assert overlap(one, other) == 1
    one[0], other[:, 0] = True, True
    assert overlap(one, other) == 4 / (12 + 8 - 4)


def test_the_inside_of_a_shell_with_a_gap_is_filled():
    shell = np.zeros((9, 9, 9), bool)
    shell[1:-1, 1:-1, 1:-1] = True
    shell[2:-2, 2:-2, 2:-2] = False
    shell[1, 4, 4] = False
    assert enclosed(shell)[2:-2, 2:-2, 2:-2].all()
