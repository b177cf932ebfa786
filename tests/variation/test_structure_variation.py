"""Algorithm 4: closed forms, a literal implementation, the stream, the draws, the simulator's known order."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.stats import spearmanr

from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import Cancelled, CancelToken
from napari_integrated_cell.simulation import MITOTIC_SHIFT, VARIABILITY, simulate_shape, structure_draws
from napari_integrated_cell.variation.correlation import CorrelationStream, Moments, correlation_matrix
from napari_integrated_cell.variation.structure_variation import (
    RIDGE,
    Draws,
    Variation,
    structure_variation,
    structure_variations,
    variation_score,
)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return IntegratedCell.untrained(preset("tiny"), seed=3)


@pytest.fixture
def z_ref(model):
    return np.random.default_rng(5).standard_normal(model.config.n_ref).astype(np.float32)


def with_correlation(rho):
    """Volumes (n, 4, 4, 4) whose correlations are exactly ``rho``: mixtures of centred, orthogonal ones."""
    rows = hadamard(64)[1 : 1 + len(rho)].astype(float)
    return (np.linalg.cholesky(rho) @ rows).reshape(-1, 4, 4, 4)


def alike(n, r):
    """Every two of n correlated by r: |ρ| = (1 - r)^(n - 1) (1 + (n - 1) r)."""
    return np.full((n, n), float(r)) + (1 - r) * np.eye(n)


def log_alike(n, r):
    return (n - 1) * math.log(1 - r) + math.log(1 + (n - 1) * r)


def correlated(n, shape=(5, 6, 7), seed=0, noise=0.3):
    random = np.random.default_rng(seed)
    return (random.random(shape) + noise * random.random((n, *shape))).astype(np.float32)


def literal_score(volumes, ridge):
    """Algorithm 4 line by line, every pair by the definition of Pearson's correlation, |ρ| by elimination."""
    flat = [[float(v) for v in np.ravel(volume)] for volume in volumes]
    n = len(flat)
    rho = [[1.0 + ridge if i == j else 0.0 for j in range(n)] for i in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            a, b = flat[i], flat[j]
            mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
            both = math.fsum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
            norm_a = math.sqrt(math.fsum((p - mean_a) ** 2 for p in a))
            norm_b = math.sqrt(math.fsum((q - mean_b) ** 2 for q in b))
            rho[i][j] = rho[j][i] = both / (norm_a * norm_b)
    log_determinant = 0.0
    for k in range(n):
        log_determinant += math.log(rho[k][k])
        for i in range(k + 1, n):
            factor = rho[i][k] / rho[k][k]
            rho[i] = [x - factor * y for x, y in zip(rho[i], rho[k], strict=True)]
    return -log_determinant / n


# Closed forms


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_volumes_with_nothing_in_common_score_zero(n):
    volumes = with_correlation(np.eye(n))
    assert variation_score(volumes) == pytest.approx(0, abs=1e-12)
    assert variation_score(volumes, ridge=0.5) == pytest.approx(-math.log(1.5))
    assert Variation.of(correlation_matrix(volumes)).effective_rank == pytest.approx(n)


@pytest.mark.parametrize("ridge", [1e-9, 1e-3, 1.0])
@pytest.mark.parametrize("n", [2, 9])
def test_equal_volumes_score_what_the_ridge_leaves(n, ridge):
    volumes = np.repeat(correlated(1), n, 0)
    expected = -(math.log(n + ridge) + (n - 1) * math.log(ridge)) / n
    assert variation_score(volumes, ridge) == pytest.approx(expected, rel=1e-5)
    assert Variation.of(correlation_matrix(volumes), ridge).effective_rank == pytest.approx(1)


def test_equal_volumes_without_a_ridge_are_infinitely_alike():
    assert variation_score(np.repeat(correlated(1), 5, 0)) == math.inf
    repeated = correlated(6)
    assert variation_score(repeated) < math.inf
    assert variation_score(np.concatenate([repeated, repeated[2:3]])) == math.inf


def test_two_blocks_of_alike_volumes():
    rho = np.zeros((9, 9))
    rho[:4, :4], rho[4:, 4:] = alike(4, 0.9), alike(5, 0.35)
    expected = -(log_alike(4, 0.9) + log_alike(5, 0.35)) / 9
    found = Variation.of(correlation_matrix(with_correlation(rho)))
    assert found.score == pytest.approx(expected, rel=1e-12)
    eigenvalues = np.array([1 + 3 * 0.9, *[0.1] * 3, 1 + 4 * 0.35, *[0.65] * 4]) / 9
    assert found.effective_rank == pytest.approx(math.exp(-(eigenvalues * np.log(eigenvalues)).sum()))


def test_more_alike_is_a_larger_score():
    scores = [variation_score(with_correlation(alike(6, r))) for r in (0.0, 0.2, 0.6, 0.95, 0.999)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_the_algorithm_word_by_word(ridge):
    volumes = correlated(12, shape=(3, 4, 5), seed=2)
    assert variation_score(volumes, ridge) == pytest.approx(literal_score(volumes, ridge), abs=1e-10)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 10).flatmap(
        lambda n: st.tuples(
            st.permutations(range(n)),
            st.lists(st.floats(1e-3, 1e3), min_size=n, max_size=n),
            st.lists(st.floats(-1e3, 1e3), min_size=n, max_size=n),
        )
    ),
    st.integers(0, 10),
)
def test_neither_the_order_nor_brightness_and_offset_matter(change, seed):
    order, scales, offsets = change
    volumes = correlated(len(order), seed=seed).astype(np.float64)
    changed = volumes[list(order)] * np.reshape(scales, (-1, 1, 1, 1)) + np.reshape(offsets, (-1, 1, 1, 1))
    assert variation_score(changed) == pytest.approx(variation_score(volumes), abs=1e-7)


