"""A walk from stage to stage: its positions and its decoded frames."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from walk_models import CHOSEN, CONFIG, STAGES

from napari_integrated_cell.integration import integrate_cell
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import Cancelled, CancelToken
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES
from napari_integrated_cell.walk.paths import PATHS, radial_path
from napari_integrated_cell.walk.traversal import (
    Stop,
    Traversal,
    stages_between,
    stop_at_cell,
    stop_at_stage,
    walk,
)


def z_ref(model, stage):
    return next(mark.z_ref for mark in model.landmarks if mark.stage == stage)


def test_norm_and_turn_of_a_walk(model) -> None:
    stops = [stop_at_stage(model, name) for name in ("interphase", "metaphase")]
    for path in PATHS:
        way = walk(stops, 9, path=path)
        assert way.norm == pytest.approx([np.sqrt((z**2).sum()) for z in way.z_ref])
        turns = [
            np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
            for a, b in itertools.pairwise(way.z_ref)
        ]
        assert np.diff(way.turned) == pytest.approx(turns, rel=1e-6)
        assert way.turned[0] == 0
    circle, straight = (walk(stops, 9, path=path) for path in ("great-circle", "straight"))
    assert np.ptp(np.diff(circle.turned)) < 1e-9
    assert straight.turned[-1] == pytest.approx(circle.turned[-1])
    assert straight.norm.min() < circle.norm.min()
    assert straight.same_positions(walk(stops, 9, path="straight"))
    assert not straight.same_positions(circle)


def test_a_stage_without_landmark_is_refused_with_those_there_are(model) -> None:
    with pytest.raises(
        ValueError, match=r"'walker' has no landmark of telophase-cytokinesis; it has interphase, p"
    ):
        stop_at_stage(model, "Telophase and cytokinesis")
    with pytest.raises(ValueError, match="the stages are interphase"):
        stop_at_stage(model, "metafase")
    bare = IntegratedCell.untrained(CONFIG)
    with pytest.raises(ValueError, match="has no landmarks, and so no metaphase"):
        stop_at_stage(bare, "metaphase")


def test_stages_between_are_met_in_the_order_of_the_walk(model) -> None:
    assert stages_between(model, "interphase", "metaphase") == ["prophase-1", "prometaphase-1"]
    assert stages_between(model, "metaphase", "Interphase") == ["prometaphase-1", "prophase-1"]
    assert stages_between(model, "interphase", "prophase-1") == []
    assert stages_between(model, "interphase", "telophase-cytokinesis") == list(STAGES[1:])


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("frames", [3, 4, 7, 30])
def test_a_walk_has_as_many_frames_as_asked_for_and_all_stops_among_them(model, path, frames) -> None:
    stops = [stop_at_stage(model, name) for name in STAGES[:3]]
    found = walk(stops, frames, path=path)
    assert len(found) == frames
    assert found.at[0] == 0
    assert found.at[-1] == frames - 1
    for at, stop in zip(found.at, stops, strict=True):
        np.testing.assert_array_equal(found.z_ref[at], stop.z_ref)
        assert found.title(at) == stop.label
    assert max(np.diff(found.at)) - min(np.diff(found.at)) <= 1


def test_segments_are_radial_paths_of_ten_steps(model) -> None:
    found = walk([stop_at_stage(model, name) for name in STAGES[:3]])
    assert found.at == (0, 10, 20)
    for i in range(2):
        expected = radial_path(z_ref(model, STAGES[i]), z_ref(model, STAGES[i + 1]), 11)
        np.testing.assert_array_equal(found.z_ref[10 * i : 10 * i + 11], expected)
    assert found.title(14) == "Prophase 1 to Prometaphase 1"


def test_a_smooth_walk_slows_down_at_every_stop(model) -> None:
    stops = [stop_at_stage(model, name) for name in STAGES[:2]]
    even, smooth = (walk(stops, 21, path="straight", easing=e).z_ref for e in ("linear", "smooth"))
    steps = np.linalg.norm(np.diff(smooth, axis=0), axis=1)
    assert steps[0] < 0.2 * steps[10]
    assert steps[-1] < 0.2 * steps[10]
    np.testing.assert_allclose(smooth[10], even[10], atol=1e-12)


def test_walks_that_are_none_are_refused(model) -> None:
    stops = [stop_at_stage(model, name) for name in STAGES[:3]]
    for wrong, says in (
        (lambda: walk(stops, 2), "2 frames cannot show 3 stops"),
        (lambda: walk(stops[:1]), "two stops"),
        (lambda: walk([stops[0], stops[0]]), "the same position"),
        (lambda: walk(stops, path="scenic"), "choose radial, great-circle, straight"),
        (lambda: walk(stops, easing="bouncy"), "choose linear, smooth"),
    ):
        with pytest.raises(ValueError, match=says):
            wrong()


def test_frames_are_the_models_own_answers(model, traversal) -> None:
    assert traversal.shape == (5, 4, *CONFIG.box)
    assert traversal.channels == ("membrane", "dna", *CHOSEN)
    assert traversal.frame_bytes == traversal[0].nbytes
    for t, frame in enumerate(traversal):
        position = traversal.walk.z_ref[t][None]
        np.testing.assert_allclose(frame[:2], model.decode_reference(position)[0], atol=1e-6)
        for channel, name in enumerate(CHOSEN, 2):
            np.testing.assert_allclose(frame[channel], model.decode(position, name)[0, -1], atol=1e-6)
    assert t == 4
    assert np.abs(traversal[0] - traversal[4]).max() > 0.05, "the walk leads somewhere"
    np.testing.assert_array_equal(traversal[-1], traversal[4])
    with pytest.raises(IndexError, match="the walk has 5"):
        traversal[5]


def test_a_frame_is_decoded_when_asked_for_and_not_before(model, traversal, monkeypatch) -> None:
    decoded = []
    original = Traversal.decoded
    monkeypatch.setattr(Traversal, "decoded", lambda self, t, *a: decoded.append(t) or original(self, t, *a))
    frames = Traversal(model, traversal.walk, CHOSEN).frames()
    assert decoded == []
    next(frames), next(frames)
    assert decoded == [0, 1]


def test_memory_is_that_of_one_frame_however_long_the_walk(model) -> None:
    import tracemalloc

    stops = [stop_at_stage(model, name) for name in STAGES[:2]]
    peaks = []
    for frames in (3, 24):
        found = Traversal(model, walk(stops, frames), CHOSEN)
        tracemalloc.start()
        for _ in found.frames():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2 * found.frame_bytes


def test_no_structure_leaves_the_reference_channels_and_none_named_means_all(model, traversal) -> None:
    assert Traversal(model, traversal.walk, []).channels == CONFIG.references
    assert Traversal(model, traversal.walk).channels == (*CONFIG.references, *STRUCTURE_NAMES)
    with pytest.raises(ValueError, match="has no structure 'spleen'"):
        Traversal(model, traversal.walk, ["spleen"])


def test_a_walk_from_a_cell_starts_where_integration_puts_it(model) -> None:
    cell = replace(simulate_cell(3, voxel_size=0.8).cell, metadata={"touches_edge": ("Y",)})
    stop = stop_at_cell(model, cell)
    integration = integrate_cell(cell, model, CHOSEN)
    np.testing.assert_allclose(stop.z_ref, integration.z_ref, atol=1e-6)
    assert stop.name == cell.name
    assert len(stop.warnings) == len(integration.pose.warnings) + 1
    assert (
        stop.warnings[0] == f"{cell.name}: The cell touches the edge of the image along Y: it may be cut off."
    )


def test_progress_is_told_and_cancelling_stops(traversal) -> None:
    told, cancel = [], CancelToken()

    def progress(done, total, what):
        told.append((done, total))
        if done == 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        list(traversal.frames(cancel=cancel, progress=progress))
    assert told == [(1, 5), (2, 5)]


def test_cells_may_have_any_name() -> None:
    stops = [
        Stop("cell 3", "cell 3", np.array([1.0, 0.0], np.float32)),
        Stop("b", "b", np.array([0, 1.0], np.float32)),
    ]
    assert walk(stops, 3).title(1) == "cell 3 to b"
