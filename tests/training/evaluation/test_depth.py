"""The mean light of a structure by depth, on cells with a known answer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.depth import DepthProfile, surface_distances

N = 28


def ball(radius, centre=(N - 1) / 2):
    return ((np.indices((N,) * 3) - centre) ** 2).sum(0) <= radius**2


@cache
def distances(cell_radius, nucleus_radius):
    return surface_distances(ball(cell_radius), ball(nucleus_radius), 0.5)


def test_distances_are_in_micrometres_and_negative_inside():
    to_cell, to_nucleus = distances(10, 4)
    middle = (N // 2,) * 3
    assert to_cell[middle] == pytest.approx(-5, abs=0.6)
    assert to_nucleus[middle] == pytest.approx(-2, abs=0.6)
    assert (to_cell <= 0).sum() == ball(10).sum()
    assert np.isposinf(surface_distances(ball(10), ball(4) & False, 0.5)[1]).all()


@given(st.floats(1, 100), st.integers(9, 11), st.just(4))
def test_a_structure_that_depends_on_depth_alone_is_predicted_in_another_shape(brightness, radius, nucleus):
    profile = DepthProfile(0.25)
    others = [(c, n) for c in range(8, 13) for n in (3, 4, 5) if (c, n) != (radius, nucleus)]
    for cell, inner in others:
        to_cell, to_nucleus = distances(cell, inner)
        profile.add(brightness * np.exp(-(to_nucleus**2)), to_cell, to_nucleus)
    to_cell, to_nucleus = distances(radius, nucleus)
    predicted, inside = profile.predict(to_cell, to_nucleus), to_cell <= 0
    assert pearson(predicted[inside], np.exp(-(to_nucleus**2))[inside]) > 0.95
    assert (predicted[~inside] == 0).all()


def test_the_brightness_of_a_cell_does_not_count_and_dark_cells_are_left_out():
    to_cell, to_nucleus = distances(10, 4)
    light = (to_nucleus > 0) * 1.0
    one, other = DepthProfile(0.25), DepthProfile(0.25)
    for factor in (1, 1):
        one.add(factor * light, to_cell, to_nucleus)
    for factor in (1, 50, 0):
        other.add(factor * light, to_cell, to_nucleus)
    assert (one.cells, other.cells) == (2, 2)
    assert other.predict(to_cell, to_nucleus) == pytest.approx(one.predict(to_cell, to_nucleus))


def test_without_light_nothing_is_predicted():
    to_cell, to_nucleus = distances(10, 4)
    assert not DepthProfile(0.25).predict(to_cell, to_nucleus).any()