@pytest.mark.parametrize(
    ("volumes", "ridge", "says"),
    [
        (np.zeros((0, 2, 2, 2)), 0, "one or more"),
        (np.zeros(4), 0, "Z, Y, X"),
        (np.ones((3, 2, 2, 2)), 0, "Volume 0 is the same"),
        (np.full((3, 2, 2, 2), 0.1), 0, "is the same"),
        (np.full((2, 2, 2, 2), np.nan), 0, "NaN"),
        (correlated(3), -0.1, "ridge"),
        (correlated(3), math.nan, "ridge"),
    ],
)
def test_what_cannot_be_scored_is_said(volumes, ridge, says):
    with pytest.raises(ValueError, match=says):
        variation_score(volumes, ridge)


# The stream


@pytest.mark.parametrize("slab_bytes", [1, 1000, 64 * 1024**2])
@pytest.mark.parametrize("block", [1, 4, 11])
def test_the_stream_gives_what_memory_gives(slab_bytes, block):
    volumes = correlated(11, noise=0.01)
    mask = np.random.default_rng(1).random(volumes.shape[1:]) < 0.4
    for chosen, where in ((volumes, None), (volumes[:, mask], mask)):
        with CorrelationStream(where, slab_bytes=slab_bytes) as stream:
            for start in range(0, 11, block):
                stream.add(volumes[start : start + block])
                if start:
                    stream.matrix()  # reading the matrix in between changes nothing
            rho = stream.matrix()
        np.testing.assert_allclose(rho, correlation_matrix(chosen), rtol=0, atol=1e-14)
        assert Variation.of(rho).score == pytest.approx(variation_score(chosen), abs=1e-10)


def test_the_streams_memory_does_not_grow_with_the_draws():
    shape, n = (20, 30, 40), 150  # 14 MB as float32, 29 MB as float64
    random = np.random.default_rng(0)
    tracemalloc.start()
    with CorrelationStream(slab_bytes=2**20) as stream:
        for _ in range(n):
            stream.add(random.random((1, *shape), np.float32))
        stream.matrix()
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6


