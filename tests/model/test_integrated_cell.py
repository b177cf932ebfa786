"""Methods of a model: Algorithm 3, compared with the networks called one by one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

torch.set_num_threads(1)
CONFIG = preset("tiny")
N = 5


@pytest.fixture(scope="module")
def model() -> IntegratedCell:
    """A model with random weights, larger than initial ones, so that its outputs differ between cells."""
    model = IntegratedCell.untrained(CONFIG, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for network in model.networks.values():
            for parameter in network.parameters():
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return model


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Images (N, R + 1, Z, Y, X) in [0, 1]."""
    return np.random.default_rng(0).random((N, 3, *CONFIG.box), dtype=np.float32)


def _literal_algorithm_3(model: IntegratedCell, x_ref: np.ndarray) -> dict[str, np.ndarray]:
    """Algorithm 3 line by line, for one reference image (R, Z, Y, X)."""
    x_out = {}
    with torch.no_grad():
        z_ref = model.enc_ref(torch.from_numpy(x_ref)[None])
        for k, structure in enumerate(CONFIG.structures):
            y = torch.zeros(1, CONFIG.n_structures)
            y[0, k] = 1
            z_struct = torch.zeros(1, CONFIG.n_struct)  # argmax of N(0, I)
            x_out[structure] = model.dec_cond(y, z_ref, z_struct)[0, -1].numpy()
    return x_out


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_integrate_is_algorithm_3_whatever_the_batch(
    model: IntegratedCell, x: np.ndarray, batch_size: int
) -> None:
    volumes = model.integrate(x[:, :2], batch_size=batch_size)
    assert tuple(volumes) == CONFIG.structures
    for cell in range(N):
        for name, expected in _literal_algorithm_3(model, x[cell, :2]).items():
            np.testing.assert_allclose(volumes[name][cell], expected, atol=1e-5)
    # The comparison above means something only if structures and cells differ by more than its tolerance.
    assert np.abs(volumes["TOM20"] - volumes["ZO1"]).max() > 1e-2
    assert np.abs(volumes["TOM20"][0] - volumes["TOM20"][1]).max() > 1e-3


def test_structures_stream_as_they_are_whole(model: IntegratedCell, x: np.ndarray) -> None:
    streamed: dict[str, np.ndarray] = {}
    steps: list[tuple[int, int]] = []

    def on_structure(name: str, volumes: np.ndarray) -> None:
        streamed[name] = volumes.copy()
        assert steps[-1][0] < steps[-1][1], "streamed only at the end"

    volumes = model.integrate(
        x[:, :2],
        ["golgi", "TOM20"],
        batch_size=2,
        on_structure=on_structure,
        progress=lambda done, total, _: steps.append((done, total)),
    )
    assert list(streamed) == list(volumes) == ["ST6GAL1", "TOM20"]
    for name, volume in volumes.items():
        np.testing.assert_array_equal(streamed[name], volume)
    done, totals = zip(*steps, strict=True)
    assert list(done) == sorted(set(done))
    assert done[-1] == 3 * N  # each cell encoded once and decoded twice
    assert set(totals) == {3 * N}


def test_structures_are_asked_for_by_any_name_and_come_once(model: IntegratedCell, x: np.ndarray) -> None:
    one = x[:1, :2]
    assert list(model.integrate(one, "mitochondria")) == ["TOM20"]
    streamed: list[str] = []
    asked = ["TOM20", "TOMM20", "mito", "α-tubulin"]
    found = model.integrate(one, asked, on_structure=lambda name, _: streamed.append(name))
    assert list(found) == streamed == ["TOM20", "alpha-tubulin"]


def test_encode_all_classify_and_reconstruct_agree_with_the_networks(
    model: IntegratedCell, x: np.ndarray
) -> None:
    y, z_ref, z_struct = model.encode_all(x, batch_size=2)
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(model.classify(x, batch_size=2), y)
    with torch.no_grad():
        code = model.enc_cond(torch.from_numpy(x))
        decoded = model.dec_cond(code.y_logits.softmax(1), code.z_ref, code.z_struct)
        reference = model.dec_ref(model.enc_ref(torch.from_numpy(x[:, :2])))
    np.testing.assert_allclose(y, code.y_logits.softmax(1), atol=1e-5)
    np.testing.assert_allclose(z_ref, code.z_ref, atol=1e-4)
    np.testing.assert_allclose(z_struct, code.z_struct, atol=1e-4)
    np.testing.assert_allclose(model.reconstruct(x, batch_size=2), decoded, atol=1e-4)
    np.testing.assert_allclose(model.reconstruct(x[:, :2], batch_size=3), reference, atol=1e-4)


