"""The faster forms of the networks for inference are the plain layers, for any box."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_integrated_cell.model import inference
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell

# Layers as matrix products, with normalisation in the weights or after the convolution; and as usual.
FORMS = {
    "products": {"_MANY_WEIGHTS": 0, "_FEW_VOXELS": 10**9, "_FEW_WEIGHTS": 10**9},
    "products, norm apart": {"_MANY_WEIGHTS": 0, "_FEW_VOXELS": 10**9, "_FEW_WEIGHTS": 0},
    "convolutions, norm apart": {"_MANY_WEIGHTS": 10**9, "_FEW_WEIGHTS": 0},
    "as usual": {},
}


def plain(monkeypatch, compute):
    with monkeypatch.context() as patch:
        patch.setattr(inference, "applies", lambda network, x: False)
        return compute()


def trained_look(model, seed):
    """Give running statistics, scales and slopes values as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for network in model.networks.values():
            for name, tensor in network.state_dict().items():
                drawn = torch.rand(tensor.shape, generator=generator)
                if name.endswith("running_var"):
                    tensor.copy_(0.3 + drawn)
                elif name.endswith(("running_mean", "norm.bias")):
                    tensor.copy_(0.4 * drawn - 0.2)
                elif name.endswith("activation.weight"):
                    tensor.copy_(0.5 * drawn)
    return model


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=8)
@given(box=st.tuples(*[st.integers(8, 21)] * 3), n=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_form_gives_the_plain_result(form, box, n, seed):
    model = trained_look(IntegratedCell.untrained(preset("tiny").model_copy(update={"box": box}), seed), seed)
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, config.n_references + 1, *box, generator=generator)
    z_ref = torch.randn(n, config.n_ref, generator=generator)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(inference, "has_bf16", lambda device: False)
        for name, value in FORMS[form].items():
            patch.setattr(inference, name, value)
        images = images.to(memory_format=torch.channels_last_3d)
        calls = {
            "z_ref": lambda: model.enc_ref(images[:, :-1]),
            "code": lambda: torch.cat(model.enc_cond(images), dim=1),
            "image": lambda: model.dec_ref.logits(z_ref),
        }
        for name, compute in calls.items():
            expected = plain(patch, compute)
            scale = float(expected.abs().max())
            torch.testing.assert_close(compute(), expected, atol=1e-5 * scale, rtol=1e-5, msg=name)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=4)
@given(box=st.tuples(*[st.integers(8, 21)] * 3), n=st.integers(1, 3), seed=st.integers(0, 99))
def test_bf16_differs_by_its_rounding_only(form, box, n, seed):
    model = trained_look(IntegratedCell.untrained(preset("tiny").model_copy(update={"box": box}), seed), seed)
    x = torch.rand(n, 2, *box, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "has_bf16", lambda device: True)
        for name, value in FORMS[form].items():
            patch.setattr(inference, name, value)
        patch.setattr(inference, "_is_large", lambda blocks: False)
        exact = model.decode_reference(model.encode(x))
        patch.setattr(inference, "_is_large", lambda blocks: True)
        rounded = model.decode_reference(model.encode(x))
    assert 0 < abs(rounded - exact).max() < 0.03


def test_bf16_weights_follow_the_weights(monkeypatch):
    model = IntegratedCell.untrained(preset("tiny"))
    monkeypatch.setattr(inference, "has_bf16", lambda device: True)
    monkeypatch.setattr(inference, "_MANY_WEIGHTS", 0)
    monkeypatch.setattr(inference, "_FEW_WEIGHTS", 0)
    z_ref = torch.randn(1, model.config.n_ref)
    before = model.decode_reference(z_ref)
    with torch.no_grad():
        for block in model.dec_ref.blocks:
            block.conv.weight.mul_(3)
    after = model.decode_reference(z_ref)
    inference._ROUNDED.clear()
    assert (after != before).any()
    assert (after == model.decode_reference(z_ref)).all()


def test_an_exact_model_uses_the_plain_layers(monkeypatch):
    images = torch.rand(1, 2, *preset("demo").box, generator=torch.Generator().manual_seed(0))
    exact, fast = load_model("demo", device="cpu", exact=True), load_model("demo", device="cpu")
    expected = plain(monkeypatch, lambda: fast.integrate(images))
    for name, volume in exact.integrate(images).items():
        assert (volume == expected[name]).all()
    assert any((fast.integrate(images)[name] != volume).any() for name, volume in expected.items())


def test_the_demo_model_gives_the_plain_volumes(monkeypatch):
    model = load_model("demo", device="cpu")
    images = torch.rand(1, 2, *model.config.box, generator=torch.Generator().manual_seed(0)).numpy()
    fast, slow = model.integrate(images), plain(monkeypatch, lambda: model.integrate(images))
    for name, volume in slow.items():
        assert abs(fast[name] - volume).max() < 1e-5


def test_training_and_gradients_use_the_plain_layers():
    model = IntegratedCell.untrained(preset("tiny"))
    x = torch.rand(2, 2, *model.config.box)
    assert not inference.applies(model.enc_ref, x), "gradients are wanted"
    with torch.no_grad():
        assert inference.applies(model.enc_ref, x)
        assert not inference.applies(model.enc_ref, x.double())
        model.enc_ref.train()
        assert not inference.applies(model.enc_ref, x)
