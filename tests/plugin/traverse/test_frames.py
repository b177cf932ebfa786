"""Frames of a played walk: which are kept, their order of decoding, and the arrays that napari gets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from traverse_window import tiny_model

from napari_integrated_cell.model.runtime import Cancelled, CancelToken
from napari_integrated_cell.plugin.traverse.frames import MB, Frames, WalkImage, frames_kept, memory_said
from napari_integrated_cell.walk.traversal import Traversal, stop_at_stage, walk

torch.set_num_threads(1)

LENGTH = 12


@pytest.fixture(scope="module")
def traversal():
    model = tiny_model()
    stops = [stop_at_stage(model, name) for name in ("interphase", "metaphase", "anaphase")]
    return Traversal(model, walk(stops, LENGTH), ["TOM20", "lamin-B1"])


@pytest.fixture(scope="module")
def whole(traversal):
    return np.stack(list(traversal))


def frames_of(traversal, count):
    return Frames(traversal, count * traversal.frame_bytes)


def elsewhere(function):
    """Return the result of a function in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_memory_is_said_before_it_is_taken(traversal):
    shape = (51, 13, 24, 48, 64)
    assert memory_said(shape, 400 * MB) == "51 frames × 13 channels: 196 MB, all kept in memory."
    assert memory_said(shape, 100 * MB) == (
        "51 frames × 13 channels: 196 MB; keeps 26 frames around the playhead, 100 MB."
    )
    assert frames_kept(51, 100 * MB, MB) == 2
    assert frames_of(traversal, 5).capacity == 5
    assert frames_of(traversal, 500).capacity == LENGTH


def test_frames_ahead_come_first_and_the_circle_closes(traversal):
    frames, order = frames_of(traversal, 6), []
    frames.move(6)
    frames.move(9)
    frames.decode_ahead(CancelToken(), order.append)
    assert order == [9, 10, 11, 0, 8, 1]
    assert len(frames.kept) == 6
    assert frames.missing() is None
    frames.move(10)
    frames.decode_ahead(CancelToken(), order.append)
    assert order[6:] == [2]
    assert frames.kept == [0, 1, 2, 9, 10, 11]


def test_walking_back_frames_behind_come_first(traversal):
    frames, order = frames_of(traversal, 5), []
    frames.move(6)
    frames.move(5)
    frames.decode_ahead(CancelToken(), order.append)
    assert order == [5, 4, 3, 2, 6]


def test_the_playhead_may_move_while_frames_are_decoded(traversal):
    frames, order = frames_of(traversal, 3), []

    def tell(frame):
        order.append(frame)
        if frame == 1:
            frames.move(7)

    frames.decode_ahead(CancelToken(), tell)
    assert order == [0, 1, 7, 8, 9]
    assert frames.kept == [7, 8, 9]


def test_decoding_stops_when_asked(traversal):
    token, order = CancelToken(), []
    frames = frames_of(traversal, LENGTH)

    def tell(frame):
        order.append(frame)
        if len(order) == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        frames.decode_ahead(token, tell)
    assert order == [0, 1]


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(2, LENGTH),
    moves=st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=30),
)
def test_what_is_kept_never_outgrows_the_budget_and_always_has_the_playhead(traversal, capacity, moves):
    frames = frames_of(traversal, capacity)
    for playhead in moves:
        frames.move(playhead)
        for _ in range(2):
            missing = frames.missing()
            if missing is not None:
                frames.put(missing, np.full(1, missing, np.float32))
            assert len(frames.kept) <= capacity
        assert frames.get(playhead) is not None
        assert all(frames.get(t)[0] == t for t in frames.kept)
    while (missing := frames.missing()) is not None:
        frames.put(missing, np.full(1, missing, np.float32))
    assert len(frames.kept) == capacity


def test_frames_are_the_traversals(traversal, whole):
    frames = frames_of(traversal, 4)
    frames.move(3)
    frames.decode_ahead(CancelToken(), lambda frame: None)
    for frame in frames.kept:
        np.testing.assert_array_equal(frames.get(frame), whole[frame])
    np.testing.assert_array_equal(frames.decoded(11), whole[11])
    assert 11 not in frames.kept, "who asks for a frame besides does not change what is kept"
    frames.clear()
    assert frames.kept == []


def test_a_channel_reads_like_an_array(traversal, whole):
    image = WalkImage(frames_of(traversal, 3), 2)
    expected = whole[:, 2]
    assert (image.shape, image.ndim, image.size, len(image)) == (expected.shape, 4, expected.size, LENGTH)
    # Decoded without the other structures, in a smaller batch: equal but for rounding.
    np.testing.assert_allclose(np.asarray(image), expected, atol=1e-5)
    assert np.asarray(image, np.float64).dtype == np.float64
    np.testing.assert_array_equal(image[3], expected[3])
    np.testing.assert_array_equal(image[-1], expected[-1])
    np.testing.assert_array_equal(image[2:5], expected[2:5])
    np.testing.assert_array_equal(image[..., 4], expected[..., 4])
    np.testing.assert_array_equal(image[()], expected)
    with pytest.raises(IndexError, match="has 12"):
        image[LENGTH]


index = st.one_of(
    st.integers(-LENGTH, LENGTH - 1), st.slices(LENGTH), st.lists(st.integers(0, LENGTH - 1), min_size=1)
)


@settings(max_examples=60, deadline=None)
@given(first=index, rest=st.tuples(st.integers(0, 15) | st.slices(16), st.integers(0, 23) | st.slices(24)))
def test_any_index_gives_what_an_array_gives(traversal, whole, first, rest):
    image = WalkImage(frames_of(traversal, 3), 1)
    np.testing.assert_array_equal(elsewhere(lambda: image[(first, *rest)]), whole[:, 1][(first, *rest)])


def test_napari_is_never_kept_waiting(traversal, whole, monkeypatch):
    frames = frames_of(traversal, 5)
    image = WalkImage(frames, 0)
    everything = (slice(None),) * 3
    monkeypatch.setattr(traversal, "decoded", lambda *_: pytest.fail("decoded on the main thread"))
    assert not image[(4, *everything)].any(), "nothing is decoded yet: blank"
    frames.put(2, whole[2])
    frames.put(9, whole[9])
    for asked, given_ in ((0, 2), (4, 2), (2, 2), (7, 9)):
        np.testing.assert_array_equal(image[(asked, *everything)], whole[given_, 0])
        np.testing.assert_array_equal(image[(slice(asked, asked + 1), *everything)], whole[given_, 0][None])
    np.testing.assert_array_equal(image[4, 3, :, :], whole[2, 0, 3])


def test_several_threads_may_ask_for_one_frame(traversal, whole, monkeypatch):
    frames, asked = frames_of(traversal, 4), []
    decode = traversal.decoded
    monkeypatch.setattr(traversal, "decoded", lambda frame, cancel=None: asked.append(frame) or decode(frame))
    start = threading.Barrier(4)

    def read(channel):
        start.wait()
        return WalkImage(frames, channel)[(1, slice(None), slice(None), slice(None))]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(read, range(4)))
    np.testing.assert_array_equal(np.stack(answers), whole[1])
    assert asked == [1], "one decode gives all channels"