def test_encode_then_decode_reference_is_reconstruct(model: IntegratedCell, x: np.ndarray) -> None:
    z_ref = model.encode(x[:, :2])
    assert z_ref.shape == (N, CONFIG.n_ref)
    np.testing.assert_allclose(model.decode_reference(z_ref), model.reconstruct(x[:, :2]), atol=1e-5)


def test_decode_without_z_struct_is_at_the_priors_mode(model: IntegratedCell, x: np.ndarray) -> None:
    z_ref = model.encode(x[:, :2])
    decoded = model.decode(z_ref, "lamin-B1")
    assert decoded.shape == (N, 3, *CONFIG.box)
    zeros = np.zeros((N, CONFIG.n_struct))
    np.testing.assert_array_equal(model.decode(z_ref, "lamin-B1", zeros), decoded)
    assert np.abs(model.decode(z_ref, "lamin-B1", zeros + 2) - decoded).max() > 1e-3
    np.testing.assert_allclose(model.integrate(x[:, :2], "lamin-B1")["lamin-B1"], decoded[:, -1], atol=1e-6)


def test_samples_follow_their_seed(model: IntegratedCell) -> None:
    first = model.sample(3, seed=4, batch_size=2)
    again = model.sample(3, ["ZO1", "TOM20"], seed=4)
    assert tuple(first) == CONFIG.structures
    assert first["TOM20"].shape == (3, 3, *CONFIG.box)
    for name, volumes in again.items():
        np.testing.assert_allclose(volumes, first[name], atol=1e-5)
    other = model.sample(3, "TOM20", seed=5)["TOM20"]
    assert np.abs(other - first["TOM20"]).max() > 1e-2
    unseeded = [model.sample(1, "TOM20")["TOM20"] for _ in range(2)]
    assert np.abs(unseeded[0] - unseeded[1]).max() > 1e-3


def test_samples_of_a_given_cell_vary_in_z_struct_alone(model: IntegratedCell) -> None:
    z_ref = np.full((1, CONFIG.n_ref), 0.5)
    drawn = model.sample(2, "TOM20", z_ref=z_ref, seed=0)["TOM20"]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    np.testing.assert_allclose(model.sample(2, "TOM20", z_ref=z_ref.repeat(2, 0), seed=0)["TOM20"], drawn)
    residual = np.random.default_rng(
        np.random.SeedSequence(0).spawn(1 + CONFIG.n_structures)[1 + CONFIG.structures.index("TOM20")]
    ).standard_normal((2, CONFIG.n_struct), dtype=np.float32)
    np.testing.assert_allclose(model.decode(z_ref.repeat(2, 0), "TOM20", residual), drawn, atol=1e-6)


@pytest.mark.parametrize("at", [1, 2, 4])
def test_cancelling_stops_between_batches_and_leaves_the_model_usable(
    model: IntegratedCell, x: np.ndarray, at: int
) -> None:
    token, steps = CancelToken(), []

    def progress(done: int, total: int, what: str) -> None:
        steps.append(done)
        if len(steps) == at:
            token.cancel()

    with pytest.raises(Cancelled):
        model.integrate(x[:, :2], batch_size=3, cancel=token, progress=progress)
    assert len(steps) == at
    np.testing.assert_allclose(
        model.integrate(x[:1, :2], "ZO1")["ZO1"][0], _literal_algorithm_3(model, x[0, :2])["ZO1"], atol=1e-5
    )


def test_it_computes_without_gradients_in_any_thread(model: IntegratedCell, x: np.ndarray) -> None:
    found: list[bool] = []
    hook = model.enc_ref.register_forward_hook(lambda *_: found.append(torch.is_inference_mode_enabled()))
    thread = threading.Thread(target=model.encode, args=(x[:, :2],))
    thread.start()
    thread.join()
    hook.remove()
    assert found == [True]


def test_the_callers_grad_mode_is_untouched_while_results_stream(
    model: IntegratedCell, x: np.ndarray
) -> None:
    modes: list[bool] = []
    model.integrate(
        x[:1, :2],
        progress=lambda *_: modes.append(torch.is_grad_enabled()),
        on_structure=lambda *_: modes.append(torch.is_grad_enabled()),
    )
    assert modes
    assert all(modes)


def test_batch_normalisation_uses_its_running_statistics(model: IntegratedCell, x: np.ndarray) -> None:
    before = {k: v.clone() for k, v in model.enc_ref.state_dict().items()}
    alone = model.encode(x[:1, :2])
    np.testing.assert_allclose(model.encode(x[:, :2])[:1], alone, atol=1e-5)
    assert all(torch.equal(v, before[k]) for k, v in model.enc_ref.state_dict().items())


