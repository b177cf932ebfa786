"""Figures on real cells: the sets that are found, the comparison with baselines, and the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_ic_train.evaluation.real.datasets import EXPECTED, found_sets, real_cells
from napari_ic_train.evaluation.real.page import real_page
from napari_ic_train.evaluation.real.scores import (
    Observed,
    SetScores,
    beyond,
    localisation,
    most_frequent,
    score_set,
)

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "real_figures.py"
N = 24
R = np.sqrt(((np.indices((N,) * 3) - (N - 1) / 2) ** 2).sum(0))


def observed(radius, light, predicted):
    return Observed(
        light.astype(np.float32), predicted.astype(np.float32), R - radius - 0.5, R - radius / 2 - 0.5
    )


def test_a_structure_that_depends_on_depth_alone_is_predicted_by_the_other_cells():
    shell = {radius: np.exp(-((R - radius / 2) ** 2)) for radius in (8, 9, 10)}
    noise = np.random.default_rng(0).random((N,) * 3)
    found = localisation([observed(r, light, noise) for r, light in shell.items()], 0.5)
    assert found.cells == 3
    assert abs(found.model) < 0.1
    assert found.depth > 0.9
    assert found.mean_image > 0.5
    perfect = localisation([observed(r, light, light) for r, light in shell.items()], 0.5)
    assert perfect.model == pytest.approx(1)
    assert localisation([observed(8, shell[8], noise), observed(9, 0 * noise, noise)], 0.5) is None


def test_absent_sets_are_named_and_other_folders_are_found(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.csv").write_text("")
    (tmp_path / "empty").mkdir()
    sets = found_sets(tmp_path)
    assert tuple(sets) == (*EXPECTED, "other")
    assert [name for name, folder in sets.items() if folder] == ["other"]
    assert set(found_sets(tmp_path / "nowhere").values()) == {None}


def scored(percentiles, labels):
    scores = SetScores(cells=2, left_out=["cell 3: it has no nucleus | none"], percentiles=percentiles)
    scores.shares["TOM20"] += [0.5, 0.7]
    scores.labels["LAMP1"] += labels
    return scores


def test_the_page_has_two_models_beside_each_other():
    one = scored([99.0, 10.0], [("TOM20", True), ("TOM20", False)])
    other = scored([], [("ZO1", None), ("TOM20", None)])
    page = real_page(
        {"field": {"demo": one, "new": other}},
        {},
        models={"demo": "simulated cells", "new": "real cells"},
        absent=["hela3d"],
    )
    assert "not measured:** hela3d." in page
    assert "| field | 2 | 50 % | - |" in page
    assert "| field | TOM20 outside the nucleus | 2 | 0.600 | 0.600 |" in page
    assert "| field | LAMP1 | 2 | TOM20 2 | 1 of 2 | TOM20 1, ZO-1 1 | - |" in page
    assert "cell 3: it has no nucleus / none" in page
    assert "Nothing was measured." in page, "no structure was observed"
    assert beyond([]) is None
    assert most_frequent([("a", None), ("b", None), ("b", None)]) == {"b": 2, "a": 1}


def test_without_real_cells_the_command_says_so_and_keeps_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--data", str(tmp_path / "absent"), "--out", str(page)],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert page.read_text() == "before"
    assert "hela3d is not in" in done.stderr
    assert "There are no real cells" in done.stderr


@pytest.mark.slow
def test_a_real_field_is_measured(real_data):
    field = real_data / "hipsc_lamp1_field"
    if not field.is_dir():
        pytest.skip("hipsc_lamp1_field is absent")
    scores = score_set(field, "demo", workers=1)
    assert scores.cells == 6
    assert [reason for reason in scores.left_out if reason.startswith("cell 1:")]
    assert scores.segmented == set(scores.labels) == {"LAMP1"}
    assert len(scores.labels["LAMP1"]) == 6
    assert set(scores.shares) == {"fibrillarin", "lamin-B1", "TOM20"}
    assert not scores.observed, "LAMP1 is no class of the model"
    assert next(real_cells(field, slice(1, 2))).cell.name == "cell 3"