def test_a_full_disk_is_said_in_one_sentence():
    class Full:
        def seek(self, *_):
            pass

        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    with CorrelationStream() as stream:
        stream._spool.close()
        stream._spool = Full()
        with pytest.raises(OSError, match="TMPDIR"):
            stream.add(correlated(1))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.floats(-1e4, 1e4))
def test_moments_of_blocks_are_those_of_the_whole(sizes, offset):
    volumes = np.random.default_rng(0).random((sum(sizes), 3, 2)) + offset
    moments = Moments()
    for block in np.split(volumes, np.cumsum(sizes)[:-1]):
        moments.add(block)
    assert moments.n == len(volumes)
    np.testing.assert_allclose(moments.mean, volumes.mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.deviation, volumes.std(0), atol=1e-6)


# The model's draws


@pytest.mark.parametrize("masked", [False, True])
def test_a_structures_variation_is_that_of_the_models_samples(model, z_ref, masked):
    n, name = 19, "TOM20"
    drawn = model.sample(n, name, z_ref=z_ref[None], seed=4)[name][:, -1]
    mask = np.random.default_rng(0).random(model.config.box) < 0.5 if masked else None
    found = structure_variation(model, z_ref, "TOMM20", n, 4, mask=mask, batch_size=5)
    compared = drawn if mask is None else drawn[:, mask]
    # Batches of other sizes round otherwise, in the last bit of float32.
    assert found.score == pytest.approx(variation_score(compared, RIDGE), rel=1e-3)
    assert (found.n, found.ridge, found.structure) == (n, RIDGE, name)
    assert 1 <= found.effective_rank <= n
    np.testing.assert_allclose(found.mean, drawn.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.deviation, drawn.std(0), atol=1e-6)


def test_the_stream_of_draws_equals_memory_to_ten_digits(model, z_ref):
    volumes = np.concatenate(list(Draws(model, z_ref, "ZO1", 1).blocks(21)))
    found = structure_variation(model, z_ref, "ZO1", 21, 1, ridge=1e-4)
    assert found.score == pytest.approx(variation_score(volumes, 1e-4), abs=1e-10)


def test_a_single_draw_can_be_made_again(model, z_ref):
    draws = Draws(model, z_ref[None], "lamin B1", seed=9)
    many = model.sample(7, "lamin-B1", z_ref=z_ref[None], seed=9)["lamin-B1"][:, -1]
    for i in (6, 0, 3):
        np.testing.assert_allclose(draws.draw(i), many[i], atol=1e-6)
    np.testing.assert_array_equal(draws.draw(3), draws.draw(3))
    np.testing.assert_array_equal(draws.z_struct(3), draws.z_struct(50)[:3])
    assert np.abs(draws.draw(0) - draws.draw(1)).max() > 1e-4
    assert np.abs(draws.draw(0) - Draws(model, z_ref, "lamin-B1", seed=10).draw(0)).max() > 1e-4


def test_all_structures_come_one_by_one_with_progress(model, z_ref):
    told, came = [], []
    found = structure_variations(
        model,
        z_ref,
        n=10,
        progress=lambda *step: told.append(step[:2]),
        on_structure=lambda v: came.append((v.structure, len(told))),
    )
    assert tuple(found) == model.config.structures == tuple(name for name, _ in came)
    assert [t[0] for t in told] == [10 * k + d for k in range(11) for d in (8, 10)]
    assert {t[1] for t in told} == {110}
    assert came[0][1] == 2
    alone = structure_variation(model, z_ref, "ZO1", 10)
    assert found["ZO1"] == alone


