"""Training cells that are set apart to choose the epochs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_ic_train.data.splits import chosen_apart


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(0, 99), st.floats(0.01, 0.8)
)
def test_cells_of_one_field_stay_together_and_no_side_is_empty(keys, seed, share):
    apart = chosen_apart(keys, seed, share)
    assert len(apart) == len(keys)
    for key in set(keys):
        mine = apart[np.array(keys) == key]
        assert mine.all() or not mine.any()
    several = len(set(keys)) > 1
    assert apart.any() == several
    assert not apart.all()
    np.testing.assert_array_equal(apart, chosen_apart(keys, seed, share))


def test_a_fifth_of_a_hundred_cells_is_set_apart():
    assert chosen_apart([f"c{i}" for i in range(100)], 1, 0.2).sum() == 20
