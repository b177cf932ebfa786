"""Paths between latent positions, compared with a literal conversion, and their invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_integrated_cell.walk.paths import (
    PATHS,
    great_circle_path,
    radial_between,
    radial_path,
    straight_path,
)

ALL = (radial_path, great_circle_path, straight_path)
ROUND = (radial_path, great_circle_path)

# Whole numbers, so that zeros, poles, equal and opposite vectors turn up, and numbers of any size up to a limit.
NUMBERS = st.integers(-2, 2).map(float) | st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


@st.composite
def ends(draw, least=2, most=9):
    size = draw(st.integers(least, most))
    return tuple(draw(hnp.arrays(np.float64, size, elements=NUMBERS)) for _ in range(2))


def norm(x):
    return np.linalg.norm(x, axis=-1)


def spherical(x):
    """Radius and angles as the textbook has them: every angle but the last by an arc cosine."""
    n = len(x)
    tail = [math.sqrt(sum(v * v for v in x[i:])) for i in range(n)]
    angles = [math.acos(x[i] / tail[i]) for i in range(n - 2)]
    return tail[0], [*angles, math.atan2(x[-1], x[-2])]


def cartesian(radius, angles):
    x, product = [], radius
    for angle in angles:
        x.append(product * math.cos(angle))
        product *= math.sin(angle)
    return [*x, product]


def literal_radial_path(start, end, n):
    (r_a, a), (r_b, b) = spherical(start), spherical(end)
    turn = [q - p for p, q in zip(a, b, strict=True)]
    if turn[-1] > math.pi:
        turn[-1] -= 2 * math.pi
    if turn[-1] < -math.pi:
        turn[-1] += 2 * math.pi
    shares = [i / (n - 1) for i in range(n)]
    return np.array(
        [cartesian(r_a + t * (r_b - r_a), [p + t * d for p, d in zip(a, turn, strict=True)]) for t in shares]
    )


@settings(max_examples=200, deadline=None)
@given(size=st.integers(2, 140), n=st.integers(2, 12), seed=st.integers(0, 2**32))
def test_radial_path_is_the_literal_one(size, n, seed) -> None:
    start, end = np.random.default_rng(seed).normal(size=(2, size)) * [[0.5], [3.0]]
    np.testing.assert_allclose(radial_path(start, end, n), literal_radial_path(start, end, n), atol=1e-9)


@pytest.mark.parametrize("path", ALL)
@settings(max_examples=200, deadline=None)
@given(between=ends(least=1), n=st.integers(2, 7))
@example(between=(np.array([0.0, -0.0]), np.array([-1.0, -0.0])), n=3)
def test_ends_are_exact_and_all_is_finite(path, between, n) -> None:
    start, end = between
    found = path(start, end, n)
    assert found.shape == (n, start.size)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[0], start)
    np.testing.assert_array_equal(found[-1], end)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("path", ROUND)
@settings(max_examples=300, deadline=None)
@given(between=ends(), n=st.integers(2, 9))
def test_the_norm_goes_evenly_from_one_ends_to_the_others(path, between, n) -> None:
    start, end = between
    expected = np.linspace(norm(start), norm(end), n)
    np.testing.assert_allclose(norm(path(start, end, n)), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(between=ends(), n=st.integers(2, 9))
def test_the_last_angle_turns_evenly_and_the_shorter_way(between, n) -> None:
    start, end = between
    assume(all(np.hypot(*v[-2:]) > 1e-6 * norm(v) > 0 for v in between))
    path = radial_path(start, end, n)
    # Half a turn at both ends of a pole in between may hide it; the angle is read where it can be.
    assume((np.hypot(path[:, -2], path[:, -1]) > 1e-9 * norm(path)).all())
    angle = np.unwrap(np.arctan2(path[:, -1], path[:, -2]))
    assert abs(angle[-1] - angle[0]) <= np.pi + 1e-6
    np.testing.assert_allclose(np.diff(angle), (angle[-1] - angle[0]) / (n - 1), atol=1e-5)


@pytest.mark.parametrize("path", ALL)
@settings(max_examples=200, deadline=None)
@given(between=ends(), n=st.integers(2, 7))
def test_the_way_back_is_the_same(path, between, n) -> None:
    start, end = between
    largest = max(norm(start), norm(end), 1e-300)
    opposite = norm(start / max(norm(start), 1e-300) + end / max(norm(end), 1e-300)) < 1e-6
    assume(path is not great_circle_path or not opposite)  # half a circle, of which there are many
    np.testing.assert_allclose(path(start, end, n), path(end, start, n)[::-1], atol=1e-6 * largest)


@pytest.mark.parametrize("path", ALL)
def test_the_sign_of_a_zero_means_nothing(path) -> None:
    for start in ([-1.0, 0.0], [0.0, 0.0, -2.0, 0.0], [0.0, 1.0, 0.0, 0.0]):
        end = -2 * np.roll(start, 2)
        negative = np.where(np.array(start) == 0, -0.0, start)
        np.testing.assert_array_equal(path(start, end, 5), path(negative, end, 5))


def test_half_a_turn_of_the_last_angle_goes_through_zero() -> None:
    np.testing.assert_allclose(radial_path([0, 2], [0, -2], 3)[1], [2, 0], atol=1e-15)
    np.testing.assert_allclose(radial_path([-1, 1e-9], [-1, -1e-9], 3)[1], [-1, 0], atol=1e-8)


@pytest.mark.parametrize("path", ROUND)
@pytest.mark.parametrize("gap", [0.0, 1e-300, 1e-17, 1e-12, 1e-8, 1e-4])
def test_near_parallel_ends_stay_near(path, gap) -> None:
    start = np.array([1.0, -2.0, 0.5, 0.0])
    end = start + gap * np.array([1.0, 1.0, -1.0, 1.0])
    found = path(start, end, 9)
    np.testing.assert_allclose(found, straight_path(start, end, 9), atol=2 * gap + 1e-15)


@pytest.mark.parametrize("path", ROUND)
@pytest.mark.parametrize("tilt", [0.0, 1e-16, 1e-9, 1e-3])
def test_opposite_ends_are_joined_around_the_origin(path, tilt) -> None:
    start = np.array([1.0, -2.0, 0.5, 3.0])
    end = -start + tilt * np.array([3.0, 0.0, 0.0, -1.0])
    found = path(start, end, 101)
    np.testing.assert_allclose(norm(found), np.linspace(norm(start), norm(end), 101), rtol=1e-12)
    assert norm(np.diff(found, axis=0)).max() < 0.2 * norm(start), "no leap, not even at the ends"


def test_a_great_circle_is_plane_even_and_does_not_depend_on_the_axes() -> None:
    random = np.random.default_rng(0)
    start, end = random.normal(size=(2, 128))
    start, end = start / norm(start), end / norm(end)
    path = great_circle_path(start, end, 11)
    angle = math.acos(start @ end)
    np.testing.assert_allclose(path[5] @ start, math.cos(angle / 2), atol=1e-12)
    np.testing.assert_allclose([path[i] @ path[i + 1] for i in range(10)], math.cos(angle / 10), atol=1e-12)
    assert np.linalg.matrix_rank(path, tol=1e-9) == 2
    turned = np.linalg.qr(random.normal(size=(128, 128)))[0]
    np.testing.assert_allclose(
        great_circle_path(turned @ start, turned @ end, 11), path @ turned.T, atol=1e-12
    )


def test_poles_take_the_other_ends_angles() -> None:
    end = np.array([0.5, 1.0, -2.0, 0.25])
    # From the origin and from a pole, no angle changes without need.
    np.testing.assert_allclose(
        radial_path(np.zeros(4), end, 5), straight_path(np.zeros(4), end, 5), atol=1e-14
    )
    pole = np.array([3.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(radial_path(pole, end, 5), great_circle_path(pole, end, 5), atol=1e-13)
    partly = np.array([1.0, -2.0, 0.0, 0.0])
    middle = radial_path(partly, end, 3)[1]
    assert math.atan2(middle[3], middle[2]) == pytest.approx(math.atan2(end[3], end[2]))
    np.testing.assert_array_equal(radial_path(np.zeros(3), np.zeros(3), 4), np.zeros((4, 3)))


@pytest.mark.parametrize("tiny", [1e-300, 1e-160, 1e-20, 1e-9])
def test_close_to_a_pole_no_digit_is_lost(tiny) -> None:
    start, end = np.array([2.0, tiny, -tiny, tiny]), np.array([2.0, -tiny, tiny, tiny])
    path = radial_path(start, end, 7)
    np.testing.assert_allclose(norm(path), 2, rtol=1e-14)
    np.testing.assert_allclose(np.abs(path[:, 1:]).max(1), tiny, rtol=1)
    np.testing.assert_allclose(norm(path[:, 1:] / tiny), math.sqrt(3), rtol=1e-9)


def test_long_vectors_and_extreme_lengths() -> None:
    start, end = np.random.default_rng(1).normal(size=(2, 200_000))
    for path in ROUND:
        found = path(start, end, 4)
        np.testing.assert_allclose(norm(found), np.linspace(norm(start), norm(end), 4), rtol=1e-9)
        for scale in (1e-200, 1e200):
            middle = path(start[:5] * scale, end[:5] * scale, 3)[1]
            np.testing.assert_allclose(middle / scale, path(start[:5], end[:5], 3)[1], rtol=1e-9)


def test_one_dimension_is_straight() -> None:
    for path in ALL:
        np.testing.assert_allclose(path([2], [-2], 5).ravel(), [2, 1, 0, -1, -2])


@pytest.mark.parametrize("name", list(PATHS))
def test_a_straight_path_alone_cuts_inside(name) -> None:
    start, end = np.random.default_rng(3).normal(size=(2, 128))
    shortest = norm(PATHS[name](start, end, np.linspace(0, 1, 21))).min()
    assert (shortest < 0.85 * min(norm(start), norm(end))) == (name == "straight")


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    ("start", "end", "n", "says"),
    [
        ([1, 2], [1, 2, 3], 3, "one length"),
        ([[1, 2]], [[1, 2]], 3, "one length"),
        ([], [], 3, "one length"),
        ([1, math.nan], [1, 2], 3, "NaN"),
        ([1, 2], [1, math.inf], 3, "infinite"),
        ([1, 2], [2, 1], 1, "2 or more"),
    ],
)
def test_what_is_no_path_is_refused(path, start, end, n, says) -> None:
    with pytest.raises(ValueError, match=says):
        path(start, end, n)


def test_shares_outside_the_way_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        radial_between([1, 2], [2, 1], [0, 1.5])
