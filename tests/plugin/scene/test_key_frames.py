"""Key frames: cells that are decoded along a line, and blends between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_integrated_cell.latent.position import Position
from napari_integrated_cell.plugin.scene import key_frames
from napari_integrated_cell.plugin.scene.key_frames import STEPS, KeyFrames, Line

MODEL = object()
SHAPE = (2, 3, 4)


def line(value: float, across: float = 0.0, structure: str | None = None) -> Line:
    """Along the first latent dimension, at some place on the second."""

    def at(there: float) -> Position:
        z_struct = {} if structure is None else {structure: np.array([there], np.float32)}
        return Position(np.array([there if structure is None else 7, across], np.float32), z_struct)

    return Line(at(value), value, at)


class Decoder:
    """Make a volume that is a nonlinear function of the position."""

    def __init__(self, *channels: str) -> None:
        self.channels = channels or ("dna",)

    def __call__(self, position: Position) -> dict[str, np.ndarray]:
        value = float(position.z_ref[0])
        return {c: np.full(SHAPE, value**2 + i, np.float32) for i, c in enumerate(self.channels)}


@pytest.fixture
def frames() -> KeyFrames:
    return KeyFrames()


def decoded_along(
    frames: KeyFrames, line: Line, channels: tuple[str, ...] = ("dna",), most: int = 99
) -> list[float]:
    """Decode what is missing, one cell after the other, and return the values."""
    decode, values = Decoder(*channels), list[float]()
    while len(values) < most and (value := frames.missing(MODEL, line, channels)) is not None:
        frames.keep(MODEL, line, value, decode(line.at(value)))
        values.append(value)
    return values


def test_without_key_frames_around_a_position_there_is_no_blend(frames):
    assert frames.blend(MODEL, line(1.5), ["dna"]) is None
    decoded_along(frames, line(1.5), most=1)
    assert frames.blend(MODEL, line(1.5), ["dna"]) is None
    decoded_along(frames, line(1.5), most=1)
    assert frames.blend(MODEL, line(1.5), ["dna"]) is not None
    assert frames.blend(MODEL, line(2.5), ["dna"]) is None


def test_wide_steps_come_first_then_where_the_slider_may_be_next_then_narrow_steps(frames):
    assert decoded_along(frames, line(1.3)) == [1.0, 2.0, 0.0, 3.0, 1.5, 1.25]
    assert decoded_along(frames, line(1.3)) == []
    assert decoded_along(frames, line(1.8)) == [1.75]


@given(st.floats(-4, 4, width=32))
def test_two_cells_are_enough_for_a_blend_and_seven_for_the_best(value):
    frames = KeyFrames()
    decoded_along(frames, line(value), most=2)
    coarse = frames.blend(MODEL, line(value), ["dna"])
    assert len(decoded_along(frames, line(value))) <= 6
    fine = frames.blend(MODEL, line(value), ["dna"])
    for blend, step in ((coarse, STEPS[0]), (fine, STEPS[-1])):
        error = np.abs(blend.volumes(["dna"])["dna"] - value**2).max()
        assert error <= 1e-5 if blend.is_exact else error <= step**2 / 4 + 1e-4  # of a chord to a parabola


def test_a_blend_lies_between_its_cells(frames):
    decoded_along(frames, line(1.0), most=1)
    decoded_along(frames, line(1.25))
    blend = frames.blend(MODEL, line(1.1), ["dna"])
    assert not blend.is_exact
    np.testing.assert_allclose(blend.volumes(["dna"])["dna"], 0.6 * 1.0 + 0.4 * 1.25**2, rtol=1e-6)
    assert frames.blend(MODEL, line(1.25), ["dna"]).is_exact


def test_a_drag_to_and_fro_decodes_each_cell_once(frames):
    values = np.concatenate([np.linspace(0, 2, 50), np.linspace(2, 0, 50)])
    found = [at for value in values for at in decoded_along(frames, line(float(value)))]
    assert len(found) == len(set(found))
    assert set(np.arange(0, 2.01, STEPS[-1])) <= set(found)


def test_a_new_line_begins_with_the_cell_that_was_decoded_exactly(frames):
    start = line(0.4)
    frames.keep_exact(MODEL, start.position, Decoder()(start.position), None)
    moved = Line(line(0.5).position, 0.5, line(0.5).at, before=0.4)
    decoded_along(frames, moved, most=2)
    blend = frames.blend(MODEL, moved, ["dna"])
    np.testing.assert_allclose(blend.first["dna"], 0.4**2)
    elsewhere = Line(line(0.5, across=1).position, 0.5, line(0.5, across=1).at, before=0.4)
    decoded_along(frames, elsewhere, most=2)
    np.testing.assert_allclose(frames.blend(MODEL, elsewhere, ["dna"]).first["dna"], 0)


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
    decoded_along(frames, line(1.0))
    assert frames.blend(MODEL, line(1.0), ["dna"])
    assert not frames.blend(model, other, ["dna"])
    assert not frames.blend(MODEL, line(1.0), ["dna"])


def test_a_cell_of_a_line_that_was_left_is_not_kept(frames):
    frames.missing(MODEL, line(1.0, across=1), ["dna"])
    frames.keep(MODEL, line(1.0), 1.0, Decoder()(line(1.0).position))
    assert not frames.blend(MODEL, line(1.0), ["dna"])


def test_rounding_along_the_way_is_no_other_line(frames):
    decoded_along(frames, line(1.0, across=3.0))
    assert frames.blend(MODEL, line(1.0, across=3.0 + 1e-5), ["dna"])


def test_a_channel_that_was_not_decoded_joins_what_is_there(frames):
    decoded_along(frames, line(1.0), ("dna",))
    assert not frames.blend(MODEL, line(1.0), ["dna", "TOM20"])
    assert decoded_along(frames, line(1.0), ("TOM20",))[0] == 1.0
    assert frames.blend(MODEL, line(1.0), ["dna", "TOM20"])


def test_of_too_many_key_frames_the_farthest_go(frames, monkeypatch):
    size = Decoder()(line(0).position)["dna"].nbytes
    monkeypatch.setattr(key_frames, "_MEMORY", 4 * size)
    for value in range(10):
        here = line(float(value))
        frames.missing(MODEL, here, ["dna"])
        frames.keep(MODEL, here, here.value, Decoder()(here.position))
    assert [v for v in range(10) if frames.blend(MODEL, line(float(v)), ["dna"])] == [6, 7, 8, 9]
