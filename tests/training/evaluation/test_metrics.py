"""Each measure of the evaluation report, on cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import kstest

from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_ic_train.evaluation.metrics.calibration import calibration
from napari_ic_train.evaluation.metrics.confusion import confusion_matrix, macro_recall
from napari_ic_train.evaluation.metrics.distances import kolmogorov_smirnov, wasserstein
from napari_ic_train.evaluation.metrics.feature_sets import frechet_distance, kernel_distance
from napari_ic_train.evaluation.metrics.images import binary_cross_entropy, ssim
from napari_ic_train.evaluation.metrics.inception import divergences, inception_score
from napari_ic_train.evaluation.metrics.manifold import expected_coverage, manifold
from napari_ic_train.evaluation.metrics.normality import energy_test, mardia, marginal_normality
from napari_ic_train.evaluation.metrics.ranks import interval_coverage, rank_in_draws, uniformity
from napari_ic_train.evaluation.metrics.ridge import largest_r_squared, r_squared, ridge_predictions

RANDOM = np.random.default_rng


def test_inception_score_of_a_perfect_and_of_a_collapsed_generator():
    assert inception_score(np.eye(11)[np.arange(110) % 11]) == pytest.approx(11)
    assert inception_score(np.eye(11)[np.zeros(50, int)]) == pytest.approx(1), "one structure only"
    assert inception_score(np.full((50, 11), 1 / 11)) == pytest.approx(1), "structures that look the same"
    # Certain labels with shares 3/4 and 1/4: the exponential of their entropy.
    p = np.eye(2)[[0, 0, 0, 1]]
    assert np.log(inception_score(p)) == pytest.approx(0.75 * np.log(4 / 3) + 0.25 * np.log(4))
    np.testing.assert_allclose(np.exp(divergences(p)), [4 / 3] * 3 + [4])


def test_a_weight_counts_like_repeated_cells():
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert inception_score(p, np.array([3, 1])) == pytest.approx(inception_score(p[[0, 0, 0, 1]]))
    np.testing.assert_allclose(divergences(p, np.array([3, 1])), divergences(p[[0, 0, 0, 1]])[2:])


def test_inception_score_refuses_values_that_are_not_probabilities():
    with pytest.raises(ValueError, match="sum 1"):
        inception_score(np.ones((3, 2)))


def test_confusion_matrix_and_macro_recall_by_hand():
    matrix = confusion_matrix(np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 2, 2]), 4)
    assert matrix.tolist() == [[3, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert macro_recall(matrix) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3), "no cell has the fourth label"


def test_calibration_of_a_calibrated_and_of_an_overconfident_classifier():
    random = RANDOM(0)
    sure = random.uniform(0.5, 1, 40_000)
    p = np.stack([sure, 1 - sure], 1)
    calibrated = calibration(p, (random.random(len(p)) > sure).astype(int))
    assert calibrated.error < 0.01
    assert calibrated.counts.sum() == len(p)
    overconfident = calibration(p, np.arange(len(p)) % 2)
    assert overconfident.error == pytest.approx(0.25, abs=0.01), "accuracy 1/2 at a mean confidence of 3/4"
    by_hand = calibration(np.array([[0.95, 0.05], [0.91, 0.09], [0.4, 0.6]]), np.array([0, 1, 1]))
    assert by_hand.error == pytest.approx((2 * abs(0.5 - 0.93) + 0.4) / 3)


def test_bootstrap_interval_has_the_width_of_the_mean_s_error():
    values = RANDOM(1).normal(5, 2, 400)
    found = bootstrap(values, n=2000)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert found == bootstrap(values, n=2000)
    assert found != bootstrap(values, n=2000, seed=1)
    constant = bootstrap(np.ones(7), n=10)
    assert (constant.value, constant.low, constant.high) == (1, 1, 1)
    with pytest.raises(ValueError, match="0 values"):
        bootstrap(np.array([]))


def test_95_percent_of_bootstrap_intervals_contain_the_true_value():
    random = RANDOM(2)
    found = [bootstrap(random.normal(size=60), n=200, seed=i) for i in range(200)]
    assert np.mean([i.low <= 0 <= i.high for i in found]) == pytest.approx(0.95, abs=0.05)


def test_distances_of_shifted_samples():
    a = RANDOM(3).normal(size=300)
    assert wasserstein(a, a + 0.7) == pytest.approx(0.7)
    assert wasserstein(a, a) == kolmogorov_smirnov(a, a) == 0
    assert kolmogorov_smirnov(a, a + 100) == 1
    assert kolmogorov_smirnov(np.array([0.0, 1, 2, 3]), np.array([1.5, 9.0])) == pytest.approx(0.5)


def test_frechet_distance_in_closed_form():
    # Clouds made to have exactly this mean and covariance: diagonal covariances commute.
    def cloud(mean, deviation, n=50):
        x = RANDOM(4).normal(size=(n, 3))
        x -= x.mean(0)
        x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
        return x * deviation + mean

    a, b = cloud([0, 0, 0], [1.0, 2, 3]), cloud([1, 0, -2], [2.0, 2, 0.5])
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 0 + 2.5**2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    turn = np.linalg.qr(RANDOM(5).normal(size=(3, 3)))[0]
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))
    few = RANDOM(6).normal(size=(4, 20))  # fewer cells than features
    assert frechet_distance(few, few + 1) == pytest.approx(20)


def test_kernel_distance_is_unbiased_and_grows_with_a_shift():
    random = RANDOM(7)
    same = [kernel_distance(random.normal(size=(20, 3)), random.normal(size=(30, 3))) for _ in range(400)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 20
    a = random.normal(size=(2000, 1))
    b = np.full((2000, 1), 2.0)
    # E k(x,x') of N(0, 1): E(1 + xx')³ = 1 + 3 E(xx')² = 4; of the constant: 5³; across: E(1 + 2x)³ = 1 + 3·4.
    assert kernel_distance(a, b) == pytest.approx(4 + 125 - 2 * 13, rel=0.02)


def test_manifold_of_shifted_gaussians():
    random = RANDOM(8)
    observed, similar = random.normal(size=(400, 4)), random.normal(size=(400, 4))
    same = manifold(observed, similar)
    assert same.precision > 0.9
    assert same.recall > 0.9
    assert same.density == pytest.approx(1, abs=0.1)
    assert same.coverage == pytest.approx(expected_coverage(400, 400), abs=0.03)
    far = manifold(observed, similar + 50)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    shifts = [manifold(observed, similar + shift) for shift in (0, 1, 2, 3)]
    assert [m.density for m in shifts] == sorted((m.density for m in shifts), reverse=True)
    assert [m.coverage for m in shifts] == sorted((m.coverage for m in shifts), reverse=True)


def test_a_collapsed_generator_is_precise_but_covers_nothing():
    random = RANDOM(9)
    observed = random.normal(size=(300, 4))
    collapsed = manifold(observed, 0.01 * random.normal(size=(300, 4)))
    assert collapsed.precision > 0.99
    assert collapsed.recall < 0.02
    assert collapsed.coverage < 0.3


def test_manifold_by_hand_and_with_too_few_neighbours():
    observed = np.array([[0.0], [1], [2], [10]])
    found = manifold(observed, np.array([[0.5], [2.5], [30]]), k=1)
    # Balls of observed cells reach 1, 1, 1, 8; those of generated ones 2, 2, 27.5.
    assert found.precision == pytest.approx(2 / 3)
    assert found.density == pytest.approx((2 + 2) / 3)
    assert found.coverage == 1
    assert found.recall == 1
    assert expected_coverage(4, 3, 1) == pytest.approx(1 - 3 / 6)
    with pytest.raises(ValueError, match="neighbours"):
        manifold(observed, observed, k=4)


def test_normal_codes_pass_and_others_do_not():
    random = RANDOM(10)
    normal = random.normal(size=(500, 5))
    assert not marginal_normality(normal).any()
    assert mardia(normal)[0] > 0.01
    assert mardia(normal)[1] > 0.01
    assert energy_test(normal)[1] > 0.05
    one_off = normal.copy()
    one_off[:, 3] += 0.5
    assert marginal_normality(one_off).tolist() == [False, False, False, True, False]
    assert mardia(one_off)[1] == pytest.approx(mardia(normal)[1]), "asks for any normal"
    assert energy_test(one_off)[1] == 0.01
    assert mardia(random.exponential(size=(500, 5)))[0] < 1e-6
    assert mardia(random.standard_t(3, size=(500, 5)))[1] < 1e-6


def test_normality_tests_reject_normal_codes_at_their_level():
    random = RANDOM(11)
    samples = [random.normal(size=(120, 6)) for _ in range(200)]
    for p in ([mardia(s)[0] for s in samples], [mardia(s)[1] for s in samples]):
        assert np.mean(np.array(p) < 0.05) < 0.11
    assert np.mean([marginal_normality(s).any() for s in samples]) == pytest.approx(0.05, abs=0.05)


@pytest.mark.parametrize("d", [1, 2, 64])
def test_energy_distance_of_a_point_in_closed_form(d):
    # A cloud that is one point, the prior's mean: 2 E|Z| - E|Z - Z'| = (2 - √2) E|Z|.
    mean_norm = np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2))
    assert energy_test(np.zeros((10, d)), repeats=1)[0] == pytest.approx((2 - np.sqrt(2)) * mean_norm)
    far = np.zeros((4, d))
    far[:, 0] = 1000
    assert energy_test(far, repeats=1)[0] == pytest.approx(2000 - np.sqrt(2) * mean_norm, rel=1e-3)


def test_ranks_of_exchangeable_draws_are_uniform():
    random = RANDOM(12)
    both = random.normal(size=(2000, 10)) + random.normal(size=(2000, 1))
    ranks = rank_in_draws(both[:, 0], both[:, 1:])
    assert kstest(ranks, "uniform").pvalue > 0.01
    assert uniformity(ranks)[1] > 0.01
    assert interval_coverage(ranks, 0.5) == pytest.approx(0.5, abs=0.03)
    assert interval_coverage(ranks, 0.9) == pytest.approx(0.9, abs=0.02)
    tied = random.integers(0, 2, (2000, 10))
    assert uniformity(rank_in_draws(tied[:, 0], tied[:, 1:]))[1] > 0.01
    too_narrow = rank_in_draws(both[:, 0], both[:, :1] + 0.01 * random.normal(size=(2000, 99)) + 1)
    assert interval_coverage(too_narrow, 0.9) < 0.01


def test_rank_by_hand():
    ranks = rank_in_draws(np.array([2.5, -1]), np.array([[1.0, 2, 3], [1, 2, 3]]))
    assert 0.5 <= ranks[0] <= 0.75
    assert 0 <= ranks[1] <= 0.25


def test_ridge_regression_predicts_linear_targets_and_no_others():
    random = RANDOM(13)
    codes = random.normal(size=(300, 6))
    targets = np.stack(
        [
            codes @ np.arange(6) + 3,
            codes[:, 0] + random.normal(size=300),
            random.normal(size=300),
            np.ones(300),
        ],
        1,
    )
    straight, half, nothing, constant = r_squared(targets, ridge_predictions(codes, targets))
    assert straight > 0.999
    assert half == pytest.approx(0.5, abs=0.12)
    assert nothing < 0.05
    assert np.isnan(constant)


def test_the_best_predicted_direction_is_found_in_any_rotation():
    """One of four directions depends on the codes; no single dimension shows it."""
    rng = np.random.default_rng(0)
    codes, noise = rng.normal(size=(400, 3)), rng.normal(size=(400, 4))
    hidden = noise * [0.5, 1, 2, 3]
    hidden[:, 0] += codes[:, 1]  # R² 0.8
    turned = hidden @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    predicted = ridge_predictions(codes, turned)
    assert largest_r_squared(turned, predicted) == pytest.approx(0.8, abs=0.05)
    assert r_squared(turned, predicted).max() < 0.6
    assert largest_r_squared(noise, ridge_predictions(codes, noise)) < 0.05
    assert np.isnan(largest_r_squared(np.repeat(codes[:, :1], 2, 1), np.zeros((400, 2))))


def test_images_against_themselves_and_against_nothing():
    x = (RANDOM(14).random((8, 9, 12)) > 0.5).astype(np.float32)
    assert ssim(x, x) == pytest.approx(1)
    assert ssim(x, 1 - x) < 0
    assert abs(ssim(x, np.full_like(x, 0.5))) < 0.05
    assert ssim(x[:, :4], x[:, :4]) == pytest.approx(1), "a box smaller than the window"
    assert binary_cross_entropy(x, x) == pytest.approx(0, abs=1e-5)
    assert binary_cross_entropy(x, np.full_like(x, 0.5)) == pytest.approx(np.log(2))
    assert binary_cross_entropy(x, 1 - x) == pytest.approx(-np.log(1e-7), rel=1e-3)
    half = np.full((4, 4, 4), 0.25)
    assert binary_cross_entropy(half, half) == pytest.approx(0.25 * np.log(4) + 0.75 * np.log(4 / 3))
