"""A Cell refuses invalid images and masks with helpful messages."""

from __future__ import annotations

import numpy as np
import pytest

from napari_integrated_cell.cell import Cell, checked_voxel_size

BODY = np.zeros((4, 6, 8), bool)
BODY[1:3, 1:5, 1:7] = True
NUCLEUS = np.zeros_like(BODY)
NUCLEUS[1:3, 2:4, 2:5] = True


def make(**changes):
    parts = {"channels": {"dna": np.ones(BODY.shape)}, "cell_mask": BODY, "nucleus_mask": NUCLEUS}
    return Cell(**{**parts, "voxel_size": (0.3, 0.1, 0.1), **changes})


def test_volumes_are_in_cubic_micrometres():
    cell = make()
    assert cell.volume == pytest.approx(48 * 0.003)
    assert cell.nucleus_volume == pytest.approx(12 * 0.003)
    assert cell.shape == (4, 6, 8)


def test_a_cell_cannot_be_changed_behind_ones_back():
    cell = make()
    with pytest.raises(AttributeError):
        cell.name = "another"
    with pytest.raises(TypeError):
        cell.channels["dna"] = None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"voxel_size": None}, "voxel size is missing"),
        ({"voxel_size": (0.3, -0.1, 0.1)}, "must be positive"),
        ({"voxel_size": (0.3, float("nan"), 0.1)}, "must be positive"),
        ({"voxel_size": (0.3, 0.1)}, "2 entries"),
        ({"voxel_size": "abc"}, "not three numbers"),
        ({"channels": {"dna": np.ones((4, 6, 9))}}, "same \\(Z, Y, X\\) grid"),
        ({"channels": {"dna": np.full(BODY.shape, np.nan)}}, "NaN"),
        ({"channels": {"dna": np.full(BODY.shape, 1j)}}, "real-valued"),
        ({"cell_mask": None}, "cell mask .* is missing"),
        ({"cell_mask": np.zeros_like(BODY)}, "is empty"),
        ({"cell_mask": BODY[0]}, "2 dimensions"),
        ({"nucleus_mask": ~BODY}, "entirely outside"),
        ({"nucleus_mask": NUCLEUS[:, :-1]}, "same \\(Z, Y, X\\) grid"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changes, says):
    with pytest.raises(ValueError, match=says) as refused:
        make(**changes)
    assert "\n" not in str(refused.value)


def test_voxel_sizes_may_be_any_three_numbers():
    assert checked_voxel_size(["0.29", 0.1, np.float32(0.5)]) == pytest.approx((0.29, 0.1, 0.5))