def test_tensors_lists_and_read_only_arrays_serve(model: IntegratedCell, x: np.ndarray) -> None:
    expected = model.encode(x[:1, :2])
    frozen = x[:1, :2].astype(np.float64)
    frozen.setflags(write=False)
    np.testing.assert_array_equal(model.encode(torch.from_numpy(x[:1, :2])), expected)
    np.testing.assert_allclose(model.encode(frozen), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode(frozen.tolist()), expected, atol=1e-6)
    assert model.encode(x[:1, :2] > 0.5).dtype == np.float32


def _nan(images: np.ndarray) -> np.ndarray:
    images = images.copy()
    images[0, 0, 3, 3, 3] = np.nan
    return images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :1], r"shape \(5, 1, 16, 24, 32\).*\(N, 2, 16, 24, 32\).*membrane, dna"),
        (lambda x: x, r"shape \(5, 3, 16, 24, 32\)"),
        (lambda x: x[:, :2, 1:], r"shape \(5, 2, 15, 24, 32\).*1\.268 µm"),
        (lambda x: x[0, :2], r"shape \(2, 16, 24, 32\)"),
        (lambda x: x[:0, :2], r"shape \(0, 2, 16, 24, 32\)"),
        (lambda x: _nan(x[:, :2]), "NaN"),
        (lambda x: x[:, :2] * np.inf, "infinite"),
        (lambda x: x[:, :2] * 255, r"values from .* to 255: scale each channel to \[0, 1\]"),
        (lambda x: x[:, :2] - 1, r"scale each channel to \[0, 1\]"),
    ],
)
def test_images_the_model_does_not_take(model: IntegratedCell, x: np.ndarray, change, message: str) -> None:
    for method in (model.encode, model.integrate):
        with pytest.raises(ValueError, match=message):
            method(change(x))


@pytest.mark.parametrize("method", ["encode_all", "classify"])
def test_a_structure_channel_is_needed_to_classify(model: IntegratedCell, x: np.ndarray, method: str) -> None:
    with pytest.raises(ValueError, match="membrane, dna, structure"):
        getattr(model, method)(x[:, :2])


def test_reconstruct_says_what_it_takes(model: IntegratedCell, x: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 1"):
        model.reconstruct(x[:, :1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m.decode(np.zeros((2, 7)), "ZO1"),
            r"z_ref has shape \(2, 7\) but the model takes \(N, 8\)",
        ),
        (lambda m: m.decode(np.zeros(8), "ZO1"), r"z_ref has shape \(8,\)"),
        (lambda m: m.decode_reference(np.full((1, 8), np.nan)), "z_ref holds NaN"),
        (
            lambda m: m.decode(np.zeros((2, 8)), "ZO1", np.zeros((3, 4))),
            "z_struct holds 3 positions for 2 cells",
        ),
        (lambda m: m.decode(np.zeros((2, 8)), "ZO1", np.zeros((2, 8))), r"z_struct has shape \(2, 8\)"),
        (
            lambda m: m.decode(np.zeros((2, 8)), "nonsense"),
            "no structure 'nonsense'; it has alpha-actinin, .* ZO1",
        ),
        (lambda m: m.decode_structures(np.zeros((2, 8)), []), "choose at least one"),
        (lambda m: m.sample(0), "cells is 0"),
        (lambda m: m.sample(3, z_ref=np.zeros((2, 8))), "z_ref holds 2 positions for 3 cells"),
        (
            lambda m: m.to("mps" if torch.cuda.is_available() else "cuda"),
            "there is no device|There is no device",
        ),
    ],
)
def test_what_else_the_model_does_not_take(model: IntegratedCell, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_structure_of_the_vocabulary_that_the_model_lacks(x: np.ndarray) -> None:
    small = IntegratedCell.untrained(CONFIG.model_copy(update={"structures": ("TOM20", "peroxisomes")}))
    assert list(small.integrate(x[:1, :2])) == ["TOM20", "peroxisomes"]
    with pytest.raises(ValueError, match="no structure 'golgi'; it has TOM20, peroxisomes"):
        small.integrate(x[:1, :2], ["golgi"])


def test_a_trained_model_says_what_it_is() -> None:
    model = IntegratedCell.untrained(CONFIG)
    assert (model.name, model.device.type, dict(model.card)) == ("tiny", "cpu", {})
    named = IntegratedCell(CONFIG, **model.networks, card={"licence": "MIT"}, name="mine")
    assert (named.name, named.card["licence"]) == ("mine", "MIT")
    with pytest.raises(TypeError):
        named.card["licence"] = "GPL"
    assert not any(network.training for network in named.networks.values())
