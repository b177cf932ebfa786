"""Key frames: cells that are decoded along a line, and blends between them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.plugin.scene import key_frames
from napari_integrated_cell.plugin.scene.key_frames import STEP, KeyFrames, Line

MODEL = object()
SHAPE = (2, 3, 4)


def line(value: float, across: float = 0.0, structure: str | None = None) -> Line:
    """Along the first latent dimension, at some place on the second."""

    def at(there: float) -> Position:
        z_struct = {} if structure is None else {structure: np.array([there], np.float32)}
        return Position(np.array([there if structure is None else 7, across], np.float32), z_struct)

    return Line(at(value), value, at)


class Decoder:
    """Make a volume that is a nonlinear function of the position, and record what is decoded."""

    def __init__(self, *channels: str) -> None:
        self.channels, self.asked = channels or ("dna",), list[float]()

    def __call__(self, position: Position) -> dict[str, np.ndarray]:
        value = float(position.z_ref[0])
        self.asked.append(value)
        return {c: np.full(SHAPE, value**2 + i, np.float32) for i, c in enumerate(self.channels)}


@pytest.fixture
def frames() -> KeyFrames:
    return KeyFrames()


def test_where_nothing_is_near_the_position_itself_is_decoded(frames):
    decode = Decoder()
    volumes, exact = frames.volumes(MODEL, line(1.5), ["dna"], decode)
    assert exact
    assert decode.asked == [1.5]
    np.testing.assert_allclose(volumes["dna"], 1.5**2)


@pytest.mark.parametrize(("value", "ahead"), [(1.6, 1.5 + STEP), (1.4, 1.5 - STEP)])
def test_beyond_a_key_frame_the_next_one_is_decoded_on_the_side_of_the_hand(frames, value, ahead):
    decode = Decoder()
    frames.volumes(MODEL, line(1.5), ["dna"], decode)
    volumes, exact = frames.volumes(MODEL, line(value), ["dna"], decode)
    assert not exact
    assert decode.asked == [1.5, ahead]
    share = (value - 1.5) / (ahead - 1.5)
    np.testing.assert_allclose(volumes["dna"], (1 - share) * 1.5**2 + share * ahead**2, rtol=1e-6)
    assert frames.reach(MODEL, line(1.5 + 0.3 * (ahead - 1.5)), ["dna"])
    assert not frames.reach(MODEL, line(1.5 - 0.3 * (ahead - 1.5)), ["dna"])


def test_key_frames_far_apart_are_not_blended(frames):
    decode = Decoder()
    for value in (0.0, 1.0, 0.5):
        _, exact = frames.volumes(MODEL, line(value), ["dna"], decode)
        assert exact
    assert decode.asked == [0.0, 1.0, 0.5]


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=60))
def test_a_drag_decodes_one_cell_at_a_time_and_stays_near(values):
    frames, decode = KeyFrames(), Decoder()
    for value in values:
        before = len(decode.asked)
        known = frames.reach(MODEL, line(value), ["dna"])
        volumes, exact = frames.volumes(MODEL, line(value), ["dna"], decode)
        assert len(decode.asked) == before + (not known)
        error = np.abs(volumes["dna"] - value**2).max()
        assert error <= 1e-5 if exact else error <= STEP**2 / 4 + 1e-4  # of a chord to a parabola
    assert len(set(decode.asked)) == len(decode.asked)


def test_a_slow_drag_decodes_a_cell_a_step_and_back_again_none(frames):
    decode = Decoder()
    for value in np.linspace(0, 2, 201):
        frames.volumes(MODEL, line(float(value)), ["dna"], decode)
    assert len(decode.asked) == 1 + round(2 / STEP)
    assert all(b - a == pytest.approx(STEP) for a, b in pairwise(decode.asked))
    for value in np.linspace(2, 0, 50):
        frames.volumes(MODEL, line(float(value)), ["dna"], decode)
    assert len(decode.asked) == 1 + round(2 / STEP)


@pytest.mark.parametrize(
    ("model", "other"),
    [
        (object(), line(1.0)),
        (MODEL, line(1.0, across=0.1)),
        (MODEL, line(1.0, structure="TOM20")),
    ],
    ids=["model", "line", "space"],
)
def test_what_was_of_another_line_or_model_is_forgotten(frames, model, other):
    decode = Decoder()
    frames.volumes(MODEL, line(1.0), ["dna"], decode)
    assert frames.reach(MODEL, line(1.0), ["dna"])
    assert not frames.reach(model, other, ["dna"])
    assert not frames.reach(MODEL, line(1.0), ["dna"])


def test_rounding_along_the_way_is_no_other_line(frames):
    frames.volumes(MODEL, line(1.0, across=3.0), ["dna"], Decoder())
    assert frames.reach(MODEL, line(1.0, across=3.0 + 1e-5), ["dna"])


def test_a_channel_that_was_not_decoded_is_and_joins_what_is_there(frames):
    frames.keep(MODEL, line(1.0), Decoder("dna")(line(1.0).position))
    decode = Decoder("TOM20")
    assert not frames.reach(MODEL, line(1.0), ["dna", "TOM20"])
    frames.volumes(MODEL, line(1.0), ["TOM20"], decode)
    assert decode.asked == [1.0]
    assert frames.reach(MODEL, line(1.0), ["dna", "TOM20"])


def test_of_too_many_key_frames_the_farthest_go(frames, monkeypatch):
    size = Decoder()(line(0).position)["dna"].nbytes
    monkeypatch.setattr(key_frames, "_MEMORY", 4 * size)
    for value in range(10):
        frames.volumes(MODEL, line(float(value)), ["dna"], Decoder())
    assert [v for v in range(10) if frames.reach(MODEL, line(float(v)), ["dna"])] == [6, 7, 8, 9]
