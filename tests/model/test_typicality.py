"""Typicality: where a cell lies among the cells that a model knows, and the file in the bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_integrated_cell.model import archive
from napari_integrated_cell.model.bundle import load_model, replace_files, save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import LatentDistribution
from napari_integrated_cell.model.typicality import (
    CELL_OVERLAP,
    DISTANCE,
    NUCLEUS_OVERLAP,
    SHAPE_WORDS,
    TYPICALITY,
    TypicalityReference,
    mahalanobis,
)

RANDOM = np.random.default_rng(0)


def reference(**more):
    """1,001 known cells whose distance, overlaps and heights are evenly spread."""
    even = np.linspace(0, 1, 1001)
    measured = {DISTANCE: 2 * even, CELL_OVERLAP: even, NUCLEUS_OVERLAP: even, "height": 5 + 10 * even}
    return TypicalityReference.of_cells({**measured, **more}, held_out=True)


def distribution(points):
    return LatentDistribution.of_moments(len(points), points.mean(0), np.cov(points.T))


def test_the_distance_is_that_of_the_formula():
    points = RANDOM.normal(size=(500, 5)) @ RANDOM.normal(size=(5, 5))
    known = distribution(points)
    covariance = np.cov(points.T)
    regular = 0.3 * covariance + 0.7 * np.trace(covariance) / 5 * np.eye(5)
    for z, found in zip(points[:20], mahalanobis(points[:20], known), strict=True):
        offset = z - points.mean(0)
        assert found == pytest.approx(offset @ np.linalg.inv(regular) @ offset / 5, rel=1e-4)


def test_the_distance_does_not_break_where_the_known_cells_do_not_vary():
    points = RANDOM.normal(size=(100, 4)) * [1, 1, 1, 0]
    near, far = mahalanobis([[0, 0, 0, 0], [0, 0, 0, 3]], distribution(points))
    assert np.isfinite([near, far]).all()
    assert far > near


def test_one_known_cell_in_twenty_lies_beyond_the_95th_percentile():
    points = RANDOM.normal(size=(4000, 6))
    known = distribution(points[:2000])
    fitted, others = (mahalanobis(part, known) for part in (points[:2000], points[2000:]))
    found = TypicalityReference.of_cells({DISTANCE: fitted}, held_out=True)
    beyond = np.mean([found.percentile(DISTANCE, d) > 95 for d in others])
    assert beyond == pytest.approx(0.05, abs=0.02)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=300), st.floats(-1e7, 1e7))
def test_a_percentile_lies_between_the_cells_below_and_those_not_above(values, value):
    found = TypicalityReference.of_cells({DISTANCE: values}, held_out=True).percentile(DISTANCE, value)
    array = np.array(values)
    step = 100 / (len(values) - 1) + 100 / 200 + 1e-6
    assert 100 * (array < value).mean() - step <= found <= 100 * (array <= value).mean() + step


def test_a_value_that_many_cells_have_is_in_their_middle():
    found = TypicalityReference.of_cells({"height": [9.0] * 90 + [10.0] * 10}, held_out=True)
    assert found.percentile("height", 9.0) == pytest.approx(45, abs=1)
    assert found.percentile("height", 10.0) == pytest.approx(95, abs=1)


def test_a_typical_cell_is_said_to_be_known():
    found = reference().typicality(0.8, (0.5, 0.5), {"height": 10.0})
    assert found.is_typical
    assert found.sentence == "The model knows cells like this one (percentile 40 of 100)."


@pytest.mark.parametrize(
    ("distance", "overlaps", "height", "says"),
    [
        (1.98, (0.5, 0.5), 10.0, "its shape is farther from the mean than that of 99 % of them."),
        (
            5.00,
            (0.5, 0.5),
            3.4,
            "it is flatter than all of them (3.4 µm) and its shape is farther from the mean than that of all of them.",
        ),
        (1.98, (0.5, 0.5), 14.9, "knows: it is taller than 99 % of them (14.9 µm) and its shape is farther"),
        (
            0.50,
            (0.005, 0.5),
            10.0,
            "unlike the cells that the model knows: the model reproduces its outline worse than that of 99.5 %",
        ),
        (0.50, (0.5, 0.0), 10.0, "the model reproduces its nucleus worse than that of all of them."),
    ],
)
def test_what_is_untypical_is_said(distance, overlaps, height, says):
    found = reference().typicality(distance, overlaps, {"height": height})
    assert not found.is_typical
    assert says in found.sentence
    assert found.sentence.count(".") <= 2
    assert len(found.sentence) < 300


@pytest.mark.parametrize("measure", SHAPE_WORDS)
def test_the_most_unusual_measure_is_named_in_words(measure):
    values = {name: np.linspace(1, 2, 101) for name in SHAPE_WORDS}
    known = reference(**values)
    large, small, unit = SHAPE_WORDS[measure]
    shape = dict.fromkeys(SHAPE_WORDS, 1.5)
    for value, word in ((7.0, large), (0.25, small)):
        found = known.typicality(0.8, (0.5, 0.5), {**shape, measure: value})
        assert (found.measure, found.value) == (measure, value)
        assert (
            f", though it {'has' if 'nucleus' in measure else 'is'} {word} than all of them" in found.sentence
        )
        assert f"({value:g}{' ' + unit if unit else ''})" in found.sentence


def test_large_values_are_written_as_people_write_them():
    known = reference(cell_volume=np.linspace(1000, 2000, 101))
    assert "(3,040 µm³)" in known.typicality(0.8, (0.5, 0.5), {"cell_volume": 3040.3}).sentence


def test_a_shape_that_could_not_be_measured_is_left_out():
    found = reference().typicality(0.8, (0.5, 0.5), {"height": float("nan"), "length": 3.0})
    assert found.measure == ""
    assert found.to_dict()["value"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_bundle_keeps_the_distributions_and_older_bundles_have_none(tmp_path):
    model = IntegratedCell.untrained(preset("tiny"))
    card = {"card": {"simulated": True}, "model_card_markdown": "# tiny\n"}
    assert load_model(save_bundle(model, tmp_path / "old.zip", **card)).typicality is None
    model.typicality = reference()
    kept = load_model(save_bundle(model, tmp_path / "new.zip", **card)).typicality
    assert (kept.n, kept.held_out) == (1001, True)
    assert kept.percentile("height", 7.5) == pytest.approx(25)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": 1}, "not valid"),
        ({"quantiles": {}}, "is missing"),
        ({"quantiles": {DISTANCE: [1, 0], CELL_OVERLAP: [0, 1], NUCLEUS_OVERLAP: [0, 1]}}, "decrease"),
        ({"quantiles": {DISTANCE: [1]}}, "not valid"),
    ],
)
def test_damaged_distributions_are_refused_in_one_sentence(tmp_path, change, says):
    bundle = tmp_path / "tiny.zip"
    model = IntegratedCell.untrained(preset("tiny"))
    save_bundle(model, bundle, card={"simulated": True}, model_card_markdown="# tiny\n")
    content = {**json.loads(reference().to_json()), **change}
    replace_files(bundle, {TYPICALITY: json.dumps(content).encode()})
    with pytest.raises(ValueError, match=says), archive.open_archive(bundle):
        load_model(bundle)
