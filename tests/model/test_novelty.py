"""Statistics of known structures: a literal reference, their file in a bundle, and bundles without it."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_bundle import CONFIG

from napari_integrated_cell.model.bundle import load_model, replace_files, save_bundle, update_card
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.label_logits import label_logits
from napari_integrated_cell.model.novelty import NOVELTY, KnownStructures, energies

K = CONFIG.n_structures


@pytest.fixture
def known() -> KnownStructures:
    draw = np.random.default_rng(3)
    root = draw.normal(size=(K, K))
    means = {name: 5 * draw.normal(size=K) for name in CONFIG.structures}
    return KnownStructures(means, root @ root.T + np.eye(K), -1.0, 2.5, 30, 40, 0.05)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).random((3, 3, *CONFIG.box)).astype(np.float32)


def test_energy_and_distance_are_those_of_the_plain_formulas(known: KnownStructures) -> None:
    draw = np.random.default_rng(8)
    logits, added = 3 * draw.normal(size=(20, K)), 5 * draw.normal(size=(20, K))
    inverse = np.linalg.inv(known.covariance)
    energy = [-math.log(sum(math.exp(value) for value in row)) for row in logits]
    distance = [
        min(math.sqrt((row - mean) @ inverse @ (row - mean)) for mean in known.means.values())
        for row in added
    ]
    np.testing.assert_allclose(energies(logits), energy, rtol=1e-12)
    np.testing.assert_allclose(known.distances(added), distance, rtol=1e-9)
    expected = [e > -1.0 or d > 2.5 for e, d in zip(energy, distance, strict=True)]
    assert known.are_new(logits, added).tolist() == expected
    assert 0 < sum(expected) < 20


def test_each_of_the_two_limits_alone_rejects(known: KnownStructures) -> None:
    at_a_mean = known.means["ZO1"][None]
    sure, unsure = np.full((1, K), 10.0), np.full((1, K), -10.0)
    assert known.are_new(sure, at_a_mean).tolist() == [False]
    assert known.are_new(unsure, at_a_mean).tolist() == [True]
    assert known.are_new(sure, at_a_mean + 100).tolist() == [True]


def test_large_logits_do_not_overflow() -> None:
    assert energies(np.array([[900.0, 0, 0], [-900.0, -900.0, -900.0]])) == pytest.approx(
        [-900.0, 900 - math.log(3)]
    )


@pytest.mark.parametrize("exact", [False, True])
def test_logits_are_those_of_the_encoder_with_and_without_the_structure(x: np.ndarray, exact: bool) -> None:
    model = IntegratedCell.untrained(CONFIG, seed=1)
    model.exact = exact
    before = x.copy()
    logits, added = label_logits(model, x, batch_size=2)
    np.testing.assert_array_equal(x, before)
    empty = x.copy()
    empty[:, -1] = 0
    with torch.no_grad():
        shown, without = (model.enc_cond(torch.from_numpy(image)).y_logits.numpy() for image in (x, empty))
    np.testing.assert_allclose(logits, shown, atol=1e-5)
    np.testing.assert_allclose(added, shown - without, atol=1e-5)
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).numpy(), model.classify(x), atol=1e-6)


def test_a_structure_channel_is_needed(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="structure"):
        label_logits(IntegratedCell.untrained(CONFIG), x[:, :2])


@pytest.mark.parametrize("place", ["again", "again.zip"])
def test_a_bundle_keeps_the_statistics_and_gives_them_back(save_model, tmp_path, known, place) -> None:
    bundle = save_model(tmp_path / "b.zip")
    assert load_model(bundle).known_structures is None  # as a bundle of an older version
    replace_files(bundle, {NOVELTY: known.to_json()})
    update_card(bundle, card={"licence": "other"}, model_card_markdown="# other\n")
    loaded = load_model(bundle)
    found = loaded.known_structures
    assert tuple(found.means) == CONFIG.structures
    for name, mean in known.means.items():
        np.testing.assert_array_equal(found.means[name], mean)
    np.testing.assert_array_equal(found.covariance, known.covariance)
    numbers = ("largest_energy", "largest_distance", "n_training", "n_held_out", "held_out_rejected")
    assert [getattr(found, name) for name in numbers] == [-1.0, 2.5, 30, 40, 0.05]
    again = save_bundle(loaded, tmp_path / place, card={}, model_card_markdown="# tiny\n")
    assert load_model(again).known_structures.to_json() == known.to_json()


def test_a_damaged_file_is_found_by_its_checksum(save_model, tmp_path, known) -> None:
    bundle = save_model(tmp_path / "b")
    replace_files(bundle, {NOVELTY: known.to_json()})
    content = (bundle / NOVELTY).read_bytes()
    (bundle / NOVELTY).write_bytes(content.replace(b"-1.0", b"-9.0"))
    with pytest.raises(ValueError, match=f"{NOVELTY} .* is damaged"):
        load_model(bundle)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"largest_distance": -1}, "not valid"),
        ({"largest_energy": None}, "not valid"),
        ({"means": {"mitochondriom": [0.0, 0.0, 0.0]}}, "mitochondriom"),
        ({"means": {"TOM20": [0.0]}}, "do not fit together"),
        ({"means": {}}, "do not fit together"),
        ({"covariance": [[1.0]]}, "3 logits"),
        ({"covariance": [[1.0], [1.0, 2.0], []]}, "3 logits"),
        ({"covariance": [[0.0] * 3] * 3}, "positive definite"),
    ],
)
def test_broken_statistics_are_refused_in_a_sentence(save_model, tmp_path, known, change, says) -> None:
    bundle = save_model(tmp_path / "b.zip")
    replace_files(bundle, {NOVELTY: json.dumps(json.loads(known.to_json()) | change).encode()})
    with pytest.raises(ValueError, match=says) as refused:
        load_model(bundle)
    assert NOVELTY in str(refused.value)
    assert "\n" not in str(refused.value)


def test_importing_the_statistics_imports_no_torch() -> None:
    code = (
        "import sys, napari_integrated_cell as nic, napari_integrated_cell.model.novelty\n"
        "nic.Recognition; nic.recognise_cell\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
