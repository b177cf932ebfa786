"""Where a phase begins when it does not begin at random."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train.fit.first_weights import predict_mean, take_over
from napari_ic_train.fit.light import mean_intensity, structure_light, weights_by_light
from napari_ic_train.fit.phase import initialised
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.networks import (
    ConditionalNetworks,
    ReferenceNetworks,
    conditional_networks,
    reference_networks,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def both(config: ModelConfig) -> tuple[ConditionalNetworks, ReferenceNetworks]:
    reference = initialised(reference_networks(config), torch.Generator().manual_seed(1))
    conditional = initialised(conditional_networks(config), torch.Generator().manual_seed(2))
    # Statistics and biases of a network that has seen data.
    for module in [*reference.enc.modules(), *reference.dec.modules()]:
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(3))
            module.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(4))
    torch.nn.init.normal_(reference.dec.image.bias)
    for network in (*reference, *conditional):
        network.eval()
    return conditional, reference


@pytest.mark.parametrize("latent_norm", [False, True])
def test_phase_2_begins_with_what_phase_1_knows(latent_norm: bool) -> None:
    config = MODEL.model_copy(update={"latent_norm": latent_norm})
    conditional, reference = both(config)
    take_over(conditional, reference)
    x = torch.rand(3, 2, *config.box)
    dark = torch.cat((x, torch.zeros(3, 1, *config.box)), dim=1)  # nothing in the structure's channel
    with torch.no_grad():
        z_ref = reference.enc(x)
        torch.testing.assert_close(conditional.enc(dark).z_ref, z_ref, rtol=1e-4, atol=1e-5)
        y, z_struct = torch.zeros(3, config.n_structures), torch.zeros(3, config.n_struct)
        decoded = conditional.dec(y, z_ref, z_struct)
        torch.testing.assert_close(decoded[:, :2], reference.dec(z_ref), rtol=1e-4, atol=1e-5)


def test_networks_of_other_depth_take_what_fits() -> None:
    config = MODEL.model_copy(update={"enc_cond_widths": (4, 8, 8)})
    conditional, reference = both(config)
    head = conditional.enc.z_ref.weight.clone()
    take_over(conditional, reference)
    assert torch.equal(conditional.enc.z_ref.weight, head)
    assert torch.equal(conditional.enc.blocks[1].conv.weight, reference.enc.blocks[1].conv.weight)


def test_a_silent_decoder_predicts_the_mean_of_every_channel() -> None:
    cells = ToyCells()
    mean = mean_intensity(cells)
    torch.testing.assert_close(mean, cells.images(np.arange(len(cells))).mean((0, 2, 3, 4)))
    conditional, reference = both(MODEL)
    for decoder, n_channels in ((conditional.dec, 3), (reference.dec, 2)):
        predict_mean(decoder, mean)
        torch.nn.init.zeros_(decoder.image.weight)
        logits = decoder.image_logits(torch.randn(2, decoder.project.in_features))
        torch.testing.assert_close(logits.sigmoid().mean((0, 2, 3, 4)), mean[:n_channels])


def test_a_structure_s_light_is_the_mean_of_its_cells() -> None:
    cells = ToyCells()
    x, labels = cells.images(np.arange(len(cells))), torch.from_numpy(np.asarray(cells.labels))
    present = labels.unique()
    expected = torch.stack([x[labels == structure, -1].mean() for structure in present])
    light = structure_light(cells, int(present.max()) + 2)
    torch.testing.assert_close(light[present], expected)
    assert light[-1] == pytest.approx(expected.mean().item())


def test_bright_structures_weigh_less() -> None:
    light = torch.tensor([0.01, 0.02, 0.04, 0.08, 0.5])
    inverse, dimmed = weights_by_light(light, "inverse"), weights_by_light(light, "dimmed")
    torch.testing.assert_close(inverse * light, (inverse * light)[:1].expand(5))
    assert inverse.mean().item() == pytest.approx(1)
    torch.testing.assert_close(dimmed, torch.tensor([1, 1, 1, 0.5, 0.08]))


def test_a_run_weighs_structures_by_their_light(tmp_path) -> None:
    """Three ways to weigh them: three decoders, of the same seed and cells."""
    cells = ToyCells()
    decoders = []
    for how in ("none", "inverse", "dimmed"):
        config = toy_config(light_weights=how, conditional={"epochs": 1}, reference={"epochs": 1})
        fit_reference(cells, config, tmp_path / how)
        decoders.append(fit_conditional(cells, config, tmp_path / how).dec.image.weight)
    for one, other in itertools.combinations(decoders, 2):
        assert not torch.equal(one, other)


def test_a_run_begins_there(tmp_path) -> None:
    """With learning rates of next to nothing, a warm phase 2 ends where phase 1 did; a cold one does not."""
    still = {"learning_rate": 1e-12, "encoding_discriminator_learning_rate": 1e-12}
    cells = ToyCells()
    for warm in (True, False):
        config = toy_config(**still, warm_start=warm)
        reference = fit_reference(cells, config, tmp_path / str(warm))
        conditional = fit_conditional(cells, config, tmp_path / str(warm))
        known = reference.dec.blocks[0].conv.weight
        assert torch.allclose(conditional.dec.blocks[0].conv.weight, known, atol=1e-6) == warm


def test_the_mean_bias_is_where_a_run_begins(tmp_path) -> None:
    cells = ToyCells()
    config = toy_config(learning_rate=1e-12, mean_bias=True)
    networks = fit_reference(cells, config, tmp_path)
    expected = torch.logit(mean_intensity(cells)[:2])
    torch.testing.assert_close(networks.dec.image.bias.detach(), expected, rtol=1e-4, atol=1e-5)
