"""Medoids against their definition, latent statistics against numpy, and the copies of both that a run keeps."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from toy_run import STAGES
from toy_training import MODEL
from typer.testing import CliRunner

from napari_ic_train.bundle import fitted, landmarks
from napari_ic_train.bundle.fitted import FOLDER, fitted_model, measure
from napari_ic_train.bundle.landmarks import encoded, stage_landmarks
from napari_ic_train.bundle.latent_statistics import RunningMoments, latent_statistics
from napari_ic_train.commands.landmarks import landmarks as landmarks_command
from napari_integrated_cell.model.latent import METRICS, LatentDistribution, medoid
from napari_integrated_cell.vocabulary import STAGE_NAMES

torch.set_num_threads(1)


@pytest.fixture
def model(run):
    return fitted_model(run)


# Medoids.


def distance(a, b, metric):
    """The definitions, one pair at a time."""
    difference = [abs(x - y) for x, y in zip(a, b, strict=True)]
    if metric == "cityblock":
        return sum(difference)
    if metric == "euclidean":
        return sum(d * d for d in difference) ** 0.5
    if metric == "chebyshev":
        return max(difference)
    norms = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 1.0


def costs(points, metric):
    """Each point's distances to the others, added up."""
    rows = list(enumerate(points.tolist()))
    return np.array([sum(distance(a, b, metric) for j, b in rows if j != i) for i, a in rows])


POINTS = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(-6, 6).map(float)
)


@settings(max_examples=80, deadline=None)
@given(points=POINTS, metric=st.sampled_from(METRICS))
def test_a_medoid_is_a_point_of_least_summed_distance(points, metric) -> None:
    expected = costs(points, metric)
    assert expected[medoid(points, metric)] <= expected.min() + 1e-6
    if metric in ("cityblock", "chebyshev"):  # exact in whole numbers, ties included
        assert medoid(points, metric) == expected.argmin()


@settings(max_examples=50, deadline=None)
@given(points=POINTS, shift=st.integers(-50, 50), data=st.data())
def test_a_medoid_moves_with_its_points_and_does_not_depend_on_their_order(points, shift, data) -> None:
    index = medoid(points)
    assert medoid(points + shift) == index
    order = data.draw(st.permutations(range(len(points))))
    cost = costs(points, "cityblock")
    assert cost[order[medoid(points[order])]] == cost[index]


def test_the_metric_decides() -> None:
    points = np.array([[0, 0], [4, 4], [6, 0], [0, 6], [6, 6]], float)
    assert medoid(points, "cityblock") == costs(points, "cityblock").argmin()
    outlier = np.array([[0.0], [0.0], [1.0], [1.1], [100.0]])
    assert medoid(outlier) == 2


def test_many_points_are_compared_some_rows_at_a_time(monkeypatch) -> None:
    points = np.random.default_rng(0).normal(size=(400, 3))
    whole = costs(points, "cityblock").argmin()
    import sklearn

    with sklearn.config_context(working_memory=0.05):
        assert medoid(points) == whole


def test_no_points_and_unknown_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="no points"):
        medoid(np.empty((0, 3)))
    with pytest.raises(ValueError, match="'hamster': choose cityblock, euclidean"):
        medoid(np.ones((2, 3)), "hamster")


# Landmarks of a run.


@pytest.mark.parametrize("metric", ["cityblock", "euclidean"])
def test_landmarks_are_medoids_of_held_out_cells_in_the_order_of_the_stages(model, store, metric) -> None:
    found = stage_landmarks(model, store, metric=metric)
    assert [mark.stage for mark in found] == [name for name in STAGE_NAMES if name in STAGES]
    table = store.table.reset_index(drop=True)
    for mark in found:
        n_held_out, n_train = STAGES[mark.stage]
        assert (mark.n_held_out, mark.n_cells) == (n_held_out, n_held_out + n_train)
        few = n_held_out < 3
        assert mark.among == ("all" if few else "held-out")
        rows = table[table["stage"] == mark.stage]
        rows = rows if few else rows[rows["split"] == "test"]
        z_ref = model.encode(store.references(rows.index.to_numpy()))
        chosen = int(costs(z_ref.astype(float), metric).argmin())
        assert mark.cell_id == rows["CellId"].iloc[chosen]
        np.testing.assert_allclose(mark.z_ref, z_ref[chosen], atol=1e-6)
        assert mark.metric == metric