def test_a_collapsed_model_is_bounded_by_the_ridge(model, z_ref, monkeypatch):
    same = Draws(model, z_ref, "ZO1").draw(0)
    monkeypatch.setattr(Draws, "blocks", lambda self, n, size, cancel: iter([np.repeat(same[None], n, 0)]))
    found = structure_variation(model, z_ref, "ZO1", 10)
    assert found.score == pytest.approx(-(math.log(10) + 9 * math.log(RIDGE)) / 10, rel=1e-4)
    assert found.deviation.max() == pytest.approx(0, abs=1e-6)


def test_cancelling_stops_at_the_next_batch_and_leaves_no_file(model, z_ref, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    token, told = CancelToken(), []

    def stop_at_16(done, total, what):
        told.append(done)
        if done >= 16:
            token.cancel()

    with pytest.raises(Cancelled):
        structure_variation(model, z_ref, "TOM20", 100, progress=stop_at_16, cancel=token)
    assert told == [8, 16]
    assert list(tmp_path.iterdir()) == []


def test_cancelling_stops_between_slabs_and_harms_nothing():
    class SecondTime(CancelToken):
        asked = 0

        def raise_if_cancelled(self):
            self.asked += 1
            if self.asked == 2:
                raise Cancelled

    volumes = correlated(6)
    with CorrelationStream(slab_bytes=400) as stream:
        stream.add(volumes[:4])
        with pytest.raises(Cancelled):
            stream.matrix(SecondTime())
        stream.add(volumes[4:])
        np.testing.assert_allclose(stream.matrix(), correlation_matrix(volumes), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": 1}, "give 2 or more"),
        ({"structure": "mitochondriom"}, "TOM20"),
        ({"mask": np.ones((2, 2, 2))}, "pose it first"),
        ({"mask": np.zeros((16, 24, 32))}, "fewer than two voxels"),
        ({"ridge": -1.0}, "ridge"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch size"),
        ({"z_ref": np.zeros(3)}, "z_ref"),
        ({"z_ref": np.zeros((2, 8))}, "2 positions"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(model, z_ref, change, says):
    asked = {"z_ref": z_ref, "structure": "TOM20", "n": 4} | change
    with pytest.raises(ValueError, match=says):
        structure_variation(model, **asked)


def test_importing_variation_imports_no_torch():
    code = (
        "import sys, napari_integrated_cell.variation.structure_variation; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The simulator's known order


def simulators_variation(seed, stage="interphase", draws=32, voxel_size=0.634, *, within_cell=True):
    """Algorithm 4 on the simulator's own draws of each structure in one shape: the truth, without a model."""
    shape = simulate_shape(seed, stage)
    grid = shape.grid((voxel_size,) * 3)
    where = shape.surfaces(grid)[2] < 0 if within_cell else np.ones(grid.shape, bool)
    return {
        name: Variation.of(
            correlation_matrix([image[where] for image in structure_draws(shape, name, grid, draws, seed)])
        )
        for name in VARIABILITY
    }


@pytest.mark.slow
@pytest.mark.parametrize("within_cell", [True, False])
@pytest.mark.parametrize("seed", [0, 3, 12])
def test_the_known_order_of_the_simulators_structures_is_recovered(seed, within_cell):
    found = simulators_variation(seed, within_cell=within_cell)
    known = [VARIABILITY[name] for name in found]
    # A larger score means less variation.
    assert spearmanr(known, [-v.score for v in found.values()]).statistic >= 0.9
    assert spearmanr(known, [v.effective_rank for v in found.values()]).statistic >= 0.9


@pytest.mark.slow
def test_mitosis_shifts_the_score_as_section_3_4_5_reports():
    def mean_score(stage, name):
        return np.mean([simulated[name].score for simulated in by_stage[stage]])

    by_stage = {s: [simulators_variation(seed, s) for seed in range(3)] for s in ("interphase", "metaphase")}
    for name, shift in MITOTIC_SHIFT.items():
        change = mean_score("interphase", name) - mean_score("metaphase", name)
        assert np.sign(change) == shift, f"{name}: {change:.3f}"
