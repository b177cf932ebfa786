"""Where a label lies, and what is read to find it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_integrated_cell.imaging.cropping import extent_around, extent_of, read_part
from napari_integrated_cell.processes import Cancelled, CancelToken

SHAPE = (12, 40, 50)


class Lazy:
    """A volume that counts the voxels that are read from it."""

    def __init__(self, data, chunks=(1, 10, 10)):
        self.data, self.shape, self.dtype, self.chunks = data, data.shape, data.dtype, chunks
        self.read = 0

    def __getitem__(self, index):
        part = self.data[index]
        self.read += part.size
        return part


@st.composite
def boxes(draw):
    starts = [draw(st.integers(0, n - 2)) for n in SHAPE]
    return tuple(slice(s, draw(st.integers(s + 1, n))) for s, n in zip(starts, SHAPE, strict=True))


@given(box=boxes(), label=st.sampled_from([1, 255, 2**33 + 5]), reach=st.integers(1, 12))
def test_a_box_is_found_in_every_way(box, label, reach):
    labels = np.zeros(SHAPE, np.int64)
    labels[box] = label
    assert extent_of(labels, label) == box
    assert extent_of(Lazy(labels, (5, 10, 10)), label) == box
    seed = tuple(slice(s.start, s.start + 1) for s in box)
    assert extent_around(Lazy(labels), label, seed, (reach,) * 3) == box
    assert extent_of(labels, 7) is None
    assert extent_around(labels, 7, seed, (reach,) * 3) is None


def test_pieces_within_reach_are_found_together():
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:8, 10:15, 10:15] = labels[4:8, 18:22, 10:15] = 3
    seed = (slice(5, 6), slice(12, 13), slice(12, 13))
    assert extent_around(labels, 3, seed, (8, 8, 8)) == (slice(4, 8), slice(10, 22), slice(10, 15))


def test_only_the_surroundings_are_read():
    volume = Lazy(np.zeros((50, 1000, 1000), np.uint8), (1, 100, 100))
    volume.data[20:25, 500:520, 500:520] = 9
    box = extent_around(volume, 9, (slice(22, 23), slice(510, 511), slice(510, 511)), (8, 30, 30))
    assert box == (slice(20, 25), slice(500, 520), slice(500, 520))
    assert volume.read == 17 * 61 * 61


def test_reading_tells_its_progress_and_can_be_cancelled():
    volume = Lazy(np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE), (4, 10, 10))
    window = (slice(1, 11), slice(5, 9), slice(0, 50))
    told, cancel = [], CancelToken()
    part = read_part(volume, window, what="DNA", progress=lambda *step: told.append(step), cancel=cancel)
    np.testing.assert_array_equal(part, volume.data[window])
    assert told == [(4, 10, "DNA"), (8, 10, "DNA"), (10, 10, "DNA")]
    cancel.cancel()
    with pytest.raises(Cancelled):
        read_part(volume, window, cancel=cancel)
    assert volume.read == part.size