def test_too_few_held_out_cells_are_said(model, store) -> None:
    notes = {mark.stage: mark.note for mark in stage_landmarks(model, store)}
    assert notes["interphase"] == notes["prophase-1"] == ""
    assert notes["metaphase"] == "Only 2 held out: chosen among all 7, training cells too."
    assert (
        notes["anaphase"] == "Only 0 held out: chosen among all 2, training cells too; too few for a medoid."
    )


def test_thumbnails_show_the_cell_and_its_reconstruction(model, store) -> None:
    mark = stage_landmarks(model, store)[0]
    z, y, x = MODEL.box
    cell, decoded = (
        np.asarray(Image.open(io.BytesIO(png))).astype(int)
        for png in (mark.thumbnail, mark.decoded_thumbnail)
    )
    assert cell.shape == decoded.shape == (y + 1 + z, x, 3)
    assert cell.max() > 200
    assert np.abs(cell - decoded).mean() > 1, "they are two pictures"
    position = int(np.flatnonzero(store.table["CellId"] == mark.cell_id)[0])
    dna = store.references(np.array([position])).numpy()[0, 1].max(0)
    assert np.corrcoef(cell[:y, :, 1].ravel(), dna.ravel())[0, 1] > 0.9, "the DNA is cyan, seen from above"


def test_a_store_without_stages_has_no_landmarks(model, store, monkeypatch) -> None:
    monkeypatch.setattr(store, "table", store.table.drop(columns="stage"))
    assert stage_landmarks(model, store) == ()


def test_of_too_many_cells_some_are_drawn_the_same_every_time(model, store, monkeypatch) -> None:
    monkeypatch.setattr(landmarks, "MOST_CELLS", 4)
    first, second = stage_landmarks(model, store), stage_landmarks(model, store)
    assert [mark.cell_id for mark in first] == [mark.cell_id for mark in second]
    assert first[0].n_held_out == 6


# Latent statistics.


@settings(max_examples=60, deadline=None)
@given(data=st.data(), offset=st.sampled_from([0.0, 1e4]))
def test_moments_of_batches_are_those_of_all_points(data, offset) -> None:
    points = data.draw(
        hnp.arrays(np.float64, st.tuples(st.integers(2, 20), st.just(3)), elements=st.floats(-5, 5, width=32))
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(points)), max_size=4)))
    moments = RunningMoments(3)
    for part in np.split(points + offset, cuts):
        moments.add(part)
    assert moments.n == len(points)
    np.testing.assert_allclose(moments.mean, points.mean(0) + offset, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(moments.covariance, np.cov(points.T), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    points=hnp.arrays(
        np.float64, st.tuples(st.integers(2, 12), st.integers(2, 5)), elements=st.floats(-5, 5, width=32)
    )
)
def test_principal_axes_give_the_covariance_back(points) -> None:
    covariance = np.cov(points.T)
    d = LatentDistribution.of_moments(len(points), points.mean(0), covariance)
    np.testing.assert_allclose(d.axes @ d.axes.T, np.eye(len(d.mean)), atol=1e-5)
    np.testing.assert_allclose((d.axes.T * d.variances) @ d.axes, covariance, atol=2e-5)
    assert (np.diff(d.variances) <= 0).all()
    assert (d.variances >= 0).all()
    for axis in d.axes:  # entries equal but for rounding do not decide by their rounding
        assert axis[np.abs(axis) > 0.999 * np.abs(axis).max()][0] > 0
    assert d.explained.sum() == pytest.approx(1 if d.variances.sum() > 0 else 0, abs=1e-5)


def test_statistics_are_of_the_training_cells_and_per_structure(model, store, monkeypatch) -> None:
    monkeypatch.setattr("napari_ic_train.bundle.latent_statistics.BATCH", 7)
    told = []
    latent = latent_statistics(model, store, lambda done, total, what: told.append((done, total)))
    rows = np.flatnonzero(store.table["split"] == "train")
    assert told[-1] == (len(rows), len(rows))
    z_ref = encoded(model, store, rows)
    assert latent.z_ref.n == len(rows) == sum(n for _, n in STAGES.values()) + 2
    np.testing.assert_allclose(latent.z_ref.mean, z_ref.mean(0), atol=1e-5)
    np.testing.assert_allclose(latent.z_ref.covariance, np.cov(z_ref.T), atol=1e-5)
    _, _, z_struct = model.encode_all(store.images(rows))
    assert tuple(latent.z_struct) == MODEL.structures
    for name, space in latent.z_struct.items():
        own = z_struct[(store.table["structure"] == name).to_numpy()[rows]]
        assert space.n == len(own)
        np.testing.assert_allclose(space.covariance, np.cov(own.T), atol=1e-5)


# What a run keeps.


def test_what_was_measured_is_kept_until_weights_cells_or_metric_change(run, store, monkeypatch) -> None:
    calls = []

    def counted(module, name):
        function = getattr(module, name)

        def count(*arguments, **named):
            calls.append(name)
            return function(*arguments, **named)

        monkeypatch.setattr(module, name, count)

    counted(fitted, "latent_statistics")
    counted(fitted, "stage_landmarks")

    def again(metric=None, change=None):
        calls.clear()
        model = fitted_model(run)
        if change is not None:
            change(model)
        measure(model, store, run, metric=metric)
        return model

    first = again()
    assert calls == ["latent_statistics", "stage_landmarks"]
    second = again()
    assert calls == []
    assert [m.cell_id for m in second.landmarks] == [m.cell_id for m in first.landmarks]
    assert [m.thumbnail for m in second.landmarks] == [m.thumbnail for m in first.landmarks]
    np.testing.assert_array_equal(second.latent.z_ref.axes, first.latent.z_ref.axes)
    assert again("euclidean").landmarks[0].metric == "euclidean"
    assert calls == ["stage_landmarks"]
    assert again().landmarks[0].metric == "euclidean"
    assert calls == []

    def nudge(model):
        with torch.no_grad():
            next(model.enc_ref.parameters()).add_(1e-3)

    again(change=nudge)
    assert calls == ["latent_statistics", "stage_landmarks"]
    again()
    assert calls == ["latent_statistics", "stage_landmarks"], "the folder held what other weights gave"
    (run / FOLDER / "latent" / "statistics.safetensors").write_bytes(b"broken")
    again()
    assert calls == ["latent_statistics", "stage_landmarks"]
    monkeypatch.setattr(store, "table", store.table.assign(stage="interphase"))
    assert [m.stage for m in again().landmarks] == ["interphase"]


def test_a_store_of_other_cells_is_refused(run, store, monkeypatch) -> None:
    monkeypatch.setattr(store, "structures", ("tubes",))
    with pytest.raises(ValueError, match="give the store that it was fitted on"):
        measure(fitted_model(run), store, run)


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(landmarks_command)
    return app


def test_the_command_says_which_cells_and_where_there_are_too_few(run, store) -> None:
    arguments = [str(run), "--data", str(store.path), "--device", "cpu"]
    said = CliRunner().invoke(_app(), arguments)
    assert said.exit_code == 0, said.output
    assert "Only 2 held out" in said.stdout
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:9]] == list(STAGE_NAMES)
    assert "no cell of this stage" in lines[1 + STAGE_NAMES.index("prophase-2")]
    summary = json.loads(CliRunner().invoke(_app(), [*arguments, "--json"]).stdout)
    assert [mark["stage"] for mark in summary["landmarks"]] == [n for n in STAGE_NAMES if n in STAGES]
    assert "telophase-cytokinesis" in summary["missing"]


def test_the_command_refuses_an_unfinished_run_and_an_unknown_metric(run, store, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    said = CliRunner().invoke(_app(), [str(tmp_path), "--data", str(store.path)])
    assert said.exit_code == 1
    assert "not finished" in said.stderr
    said = CliRunner().invoke(_app(), [str(run), "--data", str(store.path), "--metric", "hamster"])
    assert said.exit_code == 1
    assert "choose cityblock" in said.stderr
